/**
 * Each operation of the machine, by a CPU that is killed before any of its accesses. Whoever reaps
 * it then finds a machine on which everything works: nothing is lost, and the number can be used
 * again.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type CpuContext } from 'percpu-lab'
import type { Machine } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'

/** Joins as the next thread that is this CPU, and uses everything. */
async function assertWhole(world: World, before: number): Promise<void> {
  const next = world.join(3)
  assert.deepEqual([next.cpu, next.cpus.present], [0, [0]])
  assert.ok(world.vpas.find(0)?.log)
  assert.equal(world.vpas.find(0)?.incarnation, next.cpus.incarnation)
  const address = next.heap.memblock.alloc({ size: 640 })
  assert.ok(mem.copyOut(next.memory, address, 640).every((byte) => byte === 0))
  next.heap.memblock.free(address)
  assert.equal(world.used, before)
  let ran = 0
  next.cpus.registerFunction('probe', (argument) => (ran += argument))
  const { ran: by } = await next.cpus.call([0], 'probe', { argument: 1 })
  assert.deepEqual([by, ran], [[0], 1])
  await next.rcu.synchronize()
  await next.offline()
}

interface Operation {
  readonly prepare?: (machine: Machine) => number
  readonly run: (machine: Machine, given: number) => unknown
  /** What may be in use afterwards beside what was before, bytes. Default: nothing. */
  readonly left?: readonly number[]
}
const operations: Readonly<Record<string, Operation>> = {
  'memblock.alloc': { run: (machine) => machine.heap.memblock.alloc({ size: 4096 }) },
  'memblock.persist': {
    prepare: (machine) => machine.heap.memblock.alloc({ size: 4096 }),
    run: (machine, address) => machine.heap.memblock.persist(address),
    left: [0, 4096],
  },
  'memblock.free': {
    prepare: (machine) => {
      const address = machine.heap.memblock.alloc({ size: 4096 })
      machine.heap.memblock.persist(address)
      return address
    },
    run: (machine, address) => machine.heap.memblock.free(address),
    left: [0, 4096],
  },
  ring: { run: (machine) => machine.cpus.ring([0, 1], 5) },
  poll: {
    prepare: (machine) => {
      machine.cpus.ring(0, 5)
      return 0
    },
    run: (machine) => machine.poll(),
  },
  park: {
    prepare: (machine) => machine.heap.memblock.alloc({ size: 4 }),
    run: (machine, address) => machine.cpus.park(address, 0, 40),
  },
  deaf: { run: (machine) => machine.cpus.deaf(() => undefined) },
  'a call': { run: (machine) => machine.cpus.call([0, 1], 'nothing') },
  synchronize: { run: (machine) => machine.rcu.synchronize() },
  offline: { run: (machine) => machine.offline() },
}

describe('a CPU killed before any access', () => {
  it('of join leaves the machine whole', async (test) => {
    const world = await prepare()
    const before = world.used
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => void world.join(cpu.number))
      t.kill(0, {
        reaper: async () => {
          world.reap(0)
          await assertWhole(world, before)
        },
      })
    })
  })

  for (const [name, { prepare: setUp, run, left = [0] }] of Object.entries(operations)) {
    it(`of ${name} leaves the machine whole`, async (test) => {
      const world = await prepare()
      const before = world.used
      await check(world, test, (t) => {
        t.cpu(0, async (cpu: CpuContext) => {
          const machine = world.joined(cpu)
          const given = cpu.prepare(() => setUp?.(machine) ?? 0)
          await run(machine, given)
        })
        t.kill(0, {
          reaper: async () => {
            world.reap(0)
            const used = world.used
            assert.ok(left.includes(used - before), `${used - before} bytes are left`)
            await assertWhole(world, used)
          },
        })
      })
    })
  }
})
