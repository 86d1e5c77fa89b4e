/** No wake-up is lost and nobody starves, whichever CPU comes in the middle of whom. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Condition, Machine, MutexGuard } from 'percpu'
import { fresh, interrupt, joinAs, Killed, mem, percpu } from '../support/hooked-percpu.js'
import { answerAll, settles } from './support/settle.js'

function four(): readonly [Machine, Machine, Machine, Machine] {
  const machine = fresh()
  return [machine, joinAs(machine, 101), joinAs(machine, 102), joinAs(machine, 103)]
}
const conditionOf = (cpu: Machine): Condition => cpu.locks.condition('c', cpu.locks.mutex('m'))

/** Waits for the condition on one CPU; tells how the wait ended, with the mutex unlocked again. */
async function waitOn(cpu: Machine, guard: MutexGuard, signal?: AbortSignal): Promise<boolean> {
  try {
    return await conditionOf(cpu).waitAsync(guard, signal ? { signal } : {})
  } finally {
    guard.unlock()
  }
}
/** Notifies so many times, if the mutex is free. */
function tryNotify(cpu: Machine, times: number): boolean {
  const guard = cpu.locks.mutex('m').tryLock()
  if (!guard) return false
  for (let i = 0; i < times; i++) conditionOf(cpu).notify()
  guard.unlock()
  return true
}

describe('a condition', () => {
  it('notified twice wakes two waiters, also while one of them begins to wait', async () => {
    let inside = 0
    for (let at = 0, more = true; more; at++) {
      const cpus = four()
      const [notifier, first, second] = cpus
      const waits = [waitOn(second, second.locks.mutex('m').lock())]
      const guard = first.locks.mutex('m').lock()
      const notified: boolean[] = []
      more = interrupt(
        () => waits.push(waitOn(first, guard)),
        at,
        () => notified.push(tryNotify(notifier, 1)),
      )
      if (notified[0]) inside++
      else assert.ok(tryNotify(notifier, 1))
      assert.ok(tryNotify(notifier, 1))
      const ends = await settles(Promise.all(waits), cpus, `before access ${at}: a notification was lost`)
      assert.deepEqual(ends, [true, true])
    }
    assert.ok(inside > 2, `notified inside ${inside} times only`)
  })

  it('notified for one whose wait is aborted at that moment tells it, or wakes another one', async () => {
    const cpus = four()
    const [notifier, first, second] = cpus
    const controller = new AbortController()
    const aborted = waitOn(first, first.locks.mutex('m').lock(), controller.signal)
    const other = waitOn(second, second.locks.mutex('m').lock())
    assert.ok(tryNotify(notifier, 1))
    controller.abort(new Error('enough'))
    const woken: boolean[] = []
    const ends = [aborted, other].map((wait) =>
      wait.then(
        (end) => woken.push(end),
        () => undefined,
      ),
    )
    await answerAll(cpus)
    const atOnce = [...woken]
    tryNotify(notifier, 1)
    await settles(Promise.all(ends), cpus, 'the last one is asleep')
    assert.deepEqual(atOnce, [true], 'the notification was lost')
  })

  it('rejects with the reason of the abort, whatever that is', async () => {
    const cpus = four()
    const [, first] = cpus
    for (const reason of ['a text', new percpu.LockTimeoutError('that of another lock'), null]) {
      const controller = new AbortController()
      const guard = first.locks.mutex('m').lock()
      const wait = conditionOf(first).waitAsync(guard, { signal: controller.signal })
      controller.abort(reason)
      await assert.rejects(settles(wait, cpus, 'the abort was not noticed'), (found) => found === reason)
      assert.ok(guard.isHeld)
      guard.unlock()
      const held = cpus[0].locks.mutex('m').lock()
      const locking = first.locks.mutex('m').lockAsync({ signal: AbortSignal.abort(reason) })
      await assert.rejects(locking, (found) => found === reason)
      held.unlock()
    }
  })

  it('notified for one that is killed before it has the mutex again wakes another one', async () => {
    let killed = 0
    for (let at = 0, more = true; more; at++) {
      const cpus = four()
      const [notifier, first, second] = cpus
      const other = waitOn(second, second.locks.mutex('m').lock())
      const guard = first.locks.mutex('m').lock()
      let count = 0
      const state = { notified: false }
      const { control } = mem
      const views = new Set<unknown>(Object.values(first.memory))
      const before = (_name: string, [view]: readonly unknown[]): void => {
        if (views.has(view) && count++ >= at) throw new Killed()
        if (state.notified) return
        control.before = undefined
        state.notified = tryNotify(notifier, 1)
        control.before = before
      }
      control.before = before
      more = false
      try {
        conditionOf(first).wait(guard)
      } catch (error) {
        if (!(error instanceof Killed)) throw error
        more = true
      } finally {
        control.before = undefined
      }
      if (more) {
        control.dead.add(first.memory.i32)
        notifier.cpus.declareDead(1)
        if (state.notified) killed++
      } else {
        guard.unlock()
      }
      if (!more || !state.notified) assert.ok(tryNotify(notifier, 1))
      await settles(other, [notifier, second], `killed before access ${at}: nobody was woken`)
    }
    assert.ok(killed > 5, `killed ${killed} times only`)
  })
})

describe('a semaphore', () => {
  it('wakes who can have what was released, though another one that waits wants more', async () => {
    for (const [big, small] of [
      [1, 2],
      [2, 1],
    ] as const) {
      const cpus = four()
      const owner = cpus[0].locks.semaphore('p', 5)
      const all = owner.acquire(5)
      let done = false
      const wantsAll = cpus[big].locks.semaphore('p', 5).acquireAsync(5)
      void wantsAll.then(() => (done = true))
      const wantsOne = cpus[small].locks.semaphore('p', 5).acquireAsync(1)
      all.release(1)
      const one = await settles(wantsOne, cpus, `CPU ${small} sleeps though a permit is free`)
      assert.equal(done, false)
      all.release(4)
      one.release()
      await settles(wantsAll, cpus, 'five permits are free')
    }
  })

  it('wakes another CPU when a task of one CPU leaves it something, though another task there wants more', async () => {
    const cpus = four()
    const owner = cpus[0].locks.semaphore('p', 5)
    const all = owner.acquire(5)
    const [mine, theirs] = [cpus[1].locks.semaphore('p', 5), cpus[2].locks.semaphore('p', 5)]
    const [first, many, second] = [mine.acquireAsync(1), mine.acquireAsync(5), theirs.acquireAsync(1)]
    all.release(2)
    const taken = await settles(Promise.all([first, second]), cpus, 'somebody sleeps though a permit is free')
    all.release(3)
    for (const permit of taken) permit.release()
    await settles(many, cpus, 'five permits are free')
  })
})

describe('a mutex', () => {
  it('reaches every CPU, also when the tasks of another one want it all the time', async () => {
    const cpus = four()
    const [owner, busy, patient] = cpus
    let held: MutexGuard | undefined = owner.locks.mutex('m').lock()
    let turns = 0
    let isServed = false
    const task = async (): Promise<void> => {
      while (!isServed && turns < 100) {
        const guard = await busy.locks.mutex('m').lockAsync()
        turns++
        await Promise.resolve()
        guard.unlock()
      }
    }
    const tasks = [task(), task(), task()]
    // The first task is rung and comes too late: its CPU becomes impatient.
    held.unlock()
    busy.poll()
    held = owner.locks.mutex('m').lock()
    await answerAll([busy])
    const served = patient.locks
      .mutex('m')
      .lockAsync()
      .then((guard) => {
        isServed = true
        guard.unlock()
      })
    held.unlock()
    await settles(served, cpus, `passed over for ${turns} turns`)
    assert.ok(turns <= 8, `passed over for ${turns} turns`)
    await settles(Promise.all(tasks), cpus, 'a task is left')
  })

  it('is not taken away from its owner by one that lost it when it went offline', async () => {
    const cpus = four()
    const [, leaver, owner] = cpus
    const guard = leaver.locks.mutex('m').lock()
    owner.locks.mutex('n').lock()
    const codes: string[] = []
    const other = owner.locks.mutex('m').lockAsync()
    const waiting = leaver.locks
      .mutex('n')
      .lockAsync()
      .catch(async (error: unknown) => {
        codes.push((error as { code: string }).code)
        // As a `finally` of the caller does.
        owner.poll()
        await Promise.resolve()
        try {
          guard.unlock()
        } catch (late) {
          codes.push((late as { code: string }).code)
        }
      })
    await Promise.all([leaver.offline().catch(() => undefined), waiting])
    const held = await settles(other, [cpus[0], owner], 'the mutex was not passed on')
    assert.deepEqual(codes, ['PERCPU_OFFLINE', 'PERCPU_OFFLINE'])
    assert.ok(held.isHeld)
    assert.equal(cpus[0].locks.mutex('m').tryLock(), undefined)
    assert.deepEqual(owner.locks.mutex('m').owner, { cpu: 2, incarnation: 1 })
  })
})

describe('a mutex of a CPU that was declared dead by mistake', () => {
  it('is not taken away from its next owner by the guard that the thread still has', () => {
    const [machine, mistaken, owner] = four()
    const guard = mistaken.locks.mutex('m').lock()
    machine.cpus.declareDead(mistaken.cpu)
    const held = owner.locks.mutex('m').lock()
    assert.ok(held.predecessorDied)
    assert.throws(() => guard.unlock(), { code: 'PERCPU_NOT_OWNER' })
    assert.ok(held.isHeld)
    assert.equal(machine.locks.mutex('m').tryLock(), undefined)
    held.unlock()
    machine.locks.mutex('m').lock().unlock()
  })

  it('nor do the readers of a seqlock see what its next owner is writing', () => {
    const [machine, mistaken, owner] = four()
    const guard = mistaken.locks.seqlock('q').writeLock()
    machine.cpus.declareDead(mistaken.cpu)
    const { address } = machine.locks.seqlock('q')
    owner.locks.seqlock('q').write(() => {
      assert.throws(() => guard.unlock(), { code: 'PERCPU_NOT_OWNER' })
      assert.equal(mem.load32(machine.memory.i32, address / 4) & 1, 1, 'readers are let in')
    })
    assert.equal(mem.load32(machine.memory.i32, address / 4) & 1, 0)
  })

  it('nor are its permits given back a second time', () => {
    const [machine, mistaken] = four()
    const permits = mistaken.locks.semaphore('p', 3).acquire(2)
    machine.cpus.declareDead(mistaken.cpu)
    const semaphore = machine.locks.semaphore('p', 3)
    assert.equal(semaphore.available, 3)
    assert.throws(() => permits.release(), { code: 'PERCPU_NOT_OWNER', message: /declared dead/ })
    assert.equal(semaphore.available, 3)
    semaphore.acquire(3).release()
  })
})

describe('permits', () => {
  it('are given back once, by going offline or by the one who goes', async () => {
    const cpus = four()
    const [machine, leaver] = cpus
    const permits = leaver.locks.semaphore('p', 5).acquire(2)
    machine.locks.mutex('n').lock()
    const waiting = leaver.locks
      .mutex('n')
      .lockAsync()
      .catch(() => {
        permits[Symbol.dispose]()
      })
    const late = leaver.locks
      .mutex('n')
      .lockAsync()
      .catch(() => permits.release())
    await Promise.all([
      leaver.offline().catch(() => undefined),
      waiting.catch(() => undefined),
      late.catch(() => undefined),
    ])
    assert.equal(machine.locks.semaphore('p', 5).available, 5)
  })
})
