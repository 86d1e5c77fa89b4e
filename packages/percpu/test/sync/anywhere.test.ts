/**
 * Each operation of the sync layer with its thread killed before its first access, its second, … its last, and with another CPU's
 * operation in the middle of it at each of these points.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, Section } from 'percpu'
import { forEachAccess, interrupt, killAt, killWhere, mem, percpu } from '../machine/support/hooked-percpu.js'

const { boot, join, MutexWords, SemaphoreWords } = percpu
const { MutexProtocol, tokenOf } = await import('../../dist/sync/mutex-words.js')
/** No wait here has a timeout of its own: it would look once more at its end, and hide a ring that was lost. */
const patience = { timeout: 30_000 }
const fresh = (): Machine => boot({ memory: '512 KiB', cpus: 4, journal: 64 })
function joinAs(machine: Machine, thread: number): Machine {
  const options = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, options)
}
function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    return (error as { code: string }).code
  }
}
/** `count` words with known values, from 1 on. */
function cells(machine: Machine, count = 4): number {
  const word = machine.memblock.alloc({ size: 4 * count, label: 'cells' }) / 4
  for (let i = 0; i < count; i++) mem.store32(machine.memory.i32, word + i, i + 1)
  return word
}
function valuesOf(machine: Machine, word: number, count = 4): number[] {
  return Array.from({ length: count }, (_, i) => mem.load32(machine.memory.i32, word + i))
}
function assertFree(machine: Machine, name: string): void {
  const mutex = machine.mutex(name)
  const guard = mutex.tryLock()
  assert.ok(guard, `${name} is locked by ${JSON.stringify(mutex.owner)}`)
  guard.unlock()
  const words = Array.from({ length: 17 }, (_, i) => mem.load32(machine.memory.i32, mutex.address / 4 + i))
  assert.deepEqual(words, new Array(17).fill(0))
  for (const cpu of machine.possible) assert.deepEqual(machine.locksOf(cpu), [])
}
/** Changes every cell, the first ones twice. */
function change(section: Section, word: number): void {
  for (const at of [0, 1, 0, 2, 1, 3]) section.write32(word + at, 100 + at)
  section.writeF64(word / 2 + 1, 0.5)
}

describe('a thread killed before any access', () => {
  /** Operations of CPU 1, after CPU 0 made `prepare`. */
  const operations: Readonly<Record<string, (cpu: Machine, word: number) => unknown>> = {
    'lock and unlock': (cpu) => cpu.mutex('m').lock().unlock(),
    tryLock: (cpu) => cpu.mutex('m').tryLock()?.unlock(),
    'a lock that comes in vain': (cpu) => codeOf(() => cpu.mutex('held').lock({ timeout: 0 })),
    'a section': (cpu, word) => cpu.mutex('m').run((section) => change(section, word)),
    'nested sections': (cpu, word) =>
      cpu.mutex('m').run((section) => {
        cpu.mutex('n').run((inner) => change(inner, word))
        section.write32(word, 7)
        change(section, word)
      }),
    'a section that throws': (cpu, word) =>
      codeOf(() =>
        cpu.mutex('m').run((section) => {
          change(section, word)
          throw new Error('no')
        }),
      ),
    'a seqlock write': (cpu, word) => cpu.seqlock('s').write((section) => change(section, word)),
    'completing and waiting': (cpu) => {
      cpu.completion('c').complete()
      cpu.completion('c').wait({ timeout: 0 })
    },
    notifying: (cpu) => {
      using guard = cpu.mutex('m').lock()
      cpu.condition('d', cpu.mutex('m')).wait(guard, { timeout: 0 })
      cpu.condition('d', cpu.mutex('m')).notify()
    },
    'acquiring and releasing permits': (cpu) => {
      cpu.semaphore('p', 5).acquire(2)
      cpu.semaphore('p', 5).acquire(1)
      cpu.semaphore('p', 5).release(2)
      cpu.semaphore('p', 5).release(1)
    },
  }
  function prepare(machine: Machine): number {
    for (const name of ['m', 'n', 'held']) machine.mutex(name)
    machine.seqlock('s')
    machine.completion('c')
    machine.condition('d', machine.mutex('m'))
    machine.semaphore('p', 5)
    machine.mutex('held').lock()
    return cells(machine)
  }
  for (const [name, run] of Object.entries(operations)) {
    it(`of ${name} leaves everything whole and free`, () => {
      const points = forEachAccess((at) => {
        const machine = fresh()
        const word = prepare(machine)
        const before = valuesOf(machine, word)
        const cpu = joinAs(machine, 101)
        const bystander = joinAs(machine, 102)
        const killed = killAt(() => run(cpu, word), at, cpu)
        const after = valuesOf(machine, word)
        if (killed) {
          bystander.semaphore('p', 5).tryAcquire(1)
          bystander.completion('c').complete()
          assert.equal(machine.declareDead(1), true)
          bystander.semaphore('p', 5).release(1)
        }
        machine.mutex('held').unlock()
        const values = valuesOf(machine, word)
        if (!killed) assert.deepEqual(values, after)
        else
          assert.ok([before.join(), after.join()].includes(values.join()), `access ${at}: ${values.join()}`)
        for (const mutex of ['m', 'n', 'held']) assertFree(machine, mutex)
        assert.equal(machine.semaphore('p', 5).permits, 5, `access ${at}`)
        assert.equal(mem.load32(machine.memory.i32, machine.seqlock('s').address / 4) & 1, 0)
        machine.seqlock('s').read(() => undefined, { timeout: 0 })
        return killed
      })
      assert.ok(points > 4, `only ${points} accesses`)
    })
  }

  it('of reaping leaves nothing that the next reaper does not finish', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const word = prepare(machine)
      machine.mutex('held').unlock()
      const before = valuesOf(machine, word)
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      killWhere(
        (die) =>
          victim.mutex('m').run((section) => {
            change(section, word)
            die()
          }),
        victim,
      )
      const killed = killAt(() => reaper.declareDead(1), at, reaper)
      if (killed) {
        machine.declareDead(2)
        if (machine.present.includes(1)) machine.declareDead(1)
      }
      assert.deepEqual(valuesOf(machine, word), before, `access ${at}`)
      const guard = machine.mutex('m').tryLock()
      assert.ok(guard?.predecessorDied)
      guard.unlock()
      assertFree(machine, 'm')
      return killed
    })
    assert.ok(points > 60, `only ${points} accesses`)
  })
})

describe('a mutex', () => {
  it('is taken by one of two CPUs, whichever comes in the middle of the other', () => {
    forEachAccess((at) => {
      const machine = fresh()
      const [a, b] = [joinAs(machine, 101).mutex('m'), joinAs(machine, 102).mutex('m')]
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

  it('released by one CPU while another one begins to wait is handed over', patience, async () => {
    const ends: Promise<void>[] = []
    const begin = (at: number, waitsFirst: boolean): boolean => {
      const machine = fresh()
      const [a, b] = [joinAs(machine, 101).mutex('m'), joinAs(machine, 102).mutex('m')]
      a.lock()
      const wait = (): void => {
        ends.push(b.lockAsync().then((guard) => guard.unlock()))
      }
      const release = (): void => a.unlock()
      const [first, second] = waitsFirst ? [wait, release] : [release, wait]
      const done = interrupt(first, at, second)
      if (!done) second()
      return done
    }
    assert.ok(forEachAccess((at) => begin(at, false)) > 1)
    assert.ok(forEachAccess((at) => begin(at, true)) > 8)
    await Promise.all(ends)
  })

  /** Three CPUs' dealings with one mutex: A owns it, B is impatient. */
  function impatient(): { a: Protocol; b: Protocol; c: Protocol; word: number } {
    const machine = fresh()
    const word = machine.memblock.alloc({ size: MutexWords.size }) / 4
    const ringer = { ring: () => undefined } as unknown as Ringer
    const protocol = (cpu: number): Protocol =>
      new MutexProtocol(machine.memory, ringer, 4, cpu, tokenOf(cpu, 1))
    const [a, b, c] = [protocol(1), protocol(2), protocol(3)]
    assert.equal(a.take(word), 0)
    b.enter(word)
    assert.equal(b.isAvailableOrMarked(word), false)
    b.insist(word)
    return { a, b, c, word }
  }
  type Protocol = InstanceType<typeof MutexProtocol>
  type Ringer = ConstructorParameters<typeof MutexProtocol>[1]

  it('released while a CPU begins to wait rings it, also if those who waited before have given up', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const word = machine.memblock.alloc({ size: MutexWords.size }) / 4
      const rung: number[] = []
      const ringer = { ring: (cpu: number) => rung.push(cpu) } as unknown as Ringer
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
    const { a, b, c, word } = impatient()
    a.release(word)
    assert.equal(c.take(word), undefined)
    assert.notEqual(b.take(word), undefined)
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
    const word = machine.memblock.alloc({ size: MutexWords.size }) / 4
    const ringer = { ring: () => undefined } as unknown as Ringer
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
      const [a, b] = [joinAs(machine, 101).completion('c'), joinAs(machine, 102).completion('c')]
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

  it('made while another CPU begins to wait is noticed', patience, async () => {
    const ends: Promise<void>[] = []
    for (const waitsFirst of [false, true]) {
      const points = forEachAccess((at) => {
        const machine = fresh()
        const [a, b] = [joinAs(machine, 101).completion('c'), joinAs(machine, 102).completion('c')]
        const wait = (): void => {
          ends.push(b.waitAsync())
        }
        const complete = (): void => a.complete()
        const [first, second] = waitsFirst ? [wait, complete] : [complete, wait]
        const done = interrupt(first, at, second)
        if (!done) second()
        return done
      })
      assert.ok(points > 4)
    }
    await Promise.all(ends)
  })

  it('whose waiter gives up at that moment goes to the next one', patience, async () => {
    const machine = fresh()
    const [a, b, c] = [101, 102, 103].map((thread) => joinAs(machine, thread).completion('c'))
    const controller = new AbortController()
    const first = b?.waitAsync({ signal: controller.signal })
    const second = c?.waitAsync()
    a?.complete()
    controller.abort()
    await assert.rejects(first ?? Promise.resolve())
    await second
  })
})

describe('a semaphore', () => {
  it('has as many permits as ever, whoever takes some in the middle of whom', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const [a, b] = [joinAs(machine, 101).semaphore('p', 3), joinAs(machine, 102).semaphore('p', 3)]
      const done = interrupt(
        () => a.acquire(2, { timeout: 0 }),
        at,
        () => b.tryAcquire(1),
      )
      assert.equal(a.permits + a.held + b.held, 3)
      return done
    })
    assert.ok(points > 4)
  })

  it('gets back what a CPU held that was killed at any access, also when operations are numbered anew', () => {
    for (const last of [2 ** 32 - 4, 2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1]) {
      const points = forEachAccess((at) => {
        const machine = fresh()
        const victim = joinAs(machine, 101)
        const semaphore = victim.semaphore('p', 5)
        // So many operations has this CPU made already.
        mem.storeAtomic32(machine.memory.i32, semaphore.address / 4 + SemaphoreWords.words.done + 1, last)
        const run = (): void => {
          semaphore.acquire(2)
          semaphore.acquire(1)
          machine.semaphore('p', 5).tryAcquire(1)
          semaphore.release(2)
          machine.semaphore('p', 5).tryAcquire(1)
          semaphore.release(1)
        }
        const killed = killAt(run, at, victim)
        if (killed) machine.declareDead(1)
        const { permits, held } = machine.semaphore('p', 5)
        assert.equal(permits + held, 5, `after ${last}, killed before access ${at}`)
        return killed
      })
      assert.ok(points > 60, `only ${points} accesses`)
    }
  })

  it('gets back what a dead CPU held, also when its reaper dies', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      victim.semaphore('p', 5).acquire(3)
      machine.semaphore('p', 5).acquire(1)
      const killed = killAt(() => reaper.declareDead(1), at, reaper)
      if (killed) {
        machine.semaphore('p', 5).tryAcquire(1)
        machine.declareDead(2)
        if (machine.present.includes(1)) machine.declareDead(1)
      }
      const { permits, held } = machine.semaphore('p', 5)
      assert.equal(permits + held, 5, `access ${at}`)
      return killed
    })
    assert.ok(points > 30)
  })
})

describe('a seqlock', () => {
  const data = (machine: Machine, word: number): string => valuesOf(machine, word).join()

  it('shows its reader one state, whenever a writer comes', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const word = cells(machine)
      const before = data(machine, word)
      const [reader, writer] = [machine.seqlock('s'), joinAs(machine, 101).seqlock('s')]
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

  it('shows one state to a reader that comes in the middle of a writer', patience, async () => {
    const ends: Promise<void>[] = []
    const points = forEachAccess((at) => {
      const machine = fresh()
      const word = cells(machine)
      const before = data(machine, word)
      const [reader, writer] = [machine.seqlock('s'), joinAs(machine, 101).seqlock('s')]
      const read: Promise<string>[] = []
      const done = interrupt(
        () => writer.write((section) => change(section, word)),
        at,
        () => read.push(reader.readAsync(() => data(machine, word))),
      )
      const after = data(machine, word)
      for (const each of read)
        ends.push(each.then((seen) => assert.ok([before, after].includes(seen), `access ${at}: ${seen}`)))
      return done
    })
    assert.ok(points > 20)
    await Promise.all(ends)
  })
})
