/**
 * Freeing after a grace period, by a CPU that is killed before any of its accesses to shared
 * memory, and reaped. Another CPU frees what is left. Whatever happens, everything whose freeing
 * had begun is free, once, and nothing else is.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { Examined } from '../../percpu/support/examined.js'
import { BLOCK_WORDS, forward, left, queued } from '../support/lists.js'

/** Objects that the CPU frees: those in flight are its own. */
interface Given {
  readonly persistent: readonly number[]
  readonly pointer: number
}
interface Scene {
  readonly isPercpu?: true
  /** Positions that the list has come forward by. */
  readonly by: number
  readonly run: (machine: Machine, given: Given) => void
}

const scenes: Readonly<Record<string, Scene>> = {
  'the first object of a list': { by: 0, run: ({ rcu }, { persistent: [one = 0] }) => void rcu.free(one) },
  'an object in flight': {
    by: 0,
    run: ({ rcu, heap }) => void rcu.free(heap.alloc(512)),
  },
  'two objects, with which one block ends and the next one begins': {
    by: BLOCK_WORDS - 1,
    run: ({ rcu }, { persistent: [one = 0, two = 0] }) => {
      void rcu.free(one)
      void rcu.free(two)
    },
  },
  'per-CPU memory': { by: 7, isPercpu: true, run: ({ rcu }, { pointer }) => void rcu.free({ pointer }) },
}

async function made(by: number): Promise<{ world: World; given: Given }> {
  let given: Given = { persistent: [], pointer: 0 }
  const world = await prepare({ cpus: 2 }, (machine) => {
    machine.heap.free(machine.heap.alloc(512))
    const persistent = [1, 2].map(() => machine.heap.alloc(512, { persist: true }))
    given = { persistent, pointer: machine.percpu.alloc(16) }
  })
  if (by > 0) {
    // The block that the positions have come through.
    const machine = world.join(0)
    void machine.rcu.free(machine.heap.alloc(8))
    await machine.rcu.barrier()
    await machine.offline()
    forward(world, 0, by)
  }
  return { world, given }
}

/** How many of the persistent objects are left, and what per-CPU memory, when nobody is killed. */
async function freed(by: number, run: Scene['run']): Promise<[number, string]> {
  const { world, given } = await made(by)
  const machine = world.join(0)
  run(machine, given)
  await machine.rcu.barrier()
  await machine.offline()
  return [left(world, given.persistent).length, new Examined(world).usage]
}

describe('a CPU that is killed', () => {
  for (const [name, { by, run, isPercpu = false }] of Object.entries(scenes))
    it(`while it frees ${name} leaves nothing behind, and frees nothing twice`, async (test) => {
      const { world, given } = await made(by)
      const before = new Examined(world).usage
      const after = await freed(by, run)
      await check(world, test, (t) => {
        t.cpu(0, async (cpu) => {
          const machine = world.joined(cpu)
          cpu.prepare(() => machine.percpu.sizeOf(given.pointer))
          run(machine, given)
          await machine.rcu.barrier()
          return true
        })
        t.kill(0, {
          reaper: async () => {
            world.reap(0)
            const next = world.join(4)
            await next.rcu.barrier()
            await next.offline()
          },
        })
        t.finally(([isOver]) => {
          assert.deepEqual(queued(world), [])
          const objects = left(world, given.persistent)
          if (isOver === true) assert.equal(objects.length, after[0])
          else assert.ok(after[0] <= objects.length)
          if (!isPercpu) return
          const { usage, faults } = new Examined(world)
          assert.deepEqual(faults, [])
          assert.ok(isOver === true ? usage === after[1] : [before, after[1]].includes(usage))
        })
      })
    })
})
