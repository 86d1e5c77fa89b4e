/**
 * Pairs of operations of the sync layer: one CPU's runs completely before the first access of
 * another one's, before its second, … its last.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, Seqlock } from 'percpu'
import {
  forEachAccess,
  forEachAccessAsync,
  fresh,
  interrupt,
  joinAs,
  percpu,
} from '../support/hooked-percpu.js'
import { settles } from './support/settle.js'
import { cells, change, valuesOf } from './support/cpus.js'

const { MutexLayout } = percpu
const { MutexProtocol } = await import('../../dist/sync/mutex-words.js')
const { tokenOf } = await import('../../dist/machine/token.js')
// No wait here has a timeout of its own: it would look once more at its end, and hide a ring that
// was lost.

describe('a mutex', () => {
  it('is taken by one of two CPUs, whichever comes in the middle of the other', () => {
    forEachAccess((at) => {
      const machine = fresh()
      const [a, b] = [joinAs(machine, 101).locks.mutex('m'), joinAs(machine, 102).locks.mutex('m')]
      const taken: boolean[] = []
      const done = interrupt(
        () => taken.push(a.tryLock() !== undefined),
        at,
        () => taken.push(b.tryLock() !== undefined),
      )
      assert.deepEqual(taken.filter(Boolean), [true], `before access ${at}`)
      return done
    })
  })

  it('released by one CPU while another one begins to wait is handed over', async () => {
    const begin = async (at: number, waitsFirst: boolean): Promise<boolean> => {
      const machine = fresh()
      const cpus = [joinAs(machine, 101), joinAs(machine, 102)] as const
      const [a, b] = [cpus[0].locks.mutex('m'), cpus[1].locks.mutex('m')]
      a.lock()
      const ends: Promise<void>[] = []
      const wait = (): void => {
        ends.push(b.lockAsync().then((guard) => guard.unlock()))
      }
      const release = (): void => a.unlock()
      const [first, second] = waitsFirst ? [wait, release] : [release, wait]
      const done = interrupt(first, at, second)
      if (!done) second()
      await settles(Promise.all(ends), cpus, `before access ${at}: the mutex is free, and its waiter asleep`)
      return done
    }
    assert.ok((await forEachAccessAsync((at) => begin(at, false))) > 1)
    assert.ok((await forEachAccessAsync((at) => begin(at, true))) > 8)
  })

  /** Three CPUs' dealings with one mutex: A owns it, B is impatient. */
  function impatient(): { machine: Machine; a: Protocol; b: Protocol; c: Protocol; word: number } {
    const machine = fresh()
    const word = machine.heap.memblock.alloc({ size: MutexLayout.size }) / 4
    const ringer = { ring: () => undefined, isAsleepIn: () => true } as unknown as Ringer
    const protocol = (cpu: number): Protocol =>
      new MutexProtocol(machine.memory, ringer, 4, cpu, tokenOf(cpu, 1))
    const [a, b, c] = [protocol(1), protocol(2), protocol(3)]
    assert.equal(a.take(word), 0)
    b.enter(word)
    assert.equal(b.isAvailableOrMarked(word), false)
    b.insist(word)
    return { machine, a, b, c, word }
  }
  type Protocol = InstanceType<typeof MutexProtocol>
  type Ringer = ConstructorParameters<typeof MutexProtocol>[1]

  it('released while a CPU begins to wait rings it, also if those who waited before have given up', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const word = machine.heap.memblock.alloc({ size: MutexLayout.size }) / 4
      const rung: number[] = []
      const ringer = { ring: (cpu: number) => rung.push(cpu), isAsleepIn: () => true } as unknown as Ringer
      const [a, b, c] = [1, 2, 3].map(
        (cpu) => new MutexProtocol(machine.memory, ringer, 4, cpu, tokenOf(cpu, 1)),
      )
      assert.ok(a && b && c)
      a.take(word)
      c.enter(word)
      c.isAvailableOrMarked(word)
      c.withdraw(word)
      rung.length = 0
      const sleepers: boolean[] = []
      const done = interrupt(
        () => a.release(word),
        at,
        () => {
          b.enter(word)
          sleepers.push(!b.isAvailableOrMarked(word))
        },
      )
      if (sleepers.includes(true)) assert.deepEqual(rung, [2], `before access ${at}`)
      return done
    })
    assert.ok(points >= 3)
  })

  it('is reserved for a CPU that lost it before', () => {
    const { machine, a, b, c, word } = impatient()
    const mutex = machine.locks.mutexAt(word * 4)
    assert.deepEqual(mutex.owner, { cpu: 1, incarnation: 1 })
    a.release(word)
    assert.equal(mutex.owner, undefined)
    assert.equal(c.take(word), undefined)
    assert.notEqual(b.take(word), undefined)
    assert.deepEqual(mutex.owner, { cpu: 2, incarnation: 1 })
  })

  it('is reserved for nobody who gives up meanwhile', () => {
    for (const givesUpFirst of [false, true]) {
      const points = forEachAccess((at) => {
        const { a, b, c, word } = impatient()
        const [release, withdraw] = [() => a.release(word), () => b.withdraw(word)]
        const [first, second] = givesUpFirst ? [withdraw, release] : [release, withdraw]
        const done = interrupt(first, at, second)
        if (!done) second()
        assert.notEqual(c.take(word), undefined, `before access ${at}`)
        return done
      })
      assert.ok(points >= 3)
    }
  })

  it('goes to each impatient CPU after at most all others', () => {
    const machine = fresh()
    const word = machine.heap.memblock.alloc({ size: MutexLayout.size }) / 4
    const ringer = { ring: () => undefined, isAsleepIn: () => true } as unknown as Ringer
    const all = [0, 1, 2, 3].map((cpu) => new MutexProtocol(machine.memory, ringer, 4, cpu, tokenOf(cpu, 1)))
    for (const each of all.slice(1)) {
      each.enter(word)
      each.insist(word)
    }
    const order: number[] = []
    all[0]?.take(word)
    let owner = all[0]
    for (let turn = 0; turn < 6; turn++) {
      owner?.release(word)
      const next = all.findIndex((each) => each.isAvailable(word))
      order.push(next)
      owner = all[next]
      owner?.take(word)
      // It wants the mutex again at once, as impatient as the others.
      owner?.insist(word)
    }
    assert.deepEqual(order, [1, 2, 3, 1, 2, 3])
  })
})

describe('a completion', () => {
  it('counts both of two that come in the middle of each other', () => {
    forEachAccess((at) => {
      const machine = fresh()
      const [a, b] = [joinAs(machine, 101).locks.completion('c'), joinAs(machine, 102).locks.completion('c')]
      const done = interrupt(
        () => a.complete(),
        at,
        () => b.complete(),
      )
      if (!done) return false
      assert.deepEqual([a.tryWait(), a.tryWait(), a.tryWait()], [true, true, false])
      return true
    })
  })

  it('made while another CPU begins to wait is noticed', async () => {
    for (const waitsFirst of [false, true]) {
      const points = await forEachAccessAsync(async (at) => {
        const machine = fresh()
        const cpus = [joinAs(machine, 101), joinAs(machine, 102)] as const
        const [a, b] = [cpus[0].locks.completion('c'), cpus[1].locks.completion('c')]
        const ends: Promise<void>[] = []
        const wait = (): void => {
          ends.push(b.waitAsync())
        }
        const complete = (): void => a.complete()
        const [first, second] = waitsFirst ? [wait, complete] : [complete, wait]
        const done = interrupt(first, at, second)
        if (!done) second()
        await settles(Promise.all(ends), cpus, `before access ${at}: completed, and its waiter asleep`)
        return done
      })
      assert.ok(points > 4)
    }
  })

  it('whose waiter gives up at that moment goes to the next one', async () => {
    const machine = fresh()
    const cpus = [101, 102, 103].map((thread) => joinAs(machine, thread))
    const [a, b, c] = cpus.map((cpu) => cpu.locks.completion('c'))
    const controller = new AbortController()
    const first = b?.waitAsync({ signal: controller.signal })
    const second = c?.waitAsync()
    a?.complete()
    controller.abort(new Error('enough'))
    await assert.rejects(first ?? Promise.resolve(), /enough/)
    await settles(second ?? Promise.resolve(), cpus, 'completed, and nobody woken')
  })
})

describe('a semaphore', () => {
  it('has as many permits as ever, whoever takes some in the middle of whom', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const [a, b] = [
        joinAs(machine, 101).locks.semaphore('p', 3),
        joinAs(machine, 102).locks.semaphore('p', 3),
      ]
      const done = interrupt(
        () => a.acquire(2, { timeout: 0 }),
        at,
        () => b.tryAcquire(1),
      )
      assert.equal(a.available + a.held + b.held, 3)
      return done
    })
    assert.ok(points > 4)
  })
})

describe('a seqlock', () => {
  const data = (machine: Machine, word: number): string => valuesOf(machine, word).join()

  it('shows its reader one state, whenever a writer comes', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const word = cells(machine)
      const before = data(machine, word)
      const [reader, writer] = [machine.locks.seqlock('s'), joinAs(machine, 101).locks.seqlock('s')]
      let seen = ''
      const done = interrupt(
        () => (seen = reader.read(() => data(machine, word))),
        at,
        () => writer.write((section) => change(section, word)),
      )
      assert.ok([before, data(machine, word)].includes(seen), `before access ${at}: ${seen}`)
      return done
    })
    assert.ok(points >= 6)
  })

  it('shows one state also if the writer uses the mutex by itself', async () => {
    const ways: readonly ((lock: Seqlock, word: number) => void)[] = [
      (lock, word) => lock.mutex.run((section) => change(section, word)),
      (lock, word) => {
        using guard = lock.mutex.lock()
        guard.run((section) => change(section, word))
      },
      (lock, word) => {
        using guard = lock.mutex.lock()
        using section = guard.begin()
        change(section, word)
        section.commit()
      },
    ]
    for (const write of ways) {
      await forEachAccessAsync(async (at) => {
        const machine = fresh()
        const word = cells(machine)
        const before = data(machine, word)
        const other = joinAs(machine, 101)
        const [reader, writer] = [machine.locks.seqlock('s'), other.locks.seqlock('s')]
        const read: Promise<string>[] = []
        const done = interrupt(
          () => write(writer, word),
          at,
          () => read.push(reader.readAsync(() => data(machine, word))),
        )
        const states = [before, data(machine, word)]
        const seen = await settles(Promise.all(read), [machine, other], `access ${at}: the reader is asleep`)
        for (const state of seen) assert.ok(states.includes(state), `access ${at}: ${state}`)
        return done
      })
    }
  })

  it('shows one state to a reader that comes in the middle of a writer', async () => {
    const points = await forEachAccessAsync(async (at) => {
      const machine = fresh()
      const word = cells(machine)
      const before = data(machine, word)
      const other = joinAs(machine, 101)
      const [reader, writer] = [machine.locks.seqlock('s'), other.locks.seqlock('s')]
      const read: Promise<string>[] = []
      const done = interrupt(
        () => writer.write((section) => change(section, word)),
        at,
        () => read.push(reader.readAsync(() => data(machine, word))),
      )
      const states = [before, data(machine, word)]
      const seen = await settles(Promise.all(read), [machine, other], `access ${at}: the reader is asleep`)
      for (const state of seen) assert.ok(states.includes(state), `access ${at}: ${state}`)
      return done
    })
    assert.ok(points > 20)
  })
})
