/** Cleaning up after a dead CPU, by several threads at once, and by ones that die as well. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { check, prepare, type World } from '../../support/world.js'

/** The body whose thread has died before the exploration. */
const VICTIM = 5
/** A machine on which CPU `cpu` has died with memory of its own. */
async function withVictim(cpus: number): Promise<{ world: World; before: number }> {
  const world = await prepare(
    { cpus },
    (_machine, world) => void world.join(VICTIM).heap.memblock.alloc({ size: 4096 }),
  )
  return { world, before: world.used - 4096 }
}
function assertClean(world: World, before: number, cpu = 1): void {
  assert.equal(world.table.state(cpu), 'offline')
  assert.equal(world.table.thread(cpu), 0)
  assert.equal(world.used, before)
  assert.equal(world.vpas.find(cpu), undefined)
}

describe('two threads that clean up after the same CPU', () => {
  it('do it once', async (test) => {
    const { world, before } = await withVictim(3)
    await check(
      world,
      test,
      (t) => {
        for (const number of [0, 1])
          t.cpu(number, (cpu) => {
            const machine = world.joined(cpu)
            let deaths = 0
            cpu.prepare(() => machine.cpus.addHotplug({ name: 'count', dead: () => deaths++ }))
            return [machine.cpus.declareDead(1), deaths]
          })
        t.finally((results) => {
          assert.deepEqual([...results].sort(), [
            [false, 0],
            [true, 1],
          ])
          assertClean(world, before)
        })
      },
      { preemptions: 1 },
    )
  })
})

describe('a thread killed anywhere in cleaning up', () => {
  it('is followed by another one, which finishes the job', async (test) => {
    const { world, before } = await withVictim(3)
    const reaper = () => {
      world.reap(0)
      // Before its first write it had not begun: somebody has still to declare the victim dead.
      if (world.table.thread(1) !== 0) world.reap(VICTIM)
    }
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => void world.joined(cpu).cpus.declareDead(1))
      t.kill(0, { reaper })
      t.finally(() => assertClean(world, before))
    })
  })

  it('is replaced when it is said to have stopped, though it is no CPU', async (test) => {
    const { world, before } = await withVictim(4)
    await check(world, test, (t) => {
      t.cpu(0, () => world.reap(VICTIM))
      t.kill(0, {
        reaper: (cpu) => {
          const machine = cpu.prepare(() => world.join(3))
          const taken = world.table.thread(1) < 0
          if (taken) assert.equal(machine.cpus.declareDead(1), false)
          const present = world.table.thread(1) !== 0
          assert.equal(machine.cpus.declareDead(1, { reaperStopped: true }), present)
        },
      })
      t.finally(() => assertClean(world, before))
    })
  })

  it('is followed by a third one when the second one dies, too', async (test) => {
    const world = await prepare({ cpus: 3 }, (machine, world) => {
      const second = world.join(4)
      world.addReaper(second)
      world.join(VICTIM).heap.memblock.alloc({ size: 4096 })
    })
    const before = world.used - 4096
    const finish = (reap: (number: number) => void) => {
      reap(0)
      if (world.table.thread(2) !== 0) reap(VICTIM)
    }
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => void world.joined(cpu).cpus.declareDead(2))
        t.kill(0, {
          reaper: () => finish((number) => world.reap(number)),
          reaperKill: {
            reaper: () => {
              world.reapReaper()
              finish((number) => world.reap(number, 1))
            },
          },
        })
        t.finally(() => assertClean(world, before, 2))
      },
      { mode: 'pct', executions: 1000 },
    )
  })

  it('lets a monitor tell of the death once', async (test) => {
    const { world } = await withVictim(4)
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => void world.joined(cpu).cpus.declareDead(1))
      t.kill(0, {
        reaper: (cpu) => {
          const died: number[] = []
          let beat = (): void => undefined
          const machine = cpu.prepare(() => world.join(3))
          // Its timer goes off when this says so.
          const { setTimeout } = globalThis
          globalThis.setTimeout = ((callback: () => void) => {
            beat = callback
            return {}
          }) as never
          try {
            const monitor = cpu.prepare(() => machine.watch.monitor())
            monitor.on('died', ({ cpu: number }) => died.push(number))
            beat()
            machine.cpus.declareDead(0)
            if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
            beat()
            assert.deepEqual(
              died.filter((number) => number === 1),
              [1],
            )
          } finally {
            globalThis.setTimeout = setTimeout
          }
        },
      })
    })
  })
})
