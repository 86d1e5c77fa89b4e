/**
 * A collection that one CPU removes while another one uses it, in every order of their accesses:
 * nothing of it is read once it is freed. The reader may be killed anywhere.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, nameStructs, percpu, type Scenario } from 'percpu-lab'
import type { Memory } from 'percpu'
import { check, prepare, type BareCpu, type World } from '../../support/world.js'

const { Presence } = await import('../../../dist/collections/presence.js')
const { Deadline } = await import('../../../dist/machine/wait-options.js')

const { struct, atomic, published, i32, RemovedError } = percpu
/** As a collection begins; the object is poisoned when it is freed. */
const Thing = struct('Thing', { removing: atomic(i32), object: published(i32) })
const TOKEN = 256

/** The collections of one CPU. There is one, which has its name. */
function presenceOf(world: World, bare: BareCpu, memory: Memory): InstanceType<typeof Presence> {
  const own = {
    memory,
    gracePeriods: bare.gracePeriods,
    openViews: () => mem.reopenMemory(memory),
    closeViews: (views: Memory, makeError: () => Error) => mem.poisonMemory(views, makeError),
  }
  const presence = new Presence({ own, objects: world.objects, names: { has: () => true } } as never)
  presence.attach()
  return presence
}

/** Reads the object through the views of the handle. Returns whether it was there. */
function use(handle: { readonly views: Memory }, word: number): boolean {
  try {
    assert.equal(mem.load32(handle.views.i32, word), 42)
    return true
  } catch (error) {
    assert.ok(error instanceof RemovedError)
    return false
  }
}

describe('a collection that is removed', () => {
  const readers: Record<string, (bare: BareCpu) => void> = {
    'answers its bell': (bare) => bare.doorbell.answer(),
    'goes deaf': (bare) => bare.idle.deaf(() => undefined),
    sleeps: (bare) => {
      let looks = 0
      bare.idle.sleepUntil(() => ++looks === 2, new Deadline(), false)
    },
  }
  for (const [name, between] of Object.entries(readers))
    for (const killed of [false, true])
      it(`is not read any more by a reader that ${name}${killed ? ', or is killed' : ''}`, async (test) => {
        let address = 0
        const world = await prepare({}, (machine) => {
          machine.ring('r')
          const { memblock } = machine.heap
          address = memblock.alloc({ size: 64, label: 'thing' })
          memblock.persist(address)
          Thing.at(machine.memory, address).object = 42
        })
        await check(
          world,
          test,
          (t: Scenario) => {
            nameStructs(t, world.memory, [{ name: 'thing', address, struct: Thing }])
            const thing = world.at(Thing, address)
            const word = (address + Thing.offsets.object) / 4
            t.cpu(0, async (cpu) => {
              const bare = world.bare(cpu)
              const presence = cpu.prepare(() => presenceOf(world, bare, world.memory))
              thing.removing.store(TOKEN)
              presence.announceRemoval()
              await bare.gracePeriods.synchronize()
              thing.object = -1
              bare.ring(1)
            })
            t.cpu(1, async (cpu) => {
              const bare = world.bare(cpu)
              const handle = cpu.prepare(() =>
                presenceOf(world, bare, world.memory).open('ring', 'r', { address, serial: 1 }, (views) => ({
                  views,
                })),
              )
              const told = bare.rung()
              use(handle, word)
              between(bare)
              use(handle, word)
              await told
              assert.equal(use(handle, word), false)
            })
            if (killed) t.kill(1, { reaper: () => world.reap(1) })
          },
          { preemptions: killed ? 0 : 2 },
        )
      })
})
