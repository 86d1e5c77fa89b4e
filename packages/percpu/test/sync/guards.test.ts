/**
 * Whatever is taken gives a guard. All guards end in the same way, once, and end nothing that is
 * another one's.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, type Machine } from 'percpu'
import { throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'

interface Guard {
  readonly isHeld: boolean
  [Symbol.dispose](): void
}
interface Kind {
  readonly take: (cpu: Machine) => Guard | Promise<Guard>
  /** Takes it if it can be had now. */
  readonly tryTake?: (cpu: Machine) => Guard | undefined
  readonly end: (guard: never) => void
}
const unlock = (guard: { unlock(): void }): void => guard.unlock()
const release = (guard: { release(): void }): void => guard.release()
const kinds: Readonly<Record<string, Kind>> = {
  'a mutex': {
    take: ({ locks }) => locks.mutex('m').lock(),
    tryTake: ({ locks }) => locks.mutex('m').tryLock(),
    end: unlock,
  },
  'a mutex, asynchronously': { take: ({ locks }) => locks.mutex('m').lockAsync(), end: unlock },
  'a seqlock': {
    take: ({ locks }) => locks.seqlock('q').writeLock(),
    tryTake: ({ locks }) => locks.seqlock('q').tryWriteLock(),
    end: unlock,
  },
  'a seqlock, asynchronously': { take: ({ locks }) => locks.seqlock('q').writeLockAsync(), end: unlock },
  'a semaphore': {
    take: ({ locks }) => locks.semaphore('s', 2).acquire(2),
    tryTake: ({ locks }) => locks.semaphore('s', 2).tryAcquire(2),
    end: release,
  },
  'a semaphore, asynchronously': {
    take: ({ locks }) => locks.semaphore('s', 2).acquireAsync(2),
    end: release,
  },
  'a reader-writer lock, for writing': {
    take: ({ percpu }) => percpu.rwSemaphore('w').writeLock(),
    end: unlock,
  },
  'a reader-writer lock, for reading': {
    take: ({ percpu }) => percpu.rwSemaphore('w').readLock(),
    end: unlock,
  },
  'a reader-writer lock, for reading, asynchronously': {
    take: ({ percpu }) => percpu.rwSemaphore('w').readLockAsync(),
    end: unlock,
  },
}

describe('a guard', () => {
  for (const [name, { take, tryTake, end }] of Object.entries(kinds)) {
    it(`of ${name} ends once`, async () => {
      const machine = boot({ cpus: 2, memory: '1 MiB' })
      const guard = await take(machine)
      assert.equal(guard.isHeld, true)
      end(guard as never)
      assert.equal(guard.isHeld, false)
      throwsCode(() => end(guard as never), 'PERCPU_NOT_OWNER')
      guard[Symbol.dispose]()
      {
        using inner = await take(machine)
        assert.deepEqual([inner.isHeld, guard.isHeld], [true, false])
        // An end of the one before is not an end of this one.
        throwsCode(() => end(guard as never), 'PERCPU_NOT_OWNER')
        guard[Symbol.dispose]()
        assert.equal(inner.isHeld, true)
      }
      const again = await take(joinAs(machine, 101))
      assert.equal(again.isHeld, true)
      if (tryTake) assert.equal(tryTake(machine), undefined)
      end(again as never)
      if (!tryTake) return
      const last = tryTake(machine)
      assert.equal(last?.isHeld, true)
      last[Symbol.dispose]()
      assert.equal(last.isHeld, false)
    })
  }

  it('of a task does not end what the next task of its thread has got', async () => {
    const machine = boot({ cpus: 1, memory: '1 MiB' })
    const mutex = machine.locks.mutex('m')
    const guard = mutex.lock()
    const next = mutex.lockAsync()
    await new Promise(setImmediate)
    guard.unlock()
    // Whenever the other task goes on.
    for (let i = 0; i < 20; i++) {
      assert.equal(guard.isHeld, false)
      guard[Symbol.dispose]()
      await Promise.resolve()
    }
    assert.equal((await next).isHeld, true)
  })
})

describe('the guard of a seqlock', () => {
  it('makes each of its sections a write, and keeps readers out until it ends', () => {
    const machine = boot({ cpus: 2, memory: '1 MiB' })
    const other = joinAs(machine, 101)
    const lock = machine.locks.seqlock('q')
    const word = machine.heap.memblock.alloc({ size: 8 }) / 4
    const read = (): number => other.locks.seqlock('q').read(() => machine.cpu, { timeout: 0 })
    const guard = lock.writeLock()
    assert.equal(read(), 0)
    guard.run((section) => section.write32(word, 1))
    throwsCode(read, 'PERCPU_LOCK_TIMEOUT')
    guard.unlock()
    assert.equal(read(), 0)
    throwsCode(() => lock.read(() => lock.writeLock()), 'PERCPU_SELF_DEADLOCK')
    throwsCode(() => lock.read(() => lock.tryWriteLock()), 'PERCPU_SELF_DEADLOCK')
  })
})
