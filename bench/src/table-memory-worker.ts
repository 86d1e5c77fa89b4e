/** A worker of table-memory.ts: gets its table, uses it, and waits. */
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

/** The pages of the shared table are there already: looking up touches nothing new. */
const LOOKUPS = 20_000

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
  const point = new Uint32Array(4)
  for (let i = 0; i < LOOKUPS; i++) {
    const word = Math.imul(i, 0x9e3779b1) >>> 0
    maps.ipv4.lookup(word)
    // The addresses that are given: 2000::/3.
    point[0] = 0x20000000 | (word >>> 3)
    maps.ipv6.lookup(point)
  }
  for (let id = 1; id <= maps.pairs.size; id++) maps.pairs.has(id)
  return maps
}

const held = open()
parentPort?.on('message', () => held)
parentPort?.postMessage('open')
