/**
 * What locks and sections do when they are used wrongly: they say so, and nothing stays locked or
 * half-changed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MutexLayout, type Machine, type Section } from 'percpu'
import { load32 } from 'percpu/mem'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

const words = (machine: Machine, count = 8): number => machine.heap.memblock.alloc({ size: count * 4 }) / 4

describe('a section that is left open', () => {
  it('inside another one is an error, and taken back with it; the mutexes are free', () => {
    const machine = fresh()
    const word = words(machine)
    const [outer, inner] = [machine.locks.mutex('outer'), machine.locks.mutex('inner')]
    throwsCode(
      () =>
        outer.run((section) => {
          section.write32(word, 1)
          inner.lock().begin().write32(word, 2)
          inner.unlock()
        }),
      'PERCPU_SECTION',
      /inner one is still open/,
    )
    assert.equal(load32(machine.memory.i32, word), 0)
    assert.deepEqual([outer.owner, inner.owner], [undefined, undefined])
    outer.run((section) => section.write32(word, 3))
    assert.equal(load32(machine.memory.i32, word), 3)
  })

  it('ends with the one around it when that is taken back', () => {
    const machine = fresh()
    const word = words(machine)
    const guard = machine.locks.mutex('m').lock()
    const outer = guard.begin()
    outer.write32(word, 1)
    const inner = guard.begin()
    inner.write32(word, 2)
    outer.rollback()
    assert.deepEqual([outer.isOpen, inner.isOpen], [false, false])
    assert.equal(load32(machine.memory.i32, word), 0)
    throwsCode(() => inner.write32(word, 3), 'PERCPU_SECTION')
    throwsCode(() => inner.commit(), 'PERCPU_SECTION', /the section has ended/)
    guard.unlock()
    assert.equal(machine.locks.mutex('m').owner, undefined)
  })

  it('at the end of its synchronous stretch is taken back and reported, and keeps no mutex', async () => {
    const machine = fresh()
    const word = words(machine)
    const mutex = machine.locks.mutex('m')
    const reported = uncaught()
    const forget = (): void => {
      using guard = mutex.lock()
      guard.begin().write32(word, 1)
    }
    forget()
    assert.match((await reported).message, /left open/)
    assert.equal(load32(machine.memory.i32, word), 0)
    assert.equal(mutex.owner, undefined)
    mutex.run((section) => section.write32(word, 2))
    assert.equal(load32(machine.memory.i32, word), 2)
  })

  it('when its CPU goes offline is taken back', async () => {
    const machine = fresh()
    const word = words(machine)
    const leaver = joinAs(machine, 101)
    const section = leaver.locks.mutex('m').lock().begin()
    section.write32(word, 1)
    const reported = uncaught()
    await rejectsCode(leaver.offline(), 'PERCPU_HOTPLUG')
    await reported
    assert.equal(load32(machine.memory.i32, word), 0)
    throwsCode(() => section.write32(word, 2), 'PERCPU_SECTION')
    assert.ok(machine.locks.mutex('m').tryLock())
  })
})

describe('a section begun by hand', () => {
  it('is one inside which the mutex nests, until it has ended', () => {
    const machine = fresh()
    const word = words(machine)
    const mutex = machine.locks.mutex('m')
    const guard = mutex.lock()
    const section = guard.begin()
    section.write32(word, 1)
    mutex.run((inner) => inner.write32(word + 1, 2))
    section.rollback()
    assert.deepEqual([load32(machine.memory.i32, word), load32(machine.memory.i32, word + 1)], [0, 0])
    throwsCode(() => mutex.run(() => 1), 'PERCPU_SELF_DEADLOCK')
    guard.begin().commit()
    throwsCode(() => mutex.run(() => 1), 'PERCPU_SELF_DEADLOCK')
    guard.unlock()
    mutex.run((outer) => {
      const again = mutex.run(() => mutex.run(() => outer.isOpen))
      assert.ok(again)
    })
    assert.equal(mutex.owner, undefined)
  })
})

describe('a lock', () => {
  it('lies at an address behind the header, given as a number', () => {
    const { locks, memory } = fresh()
    const mutex = locks.mutex('m')
    for (const wrong of [0, 64, 4088, -8, 8196.5, memory.byteLength, '8192', Symbol('a'), undefined]) {
      const address = wrong as number
      throwsCode(() => locks.mutexAt(address), 'PERCPU_ARGUMENT', /there is no MutexLayout/)
      throwsCode(() => locks.completionAt(address), 'PERCPU_ARGUMENT')
      throwsCode(() => locks.conditionAt(address, mutex), 'PERCPU_ARGUMENT')
      throwsCode(() => locks.seqlockAt(address), 'PERCPU_ARGUMENT')
      throwsCode(() => locks.semaphoreAt(address), 'PERCPU_ARGUMENT')
      throwsCode(() => locks.initSemaphore(address, 1), 'PERCPU_ARGUMENT')
    }
  })

  it('has whatever name, and one that no other kind has to respect', () => {
    const { locks, objects } = fresh()
    assert.notEqual(locks.mutex('percpu.m').address, objects.create('percpu.m', MutexLayout).address)
    throwsCode(() => objects.open('percpu.sync', MutexLayout), 'PERCPU_OBJECT_MISSING')
  })
})

describe('a section', () => {
  it('that has ended writes nothing, also while another one is open', () => {
    const machine = fresh()
    const word = words(machine)
    let stale: Section | undefined
    machine.locks.mutex('one').run((section) => (stale = section))
    machine.locks.mutex('two').run(() => {
      throwsCode(() => stale?.write32(word, 1), 'PERCPU_SECTION')
      throwsCode(() => stale?.writeF64(word / 2, 1), 'PERCPU_SECTION')
      throwsCode(() => stale?.writeU64(word / 2, 1n), 'PERCPU_SECTION')
      throwsCode(() => stale?.rollback(), 'PERCPU_SECTION')
    })
    assert.equal(load32(machine.memory.i32, word), 0)
  })

  it('ended by hand inside `run` is an error; what was thrown afterwards is not hidden', () => {
    const machine = fresh()
    const word = words(machine)
    const mutex = machine.locks.mutex('m')
    throwsCode(() => mutex.run((section) => section.commit()), 'PERCPU_SECTION', /the section has ended/)
    assert.throws(
      () =>
        mutex.run((section) => {
          section.write32(word, 1)
          section.rollback()
          throw new RangeError('mine')
        }),
      /mine/,
    )
    assert.equal(load32(machine.memory.i32, word), 0)
    assert.equal(mutex.owner, undefined)
  })

  it('refuses 64-bit numbers outside the memory, between words, or of the wrong type', () => {
    const machine = fresh()
    const mutex = machine.locks.mutex('m')
    const word = words(machine)
    for (const wrong of [-1, 0.5, word / 2 + 0.5, NaN, 2 ** 30, machine.memory.byteLength / 8]) {
      throwsCode(() => mutex.run((section) => section.writeF64(wrong, 1)), 'PERCPU_ARGUMENT')
      throwsCode(() => mutex.run((section) => section.writeU64(wrong, 1n)), 'PERCPU_ARGUMENT')
    }
    assert.throws(() => mutex.run((section) => section.writeU64(word / 2, 1 as never)), {
      code: 'PERCPU_ARGUMENT',
    })
    assert.equal(mutex.owner, undefined)
    mutex.run((section) => section.writeF64(machine.memory.byteLength / 8 - 1, 1))
  })
})

describe('a seqlock', () => {
  it('is not written inside a read of it, whichever way the read goes', async () => {
    const machine = fresh()
    const word = words(machine)
    const lock = machine.locks.seqlock('prices')
    let writes = 0
    const write = (): void =>
      lock.write((section) => {
        writes++
        section.write32(word, 1)
      })
    const message = /seqlock 'prices' is written inside a read of it/
    throwsCode(() => lock.read(write), 'PERCPU_SELF_DEADLOCK', message)
    throwsCode(() => lock.read(() => lock.read(write)), 'PERCPU_SELF_DEADLOCK', message)
    throwsCode(
      () => lock.read(() => lock.mutex.run((section) => section.write32(word, 1))),
      'PERCPU_SELF_DEADLOCK',
      message,
    )
    await rejectsCode(lock.readAsync(write), 'PERCPU_SELF_DEADLOCK', message)
    const inRead = lock.read(() => ({ write: lock.writeAsync(() => 1) }))
    await rejectsCode(inRead.write, 'PERCPU_SELF_DEADLOCK', message)
    assert.deepEqual([writes, load32(machine.memory.i32, word)], [0, 0])
    write()
    lock.write(() => lock.read(write))
    assert.equal(writes, 2)
    assert.equal(lock.mutex.owner, undefined)
  })

  it('is read again if what a read threw came of a write in the middle of it', () => {
    const machine = fresh()
    const word = words(machine)
    const lock = machine.locks.seqlock('prices')
    const other = joinAs(machine, 101).locks.seqlock('prices')
    const values: number[] = []
    const read = (): number => {
      const value = load32(machine.memory.i32, word)
      values.push(value)
      if (value === 0) other.write((section) => section.write32(word, 7))
      if (value === 0) throw new Error('half-written')
      return value
    }
    assert.equal(lock.read(read), 7)
    assert.deepEqual(values, [0, 7])
    assert.throws(
      () =>
        lock.read(() => {
          throw new Error('of the reader')
        }),
      /of the reader/,
    )
  })

  it('that a task writes in several sections is not read between them by another one', async () => {
    const machine = fresh()
    const lock = machine.locks.seqlock('prices')
    const word = words(machine, 2)
    const both = (): number[] => [0, 1].map((at) => load32(machine.memory.i32, word + at))
    const guard = await lock.writeLockAsync()
    assert.deepEqual(lock.read(both), [0, 0], 'nothing is written yet')
    guard.run((section) => {
      section.write32(word, 1)
      assert.deepEqual(lock.read(both), [1, 0], 'its own section may')
    })
    throwsCode(() => lock.read(both), 'PERCPU_SELF_DEADLOCK', /between two sections/)
    const waiting = lock.readAsync(both)
    await Promise.resolve()
    guard.run((section) => section.write32(word + 1, 1))
    throwsCode(() => lock.read(both), 'PERCPU_SELF_DEADLOCK')
    guard.unlock()
    assert.deepEqual(await waiting, [1, 1])
    assert.deepEqual(lock.read(both), [1, 1])
  })

  it('is read in one synchronous stretch', async () => {
    const lock = fresh().locks.seqlock('prices')
    const later = (): Promise<number> => Promise.resolve(1)
    throwsCode(() => lock.read(later), 'PERCPU_SECTION', /a read is one synchronous stretch/)
    await rejectsCode(lock.readAsync(later), 'PERCPU_SECTION')
    throwsCode(() => lock.write(() => lock.read(later)), 'PERCPU_SECTION')
    assert.equal(
      lock.read(() => 1),
      1,
    )
  })
})

describe('waiting', () => {
  it('takes only numbers of milliseconds as a timeout, also for what is free', async () => {
    const machine = fresh()
    const mutex = machine.locks.mutex('m')
    const condition = machine.locks.condition('c', mutex)
    for (const wrong of [NaN, -1, '5' as never]) {
      const options = { timeout: wrong }
      throwsCode(() => mutex.lock(options), 'PERCPU_ARGUMENT', /timeout/)
      await rejectsCode(mutex.lockAsync(options), 'PERCPU_ARGUMENT')
      throwsCode(() => mutex.run(() => 1, options), 'PERCPU_ARGUMENT')
      throwsCode(() => machine.locks.completion('d').wait(options), 'PERCPU_ARGUMENT')
      await rejectsCode(machine.locks.completion('d').waitAsync(options), 'PERCPU_ARGUMENT')
      throwsCode(() => machine.locks.semaphore('s', 1).acquire(1, options), 'PERCPU_ARGUMENT')
      const guard = mutex.lock()
      throwsCode(() => condition.wait(guard, options), 'PERCPU_ARGUMENT')
      await rejectsCode(condition.waitAsync(guard, options), 'PERCPU_ARGUMENT')
      assert.ok(guard.isHeld)
      guard.unlock()
    }
    assert.deepEqual(machine.locks.heldBy(0), [])
  })

  it('for a condition takes its mutex, and the guard of that one', async () => {
    const machine = fresh()
    const [mutex, other] = [machine.locks.mutex('m'), machine.locks.mutex('other')]
    throwsCode(() => machine.locks.condition('c', undefined as never), 'PERCPU_ARGUMENT', /mutex: undefined/)
    const condition = machine.locks.condition('c', mutex)
    throwsCode(() => condition.wait(undefined as never), 'PERCPU_ARGUMENT', /guard: undefined/)
    await rejectsCode(condition.waitAsync({} as never), 'PERCPU_ARGUMENT', /mutex 'm'/)
    const guard = other.lock()
    throwsCode(() => condition.wait(guard), 'PERCPU_NOT_OWNER', /of mutex 'other', not of mutex 'm'/)
    assert.ok(guard.isHeld)
    guard.unlock()
    assert.deepEqual(machine.locks.heldBy(0), [])
  })

  it('of a thread for itself is an error also by way of a second object of the same mutex', () => {
    const machine = fresh()
    const seqlock = machine.locks.seqlock('s')
    const same = machine.locks.mutexAt(seqlock.mutex.address)
    const guard = same.lock()
    throwsCode(() => seqlock.write(() => 1), 'PERCPU_SELF_DEADLOCK')
    throwsCode(() => seqlock.mutex.unlock(), 'PERCPU_NOT_OWNER')
    guard.unlock()
    seqlock.write(() => 1)
  })
})

/** The next error that nobody catches. */
function uncaught(): Promise<Error> {
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  return new Promise((resolve) => {
    process.once('uncaughtException', (error) => {
      for (const listener of listeners) process.on('uncaughtException', listener)
      resolve(error)
    })
  })
}
