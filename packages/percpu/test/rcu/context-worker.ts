/**
 * Two contexts of one thread in sections of one domain: tasks that await in them, in any order, and
 * messages that come between any two turns. Torn ones count with an await between load and store.
 */
import assert from 'node:assert/strict'
import { MessageChannel, parentPort, workerData } from 'node:worker_threads'
import { HotplugError, join, type MachineHandle, type SrcuFlavour } from 'percpu'
import { load32, loadAtomic32, store32, storeAtomic32 } from 'percpu/mem'
import { rankOf } from '../../dist/cpus/sequence.js'
import { SrcuCpuLayout } from '../../dist/rcu/srcu-layouts.js'

export interface ContextData {
  readonly handle: MachineHandle
  readonly flavour: SrcuFlavour
  /** Byte address of a word: sections go on until it is set. */
  readonly stop: number
  readonly torn: boolean
}

const { handle, flavour, stop, torn } = workerData as ContextData
const machine = join(handle)
const domain = machine.srcu('s', { flavour })
const { i32 } = machine.memory
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const isOver = (): boolean => loadAtomic32(i32, stop / 4) !== 0

interface Internal {
  readonly words: { readonly sequence: number; readonly parts: readonly number[] }
}
/** Begins and ends a section whose count of locks is torn, and that of unlocks whole. */
async function tornSection(): Promise<void> {
  const { sequence, parts } = (domain as unknown as Internal).words
  const { locks, unlocks, atomicLocks, atomicUnlocks } = SrcuCpuLayout.words
  const part = (parts[machine.cpu] ?? 0) + rankOf(sequence)
  const [begun, ended] = flavour === 'fast' ? [locks, unlocks] : [atomicLocks, atomicUnlocks]
  const [load, store] = flavour === 'fast' ? [load32, store32] : [loadAtomic32, storeAtomic32]
  const seen = load(i32, part + begun)
  await turn()
  store(i32, part + begun, seen + 1)
  store(i32, part + ended, load(i32, part + ended) + 1)
}
async function section(turns: number): Promise<void> {
  const token = domain.readLock()
  for (let i = 0; i < turns; i++) await (i % 2 === 0 ? turn() : Promise.resolve())
  domain.readUnlock(token)
}
async function task(turns: number): Promise<number> {
  let sections = 0
  for (; !isOver(); sections++) {
    await (torn && turns === 1 ? tornSection() : section(turns))
    if (turns === 0) await turn()
  }
  return sections
}

/** Reads at each message, and sends the next one. */
function reader(): Promise<number> {
  const { port1, port2 } = new MessageChannel()
  let messages = 0
  return new Promise((resolve) => {
    port2.on('message', () => {
      domain.readUnlock(domain.readLock())
      messages++
      if (!isOver()) {
        port1.postMessage(0)
        return
      }
      port2.close()
      resolve(messages)
    })
    port1.postMessage(0)
  })
}

parentPort?.postMessage('ready')
const counts = await Promise.all([reader(), ...[0, 1, 1, 2, 3, 5, 8, 13].map((turns) => task(turns))])
parentPort?.postMessage(counts)
await new Promise((resolve) => parentPort?.once('message', resolve))
// Sections that seem to be under way are ended, and told.
if (torn) await assert.rejects(machine.offline(), HotplugError)
else await machine.offline()
