/** A worker of table-memory.ts: gets its table, touches all of it, and waits. */
import { readFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { openTable, TABLE_NAME, type TableMaps } from 'percpu-console'

/** `none`: the worker alone. */
export type TableKind = 'shared' | 'private' | 'none'
export interface MemorySetup {
  readonly kind: TableKind
  readonly image: string
  readonly handle: MachineHandle
}

const { kind, image, handle } = workerData as MemorySetup

/** Reads a word of each cache line, as lookups all over the table would. */
function touch(words: number, load: (word: number) => number): number {
  let sum = 0
  for (let i = 0; i < words; i += 16) sum = (sum + load(i)) | 0
  return sum
}

/** Gives the table, so that it can be kept. */
function open(): TableMaps | Int32Array | undefined {
  if (kind === 'none') return undefined
  if (kind === 'private') {
    const bytes = readFileSync(image)
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4))
    touch(words.length, (i) => words[i] as number)
    return words
  }
  const machine = join(handle)
  const maps = openTable(machine, TABLE_NAME)
  maps.ipv4.verify()
  maps.ipv6.verify()
  maps.pairs.verify()
  return maps
}

const held = open()
parentPort?.on('message', () => held)
parentPort?.postMessage('open')
