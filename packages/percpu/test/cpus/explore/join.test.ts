/** Threads that come and go at the same time, and ones that are killed while they do. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, nameStructs, percpu, type Scenario } from 'percpu-lab'
import { check, prepare } from '../../support/world.js'
import { codeOf } from '../../support/codes.js'

const Words = percpu.struct('Words', { done: percpu.atomic(percpu.i32) })

describe('a thread that joins', () => {
  it('while another one boots finds no machine, or a whole one', async (test) => {
    const options = { memory: '256 KiB', cpus: 2, journal: 1 }
    const model = percpu.boot(options)
    const structs = model.watch.structs()
    const buffer = mem.createBuffer(model.memory.byteLength)
    const handle = { ...model.handle, buffer }
    const codes = new Set<unknown>()
    const world = { name: (t: Scenario) => nameStructs(t, mem.openMemory(buffer), structs) }
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, () => {
          const withBuffer = { ...options, buffer, doorbell: 'waitAsync' } as const
          return percpu.boot(withBuffer).cpu
        })
        t.cpu(1, () => {
          const thread = { thread: 101, doorbell: 'waitAsync' } as const
          return codeOf(() => percpu.join(handle, thread))
        })
      },
      { preemptions: 1, observe: ([, code]) => codes.add(code) },
    )
    await model.offline()
    assert.deepEqual([...codes].sort(), ['PERCPU_FOREIGN_BUFFER', 'none'])
  })

  it('while another one joins gets another number', async (test) => {
    const world = await prepare({ cpus: 3 })
    await check(world, test, (t) => {
      for (const number of [0, 1]) t.cpu(number, (cpu) => world.join(cpu.number).cpu)
      t.finally((cpus) => {
        assert.deepEqual([...cpus].sort(), [0, 1])
        assert.deepEqual(world.states(), ['online', 'online', 'offline'])
      })
    })
  })

  it('while another one is cleaned up after gets a whole number, or none', async (test) => {
    const world = await prepare({ cpus: 2 }, (_machine, world) => void world.join(5))
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => world.joined(cpu).cpus.declareDead(1))
        t.cpu(1, (cpu) => codeOf(() => world.join(cpu.number)))
        t.finally(([reaped, code]) => {
          assert.equal(reaped, true)
          const { state, incarnation } = world.table.info(1)
          if (code === 'none') assert.deepEqual([state, incarnation], ['online', 2])
          else assert.deepEqual([code, state, incarnation], ['PERCPU_NO_FREE_CPU', 'offline', 1])
          assert.equal(world.vpas.find(1)?.incarnation, code === 'none' ? 2 : undefined)
        })
      },
      { preemptions: 1 },
    )
  })

  it('is rung from the moment on at which it is online', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      const words = t.memory(Words)
      t.cpu(0, (cpu) => {
        const machine = world.joined(cpu)
        const wasOnline = machine.online.includes(1)
        machine.cpus.ring(1, 0)
        words.done.store(1)
        return wasOnline
      })
      t.cpu(1, (cpu) => {
        const machine = world.join(cpu.number)
        let rung = 0
        machine.cpus.onRing(0, () => rung++)
        mem.awaitUntil(() => words.done.load() === 1)
        machine.poll()
        return rung
      })
      t.finally(([wasOnline, rung]) => {
        if (wasOnline === true) assert.equal(rung, 1)
      })
    })
  })

  it('and is killed anywhere loses no number, and is mourned only if it had become a CPU', async (test) => {
    const world = await prepare({ cpus: 2 })
    const before = world.used
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => void world.join(cpu.number))
      t.kill(0, {
        reaper: (cpu) => {
          const deaths: string[] = []
          const machine = cpu.prepare(() => {
            const machine = world.join(3)
            machine.cpus.addHotplug({
              name: 'note',
              dead: (dead, incarnation) => deaths.push(`${dead}.${incarnation}`),
            })
            return machine
          })
          const found = machine.cpus.states()[1]?.state
          const isPresent = machine.cpus.present.includes(1)
          assert.equal(machine.cpus.declareDead(1), isPresent)
          assert.deepEqual(machine.cpus.present, [0])
          assert.deepEqual(deaths, found === 'offline' ? [] : ['1.1'])
        },
      })
      t.finally(() => assert.equal(world.used, before))
    })
  })

  it('and is killed anywhere, while another one joins, too', async (test) => {
    const world = await prepare()
    const before = world.used
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => world.join(cpu.number).cpu)
        t.cpu(1, (cpu) => world.join(cpu.number).cpu)
        t.kill(1, { reaper: () => world.reap(1) })
        t.finally(([first, second]) => {
          const states = world.states()
          assert.equal(states[first as number], 'online')
          assert.equal(states[1 - (first as number)], second === undefined ? 'offline' : 'online')
          assert.equal(world.used, before)
          const registered = world.table.select((cpu) => world.vpas.find(cpu) !== undefined)
          assert.equal(registered.length, second === undefined ? 1 : 2)
        })
      },
      { mode: 'pct', executions: 500 },
    )
  })
})

describe('a CPU that goes offline', () => {
  it('gives its number to a thread that joins, or not yet', async (test) => {
    const world = await prepare()
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          await world.joined(cpu).offline()
        })
        t.cpu(1, (cpu) => world.join(cpu.number).cpu)
        t.finally(([, cpu]) => {
          assert.ok(cpu === 0 || cpu === 1)
          assert.deepEqual(world.states(), cpu === 0 ? ['online', 'offline'] : ['offline', 'online'])
          assert.equal(world.table.incarnation(cpu as number), cpu === 0 ? 3 : 1)
        })
      },
      { preemptions: 1 },
    )
  })

  it('and is killed anywhere meanwhile is offline in the end, with nothing left', async (test) => {
    const world = await prepare()
    const before = world.used
    await check(world, test, (t) => {
      t.cpu(0, async (cpu) => {
        const machine = world.joined(cpu)
        cpu.prepare(() => machine.heap.memblock.alloc({ size: 4096 }))
        await machine.offline()
      })
      t.kill(0, { reaper: () => world.reap(0) })
      t.finally(() => {
        assert.deepEqual(world.states(), ['offline', 'offline'])
        assert.equal(world.used, before)
        assert.equal(world.table.thread(0), 0)
        assert.equal(world.vpas.find(0), undefined)
      })
    })
  })
})
