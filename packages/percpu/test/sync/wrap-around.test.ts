/** Counts of the locks that pass their largest value: each starts shortly before it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { loadAtomic32, storeAtomic32, storeAtomicU64 } from 'percpu/mem'
import { fresh, joinAs } from '../support/machines.js'
import { words } from '../support/threads.js'

const { CompletionLayout, ConditionLayout, SemaphoreLayout, SeqlockLayout } =
  await import('../../dist/sync/layouts.js')
const { loadValue, packValue } = await import('../../dist/sync/semaphore-words.js')

/** Shortly before the sign changes, and before 0. */
const STARTS = [2 ** 31 - 2, -2]

describe('a sequence lock', () => {
  for (const start of STARTS)
    it(`shows whole data when its sequence passes ${start}`, () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const [lock, same] = [machine.locks.seqlock('q'), other.locks.seqlock('q')]
      const [x = 0, y = 0] = words(machine, 2)
      const { i32 } = machine.memory
      const sequence = lock.address / 4 + SeqlockLayout.words.sequence
      storeAtomic32(i32, sequence, start)
      for (let value = 1; value <= 3; value++) {
        let tries = 0
        const read = lock.read(() => {
          const first = loadAtomic32(i32, x)
          if (tries++ === 0)
            same.write((section) => {
              section.write32(x, value)
              section.write32(y, value)
            })
          return [first, loadAtomic32(i32, y)]
        })
        // The first try was overtaken.
        assert.deepEqual([read, tries], [[value, value], 2])
      }
      assert.ok(start < 0 !== loadAtomic32(i32, sequence) < 0)
    })
})

describe('a completion', () => {
  for (const start of STARTS)
    it(`is taken once for each time it was completed, past ${start}`, () => {
      const machine = fresh()
      const completion = machine.locks.completion('c')
      const done = completion.address / 4 + CompletionLayout.words.done
      storeAtomic32(machine.memory.i32, done, start)
      for (let i = 0; i < 4; i++) completion.complete()
      assert.equal(loadAtomic32(machine.memory.i32, done), start < 0 ? -2 : (start + 4) | 0)
      assert.equal(completion.tryWait(), true)
      assert.equal(loadAtomic32(machine.memory.i32, done), start < 0 ? -3 : (start + 3) | 0)
    })
})

describe('a condition', () => {
  for (const start of STARTS)
    it(`notices notifications when they are counted past ${start}`, async () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const mutex = machine.locks.mutex('m')
      const condition = machine.locks.condition('c', mutex)
      const same = other.locks.condition('c', other.locks.mutex('m'))
      const signals = condition.address / 4 + ConditionLayout.words.signals
      storeAtomic32(machine.memory.i32, signals, start)
      for (let i = 0; i < 4; i++) {
        const guard = mutex.lock()
        const waiting = condition.waitAsync(guard, { timeout: 5000 })
        const notifier = other.locks.mutex('m').lock()
        same.notify()
        notifier.unlock()
        assert.equal(await waiting, true)
        guard.unlock()
      }
      assert.ok(start < 0 !== loadAtomic32(machine.memory.i32, signals) < 0)
    })
})

describe('a semaphore', () => {
  for (const start of [2 ** 31 - 2, 2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1])
    it(`gives back what a dead CPU held when its operations are counted past ${start}`, () => {
      // Killed after so many more operations.
      for (let more = 0; more < 6; more++) {
        const machine = fresh()
        const dying = joinAs(machine, 101)
        const [semaphore, same] = [machine.locks.semaphore('s', 2), dying.locks.semaphore('s', 2)]
        const words = semaphore.address / 4
        storeAtomicU64(machine.memory.u64, words / 2, packValue(2, 1, start))
        storeAtomic32(machine.memory.i32, words + SemaphoreLayout.words.done + 1, start - 2)
        for (let i = 0; i < more; i++) {
          same.acquire(1).release()
          // The other CPU's operations record those of the dying one as done.
          semaphore.acquire(1).release()
        }
        same.acquire(1)
        if (more % 2 === 0) semaphore.acquire(1).release()
        assert.equal(loadValue(machine.memory, words).permits, 1)
        machine.cpus.declareDead(1)
        assert.equal(loadValue(machine.memory, words).permits, 2)
        semaphore.acquire(2).release()
      }
    })
})
