/**
 * Waiters that block their thread. One that is asleep is rung alone, so what it leaves must reach
 * somebody else. Each test has another CPU come before every access that a blocking wait makes.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, MutexGuard } from 'percpu'
import { forEachAccessAsync, fresh, interrupt, joinAs, mem } from '../support/hooked-percpu.js'
import { settles } from './support/settle.js'

/** The CPU that comes, the one that blocks, and one that waits behind it without blocking. */
function three(): readonly [Machine, Machine, Machine] {
  const machine = fresh()
  return [machine, joinAs(machine, 101), joinAs(machine, 102)]
}
const conditionOf = (cpu: Machine) => cpu.locks.condition('c', cpu.locks.mutex('m'))
/** A blocking wait that may end by its time-out. */
function gotIt(wait: () => unknown): boolean {
  try {
    wait()
    return true
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'PERCPU_LOCK_TIMEOUT')
    return false
  }
}

describe('what is rung while a CPU sleeps, or is about to', () => {
  it('permits reach one that wants few, if the first wants more than there are', async () => {
    await forEachAccessAsync(async (at) => {
      const cpus = three()
      const [owner, blocked, other] = cpus
      const all = owner.locks.semaphore('p', 3).acquire(3)
      const many = blocked.locks.semaphore('p', 3)
      const waiting = other.locks.semaphore('p', 3).acquireAsync(1)
      const isReleased = interrupt(
        () =>
          assert.equal(
            gotIt(() => many.acquire(3, { timeout: 1 })),
            false,
          ),
        at,
        () => all.release(1),
      )
      if (!isReleased) all.release(1)
      const one = await settles(waiting, cpus, `before access ${at}: asleep, though a permit is free`)
      one.release()
      return isReleased
    })
  })

  it('each of two notifications reaches another waiter, whenever the first begins to wait', async () => {
    const points = await forEachAccessAsync(async (at) => {
      const cpus = three()
      const [notifier, blocked, other] = cpus
      const waiting = conditionOf(other).waitAsync(other.locks.mutex('m').lock())
      const mine = conditionOf(blocked)
      const guard = blocked.locks.mutex('m').lock()
      const reached = notifyTwice(notifier, at, () => assert.ok(mine.wait(guard)))
      guard.unlock()
      assert.ok(await settles(waiting, cpus, `before access ${at}: a notification was lost`))
      return reached
    })
    assert.ok(points > 10, `notified at ${points} accesses only`)
  })
})

/**
 * Runs a wait for the condition. The first notification comes before its access number `at`, or
 * once the mutex is free, or when it sleeps; the second one when it sleeps for the mutex, which the
 * notifier has kept. Returns whether it made that many accesses.
 */
function notifyTwice(notifier: Machine, at: number, wait: () => void): boolean {
  const [mutex, condition] = [notifier.locks.mutex('m'), conditionOf(notifier)]
  const { control } = mem
  let held: MutexGuard | undefined
  let count = 0
  let reached = false
  const intrude = (sleeps: boolean): boolean => {
    if (held) {
      if (!sleeps) return false
      condition.notify()
      held.unlock()
      return true
    }
    reached ||= count > at
    if (!reached && !sleeps) return false
    held = mutex.tryLock()
    if (held) condition.notify()
    return false
  }
  const before = (name: string): void => {
    count++
    control.before = undefined
    const isOver = intrude(name === 'wait32')
    if (!isOver) control.before = before
  }
  control.before = before
  try {
    wait()
  } finally {
    control.before = undefined
  }
  return reached
}
