/**
 * VPAs with another thread looking, or the own one ending, before the first memory access of an operation, its second, … its last.
 */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, interrupt, killAt, mem, percpu } from './support/hooked-percpu.js'

const { boot, join, TRACE_ALL, Vpa } = percpu
function joinAs(machine: Machine, thread: number): Machine {
  const options = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, options)
}
function two(): readonly [Machine, Machine] {
  const machine = boot({ memory: '512 KiB', cpus: 2 })
  return [machine, joinAs(machine, 101)]
}
const look = (machine: Machine, cpu = 1) => {
  const found = machine.inspect({ dispatches: Infinity }).cpus[cpu]
  assert.ok(found)
  return found
}

describe('entries of a dispatch log', () => {
  /** Entries that a log of `machine` shows are whole: work of consecutive numbers. */
  function assertWhole(machine: Machine, runs: number): void {
    const { dispatches } = look(machine)
    for (const { kind, label, duration, at, failed } of dispatches) {
      assert.equal(kind, 'work')
      assert.match(label ?? '', /^work [0-6]$/)
      assert.equal(failed, false)
      assert.ok(at > 0 && duration >= 0 && duration < 60_000)
    }
    const numbers = dispatches.map(({ label }) => Number(label?.slice(-1)))
    const last = runs % 7
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => (last - numbers.length + i + 700) % 7),
      'not those of the last runs, in order',
    )
  }
  const worker = (cpu: Machine) => {
    let runs = 0
    return {
      get runs() {
        return runs
      },
      once: () => cpu.run(`work ${runs++ % 7}`, () => undefined),
    }
  }

  for (const before of [0, 3, 84, 85, 200]) {
    it(`are seen whole in the middle of writing one, after ${before}`, () => {
      const [machine, cpu] = two()
      machine.trace(1, TRACE_ALL)
      const work = worker(cpu)
      for (let i = 0; i < before; i++) work.once()
      const points = forEachAccess((at) =>
        interrupt(work.once, at, () => {
          const { dispatches } = look(machine)
          const counts = [work.runs - 1, work.runs].map((runs) => Math.min(runs, 84))
          assert.ok(counts.includes(dispatches.length), `${dispatches.length} entries of ${work.runs}`)
          assertWhole(
            machine,
            work.runs - 1 + (dispatches.at(-1)?.label === `work ${(work.runs - 1) % 7}` ? 1 : 0),
          )
        }),
      )
      assert.ok(points > 10, `only ${points} accesses`)
    })
  }

  for (const meanwhile of [1, 2, 83, 84, 85, 170]) {
    it(`that are overwritten by ${meanwhile} more in the middle of reading are dropped`, () => {
      const [machine, cpu] = two()
      machine.trace(1, TRACE_ALL)
      const work = worker(cpu)
      for (let i = 0; i < 100; i++) work.once()
      forEachAccess((at) => {
        const before = work.runs
        let seen: readonly { readonly label: string | undefined }[] = []
        const done = interrupt(
          () => (seen = look(machine).dispatches),
          at,
          () => {
            for (let i = 0; i < meanwhile; i++) work.once()
          },
        )
        const numbers = seen.map(({ label }) => Number(label?.slice(-1)))
        const last = [before, work.runs].find((runs) => (runs - 1) % 7 === (numbers.at(-1) ?? (runs - 1) % 7))
        assert.ok(last !== undefined, 'the last entry is of neither moment')
        assert.deepEqual(
          numbers,
          numbers.map((_, i) => (last - numbers.length + i + 700) % 7),
        )
        return done
      })
    })
  }

  it('written by a CPU that is killed anywhere are there or not', () => {
    const points = forEachAccess((at) => {
      const [machine, cpu] = two()
      machine.trace(1, TRACE_ALL)
      const work = worker(cpu)
      for (let i = 0; i < 90; i++) work.once()
      if (!killAt(work.once, at, cpu)) return false
      const { dispatches } = look(machine)
      assert.equal(dispatches.length, 84)
      assertWhole(machine, dispatches.at(-1)?.label === 'work 6' ? 91 : 90)
      return true
    })
    assert.ok(points > 10)
  })
})

describe('labels', () => {
  it('interned by a CPU that is killed anywhere are whole, and take no place otherwise', () => {
    const points = forEachAccess((at) => {
      const [machine, cpu] = two()
      cpu.run('known', () => undefined)
      const killed = killAt(() => cpu.run('a new one', () => undefined), at, cpu)
      machine.declareDead(1)
      const next = joinAs(machine, 102)
      const names = ['known', 'a new one', ...Array.from({ length: 126 }, (_, i) => `label ${i}`)]
      for (const name of names) next.run(name, () => assert.equal(look(machine).work?.label, name))
      next.run('one too many', () => assert.equal(look(machine).work?.label, '(other labels)'))
      return killed
    })
    assert.ok(points > 5)
  })

  it('name the work that a CPU was killed in, at whichever access, until it is reaped', () => {
    const points = forEachAccess((at) => {
      const [machine, cpu] = two()
      cpu.run('outer', () => undefined)
      cpu.run('inner', () => undefined)
      const labels = new Set<string | undefined>([undefined, 'outer', 'inner'])
      const killed = killAt(() => cpu.run('outer', () => cpu.run('inner', () => undefined)), at, cpu)
      if (!killed) return false
      assert.ok(labels.has(look(machine).work?.label))
      assert.ok(machine.vpas.find(1), 'a crash unregistered the VPA')
      assert.equal(machine.declareDead(1), true)
      assert.equal(machine.vpas.find(1), undefined)
      assert.equal(look(machine).activity, 'offline')
      return true
    })
    assert.ok(points >= 6, `only ${points} accesses`)
  })
})

describe('registration', () => {
  const assertWhole = (machine: Machine) => {
    const found = machine.vpas.find(1)
    if (!found) return
    const { vpa, log } = found
    assert.equal(Vpa.at(machine.memory, vpa).desc, 0xd397d781)
    assert.equal(Vpa.at(machine.memory, vpa).size, 1024)
    assert.equal(Vpa.at(machine.memory, vpa).yield_count, 0)
    if (log !== undefined) assert.deepEqual(look(machine).dispatches, [])
    assert.equal(look(machine).work, undefined)
  }

  it('is seen whole in the middle of joining, also after a crash', () => {
    const points = forEachAccess((at) => {
      const machine = boot({ memory: '512 KiB', cpus: 2 })
      const first = joinAs(machine, 101)
      machine.trace(1, TRACE_ALL)
      first.deaf(() => undefined)
      first.run('left over', () => machine.declareDead(1))
      return interrupt(
        () => joinAs(machine, 102),
        at,
        () => assertWhole(machine),
      )
    })
    assert.ok(points > 30)
  })

  it('works again after a thread was killed anywhere in joining', () => {
    const points = forEachAccess((at) => {
      const machine = boot({ memory: '512 KiB', cpus: 2 })
      const killed = killAt(() => joinAs(machine, 101), at)
      if (machine.present.includes(1)) machine.declareDead(1)
      assert.equal(machine.vpas.find(1), undefined)
      const next = joinAs(machine, 102)
      assert.equal(machine.vpas.find(1)?.incarnation, next.incarnation)
      assert.ok(machine.vpas.find(1)?.log)
      return killed
    })
    assert.ok(points > 30)
  })

  it('of the log ends before that of the VPA, in leaving', async () => {
    const [machine, cpu] = two()
    const seen: string[] = []
    mem.control.before = () => {
      const { before } = mem.control
      mem.control.before = undefined
      const found = machine.vpas.find(1)
      seen.push(found ? (found.log === undefined ? 'vpa' : 'both') : 'none')
      mem.control.before = before
    }
    try {
      await cpu.offline()
    } finally {
      mem.control.before = undefined
    }
    assert.deepEqual(
      seen.filter((state, i) => state !== seen[i - 1]),
      ['both', 'vpa', 'none'],
    )
  })

  it('of CPUs given up by two threads at once gives nothing back that was taken meanwhile', () => {
    const points = forEachAccess((at) => {
      const machine = boot({ memory: '512 KiB', cpus: 4 })
      const before = machine.memblock.report().regions.length
      const other = joinAs(machine, 101)
      const taken: number[] = []
      const done = interrupt(
        () => machine.limitCpus(2),
        at,
        () => {
          other.limitCpus(2)
          for (const size of [1024, 4096, 1024, 4096]) taken.push(other.memblock.alloc({ size, align: 1024 }))
        },
      )
      const addresses = machine.memblock.report().regions.map(({ address }) => address)
      for (const address of taken) assert.ok(addresses.includes(address), `before access ${at}: ${address}`)
      if (done) assert.equal(addresses.length, before)
      return done
    })
    assert.ok(points > 30)
  })

  it('of CPUs given up by a thread killed half-way is finished by calling again', () => {
    const points = forEachAccess((at) => {
      const machine = boot({ memory: '512 KiB', cpus: 4 })
      const before = machine.memblock.report().regions.length
      const helper = joinAs(machine, 101)
      const killed = killAt(() => helper.limitCpus(2), at, helper)
      machine.limitCpus(2)
      assert.deepEqual(machine.possible, [0, 1])
      assert.equal(machine.memblock.report().regions.length, before - 4)
      return killed
    })
    assert.ok(points > 30)
  })
})

describe('a monitor', () => {
  /** Three CPUs; CPU 0 watches, and beats when the test says so. */
  function watched(
    run: (machine: Machine, victim: Machine, reaper: Machine, beat: () => void) => void,
  ): void {
    mock.timers.enable({ apis: ['setTimeout'] })
    try {
      const machine = boot({ memory: '512 KiB', cpus: 3 })
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      run(machine, victim, reaper, () => {
        mock.timers.tick(10)
      })
    } finally {
      mock.timers.reset()
    }
  }

  it('stopped by a listener of its own beats no more', () => {
    watched((machine, _victim, reaper, beat) => {
      const monitor = machine.monitor({ interval: 10 })
      let told = 0
      monitor.on('died', () => {
        told++
        monitor.stop()
      })
      beat()
      assert.equal(monitor.heartbeats, 2)
      reaper.declareDead(1)
      beat()
      assert.deepEqual([monitor.heartbeats, told], [3, 1])
      for (let i = 0; i < 5; i++) beat()
      assert.equal(monitor.heartbeats, 3, 'it beats on')
    })
  })

  it('tells of a death once, also when the reaper dies at any access and another one finishes', () => {
    const points = forEachAccess((at) => {
      let killed = false
      watched((machine, victim, reaper, beat) => {
        victim.run('left over', () => undefined)
        const monitor = machine.monitor({ interval: 10 })
        const died: number[] = []
        monitor.on('died', ({ cpu }) => died.push(cpu))
        killed = killAt(() => reaper.declareDead(1), at, reaper)
        beat()
        machine.declareDead(2)
        if (machine.present.includes(1)) machine.declareDead(1)
        beat()
        assert.deepEqual(died.filter((cpu) => cpu === 1).length, 1, `killed before access ${at}`)
        monitor.stop()
      })
      return killed
    })
    assert.ok(points > 30)
  })

  it('lets `dead` callbacks read the post-mortem: the area is there until the reaper is done', () => {
    watched((machine, victim) => {
      const seen: unknown[] = []
      machine.addHotplug({
        name: 'look',
        dead: (cpu) => seen.push(machine.postMortem(cpu)?.work?.label, machine.vpas.find(cpu)?.incarnation),
      })
      victim.run('its last work', () => machine.declareDead(1))
      assert.deepEqual(seen, ['its last work', 1])
      assert.equal(machine.postMortem(1), undefined)
    })
  })
})
