/**
 * Freeing after a grace period of an SRCU domain, by a CPU that is killed before any of its
 * accesses to shared memory, and reaped; its reaper may be killed, too. The lists of the domain are
 * made on the way. Whatever happens, everything whose freeing had begun is free, once, and the
 * lists are there once, or not at all.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import type { SrcuFlavour } from 'percpu'
import { Examined } from '../../percpu/support/examined.js'
import { check, prepare, type World } from '../../support/world.js'
import { left, queued } from '../support/lists.js'

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 60)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)

async function made(flavour: SrcuFlavour): Promise<{ world: World; object: number }> {
  let object = 0
  const world = await prepare({ cpus: 2 }, (machine) => {
    machine.heap.free(machine.heap.alloc(512))
    object = machine.heap.alloc(512, { persist: true })
    machine.srcu('s', { flavour })
  })
  return { world, object }
}

/** What per-CPU memory is in use when nobody is killed. */
async function usageAfter(flavour: SrcuFlavour): Promise<string> {
  const { world, object } = await made(flavour)
  const machine = world.join(0)
  void machine.srcu('s').free(object)
  await machine.srcu('s').barrier()
  assert.deepEqual(left(world, [object]), [])
  await machine.offline()
  return new Examined(world).usage
}

async function explore(
  test: NamedTest,
  flavour: SrcuFlavour,
  isReaperKilled: boolean,
  options: TestExploreOptions = {},
): Promise<void> {
  const { world, object } = await made(flavour)
  const usages = [new Examined(world).usage, await usageAfter(flavour)]
  // The thread of the second reaper, which is no CPU.
  const second = world.join(4)
  world.addReaper(second)
  await second.offline()
  const finish = async (reaper: number): Promise<void> => {
    if (reaper === 1) world.reapReaper()
    world.reap(0, reaper)
    // The first reaper may have died as this CPU.
    if (reaper === 1) world.reap(4, reaper)
    const next = world.join(4 + reaper)
    await next.srcu('s').barrier()
    await next.offline()
  }
  await check(
    world,
    test,
    (t) => {
      t.cpu(0, async (cpu) => {
        const machine = world.joined(cpu)
        const domain = cpu.prepare(() => machine.srcu('s'))
        void domain.free(object)
        await domain.barrier()
        return true
      })
      t.kill(0, {
        reaper: () => finish(0),
        ...(isReaperKilled ? { reaperKill: { reaper: () => finish(1) } } : {}),
      })
      t.finally(([isOver]) => {
        assert.deepEqual(queued(world), [])
        const objects = left(world, [object])
        if (isOver === true) assert.deepEqual(objects, [])
        const { usage, faults } = new Examined(world)
        assert.deepEqual(faults, [])
        assert.ok(isOver === true ? usage === usages[1] : usages.includes(usage), usage)
      })
    },
    options,
  )
}

describe('a CPU that is killed while it frees in a domain', () => {
  it('leaves nothing behind: the first object of a normal one', async (test) => {
    await explore(test, 'normal', false)
  })
  const sampled = { mode: 'pct', executions: EXECUTIONS, seed: SEED } as const
  it('leaves nothing behind: the first object of a fast one', async (test) => {
    await explore(test, 'fast', false, sampled)
  })
  it('leaves nothing behind, though its reaper is killed', async (test) => {
    await explore(test, 'normal', true, sampled)
  })
})
