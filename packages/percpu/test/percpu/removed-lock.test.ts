/** What a reader-writer lock does in the background, once its name is taken away. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Machine } from 'percpu'
import { load32, store32 } from 'percpu/mem'
import { PercpuRwSemaphoreLayout } from '../../dist/percpu/layouts.js'
import { fresh, joinAs } from '../support/machines.js'

const { words } = PercpuRwSemaphoreLayout
const WRITES = 2
/** What a word has that the lock would change. */
const MARK = 0x7777

/** Word index of the lock that a CPU holds. */
function lockOf(machine: Machine): number {
  const [held] = machine.locks.heldBy(machine.cpu)
  assert.ok(held)
  return held.address / 4 - words['mutex.owner']
}
/** Takes objects of all sizes until one has the word. */
function take({ heap }: Machine, word: number): number[] {
  const taken: number[] = []
  for (const size of [64, 96, 128, 160, 192, 224, 256, 320, 384])
    for (let count = 0; count < 60; count++) {
      const address = heap.alloc(size, { zero: true })
      taken.push(address)
      if (address / 4 <= word && word < (address + size) / 4) return taken
    }
  throw new Error('the memory of the lock was not freed')
}

/** Writes, and unlocks. Returns the word index of the lock. */
async function write(machine: Machine): Promise<number> {
  const lock = machine.percpu.rwSemaphore('lock')
  let word = 0
  for (let count = 0; count < WRITES; count++) {
    const guard = await lock.writeLock()
    word = lockOf(machine)
    guard.unlock()
  }
  return word
}

describe('a reader-writer lock that is removed after it was unlocked', () => {
  it("leaves its memory alone, which is another object's", async () => {
    const machine = fresh({ memory: '1 MiB', cpus: 2 })
    const other = joinAs(machine, 101)
    const { i32 } = machine.memory
    for (let round = 0; round < 20; round++) {
      const word = await write(other)
      machine.percpu.remove('rwSemaphore', 'lock')
      await machine.rcu.barrier()
      const taken = take(machine, word)
      // As if it was the lock, unlocked, with the number of the last write.
      store32(i32, word + words.writes, WRITES)
      const marked = [word + words.state, word + words.mode]
      for (const each of marked) store32(i32, each, MARK)
      for (let turn = 0; turn < 20; turn++) await setImmediate()
      for (const each of marked) assert.equal(load32(i32, each), MARK, `round ${round}`)
      for (const address of taken) machine.heap.free(address)
    }
    await other.offline()
  })
})
