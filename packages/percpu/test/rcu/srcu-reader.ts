/**
 * Tasks that read the object behind a pointer in SRCU sections, across awaits, and count every read
 * that is not of one living version.
 */
import { workerData } from 'node:worker_threads'
import { join, type MachineHandle, type SrcuFlavour } from 'percpu'
import { addAtomic32, load32, loadAtomic32, notify32 } from 'percpu/mem'

export interface SrcuReaderData {
  readonly handle: MachineHandle
  readonly flavour: SrcuFlavour
  /** Byte addresses of words. */
  readonly pointer: number
  readonly stop: number
  readonly errors: number
  readonly reads: number
}
const WORDS = 64

const { handle, flavour, pointer, stop, errors, reads } = workerData as SrcuReaderData
const machine = join(handle)
const domain = machine.srcu('s', { flavour })
const { i32 } = machine.memory
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function section(awaits: number): Promise<void> {
  const token = domain.readLock()
  const word = loadAtomic32(i32, pointer / 4) / 4
  const first = load32(i32, word)
  let isBad = first <= 0
  for (let i = 0; i <= awaits; i++) {
    for (let at = 0; at < WORDS; at++) if (load32(i32, word + at) !== first) isBad = true
    if (i < awaits) await (i % 2 === 0 ? turn() : Promise.resolve())
  }
  domain.readUnlock(token)
  if (isBad) addAtomic32(i32, errors / 4, 1)
  if (addAtomic32(i32, reads / 4, 1) === 0) notify32(i32, reads / 4)
}

async function task(awaits: number): Promise<void> {
  while (loadAtomic32(i32, stop / 4) === 0) {
    for (let i = 0; i < 20; i++) await section(awaits)
    await turn()
  }
}

await Promise.all([task(0), task(1), task(4)])
await machine.offline()
