/** The lock for many readers. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh, joinAs } from '../support/machines.js'
import { becomesSet, set, withMachine, words } from '../support/threads.js'

describe('a CPU that goes offline while readers are still let in again', () => {
  it('ends that, and reports nothing', async () => {
    const machine = fresh()
    const leaving = joinAs(machine, 101)
    ;(await leaving.percpu.rwSemaphore('s').writeLock()).unlock()
    const reported: unknown[] = []
    const note = (error: unknown): void => void reported.push(error)
    process.on('unhandledRejection', note)
    process.on('uncaughtException', note)
    await leaving.offline()
    await new Promise((resolve) => setTimeout(resolve, 20))
    process.off('unhandledRejection', note)
    process.off('uncaughtException', note)
    assert.deepEqual(reported, [])
    machine.percpu.rwSemaphore('s').readLock().unlock()
  })
})

describe('a lock for many readers', () => {
  it('lets readers in together, and a writer alone', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [lock, same] = [machine.percpu.rwSemaphore('s'), other.percpu.rwSemaphore('s')]
    const readers = [lock.readLock(), same.readLock(), same.tryReadLock() ?? assert.fail()]
    assert.equal(lock.readers, 3)
    let isWriting = false
    const writing = same.writeLock().then((guard) => {
      isWriting = true
      return guard
    })
    for (const reader of readers) {
      await machine.rcu.synchronize()
      assert.equal(isWriting, false)
      reader.unlock()
    }
    const writer = await writing
    assert.equal(lock.tryReadLock(), undefined)
    assert.throws(() => lock.readLock({ timeout: 1 }), { code: 'PERCPU_LOCK_TIMEOUT' })
    const waiting = lock.readLockAsync()
    writer.unlock()
    const reader = await waiting
    assert.equal(same.readers, 1)
    assert.throws(() => readers[0]?.unlock(), { code: 'PERCPU_NOT_OWNER' })
    reader.unlock()
    await assert.rejects(
      async () => {
        const held = lock.readLock()
        try {
          await same.writeLock({ timeout: 1 })
        } finally {
          held.unlock()
        }
      },
      { code: 'PERCPU_LOCK_TIMEOUT' },
    )
    ;(await lock.writeLock()).unlock()
  })
  it('is fast again some time after the last writer', async () => {
    const machine = fresh()
    const lock = machine.percpu.rwSemaphore('s')
    ;(await lock.writeLock()).unlock()
    ;(await lock.writeLock()).unlock()
    for (let i = 0; i < 100 && lock.isSlow; i++) await machine.rcu.synchronize()
    assert.equal(lock.isSlow, false)
  })
  it('is unlocked by the reaper for a dead reader, and goes on after a dead writer', async () => {
    const machine = fresh()
    const [first, second] = [joinAs(machine, 101), joinAs(machine, 102)]
    const lock = machine.percpu.rwSemaphore('s')
    first.percpu.rwSemaphore('s').readLock()
    const writing = second.percpu.rwSemaphore('s').writeLock()
    await machine.rcu.synchronize()
    machine.cpus.declareDead(1)
    await writing
    machine.cpus.declareDead(2)
    const writer = await lock.writeLock()
    assert.equal(writer.predecessorDied, true)
    writer.unlock()
    lock.readLock().unlock()
  })
})

describe('a wait to write', () => {
  it('has one time limit, for the mutex and for the readers together', { timeout: 20_000 }, async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const lock = machine.percpu.rwSemaphore('s')
    const reader = lock.readLock()
    const controller = new AbortController()
    const before = other.percpu.rwSemaphore('s').writeLock({ signal: controller.signal })
    const writing = lock.writeLock({ timeout: 60_000 })
    await machine.rcu.synchronize()
    const now = performance.now.bind(performance)
    try {
      // Nearly all the time goes by while the other CPU has the mutex.
      performance.now = () => now() + 59_980
      controller.abort(new RangeError('enough'))
      await assert.rejects(before, /enough/)
      await assert.rejects(writing, { code: 'PERCPU_LOCK_TIMEOUT' })
    } finally {
      performance.now = now
    }
    reader.unlock()
    ;(await lock.writeLock()).unlock()
  })

  it('ends at its time limit also when a CPU does not answer, and leaves readers fast', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const busy = await start()
      const lock = machine.percpu.rwSemaphore('s')
      const spinning = busy.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      await assert.rejects(lock.writeLock({ timeout: 20 }), { code: 'PERCPU_LOCK_TIMEOUT' })
      lock.readLock().unlock()
      set(machine.memory, until)
      await spinning
      while (lock.isSlow) await machine.rcu.synchronize()
      ;(await lock.writeLock()).unlock()
    })
  })
})

describe('a CPU that goes offline with a lock for many readers', () => {
  it('is told that it had it locked for reading, as of a mutex; it is unlocked', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    const lock = leaver.percpu.rwSemaphore('s')
    const guards = [lock.readLock(), lock.readLock()]
    const error: unknown = await leaver.offline().then(
      () => assert.fail(),
      (thrown: unknown) => thrown,
    )
    assert.equal((error as { code?: string }).code, 'PERCPU_HOTPLUG')
    const { cause } = error as { cause?: { code?: string; details?: object } }
    assert.deepEqual([cause?.code, cause?.details], ['PERCPU_LOCK_HELD', { cpu: 1, readLocks: 2 }])
    assert.throws(() => guards[0]?.unlock(), { code: 'PERCPU_OFFLINE' })
    const own = machine.percpu.rwSemaphore('s')
    assert.equal(own.readers, 0)
    ;(await own.writeLock()).unlock()
    assert.deepEqual(machine.online, [0])
  })
})
