/**
 * What locks and sections promise to one who uses them rightly, and what they say to one who does
 * not.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  CompletionLayout,
  MutexLayout,
  SemaphoreLayout,
  type Condition,
  type Machine,
  type Mutex,
  type MutexGuard,
  type PercpuError,
} from 'percpu'
import { load32, loadF64, loadU64 } from 'percpu/mem'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

const patience = { timeout: 30_000 }
const words = (machine: Machine, count = 16): number => machine.heap.memblock.alloc({ size: count * 4 }) / 4

describe('a mutex', () => {
  it('is the same one under its name and at its address, with its owner in its word', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const mutex = machine.locks.mutex('m')
    assert.equal(machine.locks.mutexAt(mutex.address), mutex)
    const guard = other.locks.mutex('m').lock()
    assert.deepEqual(mutex.owner, { cpu: 1, incarnation: 1 })
    assert.equal(mutex.tryLock(), undefined)
    assert.deepEqual(machine.locks.heldBy(1), [{ address: mutex.address, kind: 'mutex', owner: 1 }])
    guard.unlock()
    assert.equal(mutex.owner, undefined)
    assert.ok(mutex.tryLock()?.isHeld)
  })

  it('refuses to be locked twice by its owner, and to be unlocked by anybody else', () => {
    const machine = fresh()
    const stranger = joinAs(machine, 101).locks.mutex('m')
    const mutex = machine.locks.mutex('m')
    throwsCode(() => mutex.unlock(), 'PERCPU_NOT_OWNER', /nobody has it locked/)
    const guard = mutex.lock()
    throwsCode(() => mutex.lock(), 'PERCPU_SELF_DEADLOCK', /CPU 0 has mutex 'm' locked already/)
    throwsCode(() => stranger.unlock(), 'PERCPU_NOT_OWNER', /CPU 0 has it locked/)
    throwsCode(() => stranger.lock({ timeout: 1 }), 'PERCPU_LOCK_TIMEOUT')
    guard.unlock()
    throwsCode(() => guard.unlock(), 'PERCPU_NOT_OWNER', /has released mutex .* before/)
    const later = mutex.lock()
    throwsCode(() => guard.unlock(), 'PERCPU_NOT_OWNER')
    guard[Symbol.dispose]()
    assert.ok(later.isHeld)
    later[Symbol.dispose]()
    assert.equal(mutex.owner, undefined)
  })

  it('is given to tasks of one thread in their order', patience, async () => {
    const mutex = fresh().locks.mutex('m')
    const order: number[] = []
    const task = async (number: number): Promise<void> => {
      const guard = await mutex.lockAsync()
      order.push(number)
      await new Promise(setImmediate)
      guard.unlock()
    }
    await Promise.all([1, 2, 3, 4].map(task))
    assert.deepEqual(order, [1, 2, 3, 4])
  })

  it('stops waiting when told to, and passes its turn on', patience, async () => {
    const machine = fresh()
    const [owner, waiter, next] = [machine, joinAs(machine, 101), joinAs(machine, 102)].map((cpu) =>
      cpu.locks.mutex('m'),
    )
    assert.ok(owner && waiter && next)
    const guard = owner.lock()
    const controller = new AbortController()
    const aborted = waiter.lockAsync({ signal: controller.signal })
    const late = waiter.lockAsync({ timeout: 1 })
    const last = next.lockAsync()
    controller.abort(new Error('enough'))
    await assert.rejects(aborted, /enough/)
    await rejectsCode(late, 'PERCPU_LOCK_TIMEOUT', /CPU 0 has it locked/)
    await assert.rejects(waiter.lockAsync({ signal: controller.signal }), /enough/)
    guard.unlock()
    ;(await last).unlock()
    assert.equal(owner.owner, undefined)
  })

  it('tells the next owner that its predecessor died, once', () => {
    const machine = fresh()
    joinAs(machine, 101).locks.mutex('m').lock()
    machine.cpus.declareDead(1)
    const mutex = machine.locks.mutex('m')
    const guard = mutex.lock()
    assert.equal(guard.predecessorDied, true)
    guard.unlock()
    assert.equal(mutex.lock().predecessorDied, false)
  })

  it('is one of at most 32 that a CPU can have, however many it had before', () => {
    const machine = fresh()
    const base = machine.heap.memblock.alloc({ size: 40 * MutexLayout.size })
    const mutexes = Array.from({ length: 40 }, (_, i) => machine.locks.mutexAt(base + i * MutexLayout.size))
    for (const mutex of mutexes) mutex.lock().unlock()
    const guards = mutexes.slice(0, 32).map((mutex) => mutex.lock())
    throwsCode(() => mutexes[39]?.lock(), 'PERCPU_TOO_MANY_LOCKS', /32 locks/)
    assert.equal(mutexes[39]?.owner, undefined)
    guards[5]?.unlock()
    mutexes[39]?.lock()
    assert.equal(machine.locks.heldBy(0).length, 32)
  })

  it('is not needed for waking: a CPU with 32 locks gives back and completes', async () => {
    const machine = fresh()
    const [condition, mutex] = conditionOf(machine)
    const completion = machine.locks.completion('done')
    const semaphore = machine.locks.semaphore('s', 2)
    const readers = machine.percpu.rwSemaphore('rw')
    const reading = readers.readLock()
    const writing = readers.writeLock()
    while (!readers.isSlow) await new Promise(setImmediate)
    const permits = semaphore.acquire(2)
    mutex.lock()
    const others = fill(machine)
    throwsCode(() => machine.locks.mutex('one more').lock(), 'PERCPU_TOO_MANY_LOCKS')
    condition.notify()
    completion.complete()
    permits.release(1)
    assert.equal(semaphore.available, 1)
    reading.unlock()
    for (const guard of others) guard.unlock()
    ;(await writing).unlock()
    assert.ok(completion.tryWait())
  })

  it(
    'is not needed for giving back: 32 semaphores, and the last reference of a count',
    patience,
    async () => {
      const machine = fresh()
      const semaphores = Array.from({ length: 32 }, (_, i) => machine.locks.semaphore(`s${i}`, 4))
      const permits = semaphores.map((semaphore) => semaphore.acquire())
      throwsCode(() => machine.locks.semaphore('one more', 1).acquire(), 'PERCPU_TOO_MANY_LOCKS')
      for (const each of permits) each.release()
      for (const semaphore of semaphores) assert.equal(semaphore.available, 4)

      const users = machine.percpu.ref('users')
      users.get()
      await users.kill()
      const released = joinAs(machine, 101).percpu.ref('users').released(patience)
      fill(machine)
      users.put()
      assert.ok(users.isZero)
      await released
    },
  )

  it('that cannot be entered for want of a place leaves no trace', () => {
    const machine = fresh()
    const completion = machine.locks.completion('done')
    const others = fill(machine)
    throwsCode(() => completion.wait({ timeout: 1 }), 'PERCPU_TOO_MANY_LOCKS')
    for (const guard of others) guard.unlock()
    throwsCode(() => completion.wait({ timeout: 1 }), 'PERCPU_LOCK_TIMEOUT')
    const waiters = completion.address / 4 + CompletionLayout.words.waiters
    assert.equal(load32(machine.memory.i32, waiters), 0, 'it is a waiter for ever')
  })

  it('that a condition lets go has its place when it is taken again', patience, async () => {
    const machine = fresh()
    const [condition, mutex] = conditionOf(machine)
    const guard = mutex.lock()
    const waiting = condition.waitAsync(guard, { timeout: 5 })
    const others = fill(machine)
    assert.equal(others.length, 30)
    assert.equal(await waiting, false)
    assert.ok(guard.isHeld)
    guard.unlock()
  })

  it('held when its CPU goes offline is released as a dead one is, and reported', patience, async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    leaver.locks.mutex('m').lock()
    const pending = leaver.locks.mutex('n').lockAsync()
    ;(await pending).unlock()
    await assert.rejects(leaver.offline(), (error: Error) => {
      assert.match((error.cause as Error).message, /offline with 1 locks held/)
      return true
    })
    const guard = machine.locks.mutex('m').tryLock()
    assert.equal(guard?.predecessorDied, true)
  })
})

describe('a section', () => {
  it('is committed as a whole, or taken back when it throws', () => {
    const machine = fresh({ journal: 8 })
    const word = words(machine)
    const mutex = machine.locks.mutex('m')
    assert.equal(
      mutex.run((section) => {
        section.write32(word, 1)
        section.writeF64(word / 2 + 1, 0.25)
        section.writeU64(word / 2 + 2, 2n ** 63n + 5n)
        return section.room
      }),
      3,
    )
    const { memory } = machine
    const seen = (): unknown[] => [
      load32(memory.i32, word),
      loadF64(memory.f64, word / 2 + 1),
      loadU64(memory.u64, word / 2 + 2),
    ]
    assert.deepEqual(seen(), [1, 0.25, 2n ** 63n + 5n])
    assert.throws(() => {
      mutex.run((section) => {
        section.write32(word, 2)
        section.write32(word, 3)
        section.writeF64(word / 2 + 1, 9)
        section.writeU64(word / 2 + 2, 1n)
        throw new Error('no')
      })
    }, /no/)
    assert.deepEqual(seen(), [1, 0.25, 2n ** 63n + 5n])
    assert.equal(mutex.owner, undefined)
  })

  it('nests: an inner one that throws takes back its own, and mutexes are released at the end of all', () => {
    const machine = fresh({ journal: 8 })
    const word = words(machine)
    const [outer, inner] = [machine.locks.mutex('outer'), machine.locks.mutex('inner')]
    outer.run((section) => {
      section.write32(word, 1)
      assert.throws(() =>
        inner.run((nested) => {
          nested.write32(word, 2)
          nested.write32(word + 1, 2)
          throw new Error('no')
        }),
      )
      assert.equal(load32(machine.memory.i32, word), 1)
      outer.run((same) => same.write32(word + 2, 3))
      assert.notEqual(inner.owner, undefined)
      inner.lock().unlock()
      assert.notEqual(inner.owner, undefined)
    })
    assert.deepEqual(
      [0, 1, 2].map((i) => load32(machine.memory.i32, word + i)),
      [1, 0, 3],
    )
    assert.deepEqual([outer.owner, inner.owner], [undefined, undefined])
  })

  it('refuses to pass the bound of the journal, before it does', () => {
    const machine = fresh({ journal: 8 })
    const word = words(machine)
    const mutex = machine.locks.mutex('m')
    throwsCode(
      () =>
        mutex.run((section) => {
          for (let i = 0; i < 9; i++) section.write32(word + i, i + 1)
        }),
      'PERCPU_JOURNAL_FULL',
      /more often than its journal has entries, 8;/,
    )
    for (let i = 0; i < 9; i++) assert.equal(load32(machine.memory.i32, word + i), 0)
    mutex.run((section) => {
      for (let i = 0; i < 8; i++) section.write32(word + i, i + 1)
      assert.equal(section.room, 0)
    })
    throwsCode(
      () =>
        mutex.run((section) => {
          for (let i = 0; i < 7; i++) section.write32(word, i)
          section.writeF64(word / 2, 1)
        }),
      'PERCPU_JOURNAL_FULL',
    )
    assert.equal(load32(machine.memory.i32, word), 1)
  })

  it('refuses words that do not exist, promises, and use after its end', async () => {
    const machine = fresh({ journal: 8 })
    const word = words(machine)
    const mutex = machine.locks.mutex('m')
    // The last ones are in the header page.
    for (const wrong of [-1, 0.5, 2 ** 30, NaN, 0, 511]) {
      throwsCode(() => mutex.run((section) => section.write32(wrong, 1)), 'PERCPU_ARGUMENT')
      throwsCode(() => mutex.run((section) => section.writeF64(wrong, 1)), 'PERCPU_ARGUMENT')
      throwsCode(() => mutex.run((section) => section.writeU64(wrong, 1n)), 'PERCPU_ARGUMENT')
    }
    throwsCode(
      () =>
        mutex.run((section) => {
          section.write32(word, 5)
          return Promise.resolve()
        }),
      'PERCPU_SECTION',
      /synchronous/,
    )
    assert.equal(load32(machine.memory.i32, word), 0)
    const leaked = mutex.run((section) => section)
    throwsCode(() => leaked.write32(word, 1), 'PERCPU_SECTION', /the section has ended/)
    throwsCode(() => leaked.writeF64(word + 1, 1), 'PERCPU_SECTION', /the section has ended/)
    throwsCode(() => leaked.writeU64(word + 1, 1n), 'PERCPU_SECTION', /the section has ended/)
    throwsCode(() => leaked.commit(), 'PERCPU_SECTION', /the section has ended/)
    const guard = mutex.lock()
    const [first, second] = [guard.begin(), guard.begin()]
    throwsCode(() => first.commit(), 'PERCPU_SECTION', /opposite order/)
    second.write32(word, 1)
    second.commit()
    first[Symbol.dispose]()
    assert.equal(load32(machine.memory.i32, word), 0)
    guard.unlock()
    assert.equal(await mutex.runAsync(() => 7), 7)
  })
})

describe('the others', () => {
  it('a condition wakes who waits, with the mutex', patience, async () => {
    const machine = fresh()
    const others = [101, 102].map((thread) => joinAs(machine, thread))
    let woken = 0
    const waits = others.map(async (cpu) => {
      const mutex = cpu.locks.mutex('m')
      const guard = await mutex.lockAsync()
      assert.equal(await cpu.locks.condition('c', mutex).waitAsync(guard), true)
      assert.ok(guard.isHeld)
      woken++
      guard.unlock()
    })
    const mutex = machine.locks.mutex('m')
    const condition = machine.locks.condition('c', mutex)
    throwsCode(() => condition.notify(), 'PERCPU_NOT_OWNER', /lock mutex 'm'/)
    const isWaiting = (cpu: number): boolean =>
      machine.locks.heldBy(cpu).every(({ kind }) => kind === 'queue') &&
      machine.locks.heldBy(cpu).length === 1
    while (!isWaiting(1) || !isWaiting(2)) await new Promise(setImmediate)
    for (let i = 0; i < 2; i++) {
      const guard = await mutex.lockAsync()
      condition.notify()
      guard.unlock()
    }
    await Promise.all(waits)
    assert.equal(woken, 2)
    const guard = mutex.lock()
    assert.equal(condition.wait(guard, { timeout: 1 }), false)
    assert.ok(guard.isHeld)
    throwsCode(() => guard.run(() => condition.wait(guard)), 'PERCPU_SECTION')
    guard.unlock()
    throwsCode(
      () => machine.locks.condition('c', machine.locks.mutex('other')),
      'PERCPU_ARGUMENT',
      /belongs to mutex 'm'/,
    )
  })

  it('completeAll lets everybody go on, until it is reset', patience, async () => {
    const machine = fresh()
    const others = [101, 102].map((thread) => joinAs(machine, thread).locks.completion('c'))
    const waits = others.map((completion) => completion.waitAsync())
    const completion = machine.locks.completion('c')
    completion.completeAll()
    await Promise.all(waits)
    completion.wait()
    assert.ok(completion.isDone)
    completion.reset()
    throwsCode(() => completion.wait({ timeout: 1 }), 'PERCPU_LOCK_TIMEOUT')
  })

  it('a semaphore gives what it has, and takes back no more', patience, async () => {
    const machine = fresh()
    const other = joinAs(machine, 101).locks.semaphore('s', 3)
    throwsCode(() => machine.locks.semaphore('s', 99), 'PERCPU_ARGUMENT', /'s' has 3, not 99/)
    const semaphore = machine.locks.semaphore('s', 3)
    assert.equal(semaphore.available, 3)
    const two = semaphore.acquire(2)
    assert.deepEqual([two.count, two.isHeld, semaphore.held], [2, true, 2])
    assert.equal(semaphore.tryAcquire(2), undefined)
    const waiting = other.acquireAsync(3)
    throwsCode(() => two.release(3), 'PERCPU_NOT_OWNER', /2 are left, 3 cannot be released/)
    for (const wrong of [0, -1, 0.5]) throwsCode(() => two.release(wrong), 'PERCPU_ARGUMENT')
    two.release(1)
    assert.deepEqual([two.count, semaphore.held, semaphore.available], [1, 1, 2])
    two.release()
    assert.deepEqual([two.count, two.isHeld], [0, false])
    throwsCode(() => two.release(), 'PERCPU_NOT_OWNER', /were released before/)
    two[Symbol.dispose]()
    const three = await waiting
    assert.deepEqual([other.held, semaphore.available], [3, 0])
    throwsCode(() => semaphore.acquire(1, { timeout: 1 }), 'PERCPU_LOCK_TIMEOUT')
    three.release(1)
    {
      using one = semaphore.acquire()
      assert.deepEqual([one.count, other.held, semaphore.available], [1, 2, 0])
    }
    assert.deepEqual([semaphore.held, semaphore.available], [0, 1])
    for (const wrong of [0, -1, 1.5, 2 ** 24]) throwsCode(() => semaphore.acquire(wrong), 'PERCPU_ARGUMENT')
    throwsCode(() => semaphore.acquire(4), 'PERCPU_ARGUMENT', /4 permits can never be had, there are 3/)
    throwsCode(() => semaphore.tryAcquire(4), 'PERCPU_ARGUMENT')
    await rejectsCode(semaphore.acquireAsync(4), 'PERCPU_ARGUMENT')
    assert.equal(semaphore.total, 3)
    throwsCode(() => machine.locks.semaphore('t', -1), 'PERCPU_ARGUMENT')
    const address = machine.heap.memblock.alloc({ size: SemaphoreLayout.size })
    machine.locks.initSemaphore(address, 2)
    assert.deepEqual(
      [machine.locks.semaphoreAt(address).available, machine.locks.semaphoreAt(address).total],
      [2, 2],
    )
    throwsCode(() => machine.locks.semaphoreAt(address + 4), 'PERCPU_ARGUMENT', /aligned to 8/)
  })
})

function conditionOf(machine: Machine): readonly [Condition, Mutex] {
  const mutex = machine.locks.mutex('m')
  return [machine.locks.condition('c', mutex), mutex]
}
/** Locks mutexes until the CPU can have no more locks. */
function fill(machine: Machine): MutexGuard[] {
  const guards: MutexGuard[] = []
  try {
    for (;;) guards.push(machine.locks.mutex(`filler ${guards.length}`).lock())
  } catch (error) {
    assert.equal((error as PercpuError).code, 'PERCPU_TOO_MANY_LOCKS')
    return guards
  }
}
