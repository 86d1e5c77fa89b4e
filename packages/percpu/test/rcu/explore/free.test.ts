/**
 * Freeing after a grace period beside CPUs that read: what is free is read by nobody, and is free
 * in the end, whoever leaves, sleeps or comes online meanwhile.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type CpuContext, type Scenario } from 'percpu-lab'
import { check, prepare, type World } from '../../support/world.js'
import { left, queued } from '../support/lists.js'

const { SlabLayout } = await import('../../../dist/alloc/layouts.js')
const { struct, atomic, published, i32 } = percpu
/** 1 while the objects may be found. */
const Link = struct('Link', { link: atomic(i32) })
/** Tags of the objects of a slab: one that leaves looks at all of them, see alloc/tags.ts. */
const Tags = struct('Tags', { tag: percpu.array(percpu.racy(i32), 7) })
const Payload = struct('Payload', { value: published(i32) })
const OVER = 1
const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 60)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)

/** A machine with so many objects, all of which say 42. */
async function withObjects(count: number): Promise<{ world: World; objects: number[] }> {
  const objects: number[] = []
  const world = await prepare({ cpus: 3 }, ({ heap, memory }) => {
    for (let i = 0; i < count; i++) objects.push(heap.alloc(2048, { persist: true }))
    for (const object of objects) mem.store32(memory.i32, object / 4, 42)
  })
  return { world, objects }
}

function open(world: World, cpu: CpuContext) {
  return cpu.prepare(() => {
    const machine = world.join(cpu.number)
    const over = new Promise<void>((resolve) => machine.cpus.onRing(OVER, () => resolve()))
    return { machine, over }
  })
}

function shared(t: Scenario, world: World, objects: readonly number[]) {
  for (const [i, object] of objects.entries()) t.name(world.memory, object, Payload, `object[${i}]`)
  const { link } = t.memory(Link, 'words')
  link.store(1)
  return {
    link,
    read: (object: number) => {
      if (link.load() === 1) assert.equal(mem.load32(world.memory.i32, object / 4), 42)
    },
    /** As its next owner does. */
    reuse: (object: number) => mem.store32(world.memory.i32, object / 4, -1),
  }
}

describe('what is freed after a grace period', () => {
  it('is not read any more when it is used again', async (test) => {
    const { world, objects } = await withObjects(1)
    const [object = 0] = objects
    await check(
      world,
      test,
      (t) => {
        const { link, read, reuse } = shared(t, world, objects)
        t.cpu(0, async (cpu) => {
          const { machine } = open(world, cpu)
          link.store(0)
          void machine.rcu.free(object)
          await machine.rcu.barrier()
          reuse(object)
          machine.cpus.ring(1, OVER)
        })
        t.cpu(1, async (cpu) => {
          const { over } = open(world, cpu)
          read(object)
          await over
          read(object)
        })
        t.finally(() => assert.deepEqual(left(world, objects), []))
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('is not read any more when two free at once', async (test) => {
    const { world, objects } = await withObjects(2)
    await check(
      world,
      test,
      (t) => {
        const { link, read, reuse } = shared(t, world, objects)
        for (const number of [0, 1])
          t.cpu(number, async (cpu) => {
            const { machine, over } = open(world, cpu)
            const object = objects[number] ?? 0
            for (const other of objects) read(other)
            link.store(0)
            void machine.rcu.free(object)
            await machine.rcu.barrier()
            reuse(object)
            machine.cpus.ring(1 - number, OVER)
            await over
          })
        t.finally(() => assert.deepEqual([left(world, objects), queued(world)], [[], []]))
      },
      { weak: true, mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('is freed by another CPU when its own one sleeps', async (test) => {
    const { world, objects } = await withObjects(1)
    await check(
      world,
      test,
      (t) => {
        const { link } = shared(t, world, objects)
        t.cpu(0, (cpu) => {
          const { machine } = open(world, cpu)
          void machine.rcu.free(objects[0] ?? 0)
          machine.cpus.ring(1, OVER)
          machine.cpus.deaf(() => mem.awaitUntil(() => link.load() === 2))
        })
        t.cpu(1, async (cpu) => {
          const { machine, over } = open(world, cpu)
          await over
          await machine.rcu.barrier()
          link.store(2)
        })
        t.finally(() => assert.deepEqual([left(world, objects), queued(world)], [[], []]))
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('is not waited for if it was a function that is lost with its thread', async (test) => {
    const { world } = await withObjects(0)
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const { machine } = open(world, cpu)
          void machine.rcu.call(() => undefined)
          await machine.rcu.barrier()
        })
        t.cpu(1, async (cpu) => {
          const { machine } = open(world, cpu)
          await machine.rcu.barrier()
          await machine.offline()
        })
        t.kill(0, { reaper: () => world.reap(0) })
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('is freed by a CPU that is rung before its own one has wholly left', async (test) => {
    const { world, objects } = await withObjects(2)
    const [object = 0] = objects
    await check(
      world,
      test,
      (t) => {
        t.name(world.memory, object - (object % 4096) + SlabLayout.stride, Tags, 'tags')
        t.cpu(0, async (cpu) => {
          const { machine } = open(world, cpu)
          void machine.rcu.free(object)
          machine.cpus.ring(1, OVER)
          await machine.offline()
        })
        t.cpu(1, async (cpu) => {
          const { machine, over } = open(world, cpu)
          await over
          await machine.rcu.barrier()
        })
        t.finally(() => assert.deepEqual([left(world, [object]), queued(world)], [[], []]))
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('is freed by a CPU that comes online while its own one leaves', async (test) => {
    const { world, objects } = await withObjects(2)
    const [object = 0, signal = 0] = objects
    const { i32: view } = world.memory
    mem.store32(view, signal / 4, 0)
    await check(
      world,
      test,
      (t) => {
        t.name(world.memory, signal, Link, 'signal')
        t.cpu(0, async (cpu) => {
          const { machine } = open(world, cpu)
          const teardown = (): void => void machine.rcu.free(object)
          cpu.prepare(() => machine.cpus.addHotplug({ name: 'the last thing', teardown }))
          await machine.offline()
          mem.storeAtomic32(view, signal / 4, 1)
          mem.notify32(view, signal / 4)
        })
        t.cpu(1, async (cpu) => {
          world.join(cpu.number)
          await mem.waitAsync32(view, signal / 4, 0).value
          for (let turns = 0; turns < 50 && queued(world).length > 0; turns++)
            await new Promise((resolve) => setImmediate(resolve))
        })
        t.finally(() => assert.deepEqual([left(world, [object]), queued(world)], [[], []]))
      },
      { preemptions: 0 },
    )
  })
})
