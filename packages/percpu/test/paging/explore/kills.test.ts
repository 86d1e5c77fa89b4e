/**
 * Spaces of a whole machine whose changer is killed anywhere: the tables and counts are right
 * afterwards, no page is lost, and the space can be used.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu } from 'percpu-lab'
import type { AddressSpace, Machine } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { assertTables } from './support/tables.js'

const PAGE = 4096
/** Pages that are used with a space of one page: four of it, and what layers and CPUs keep. */
const USED = 17
/** With a fork there were more areas: their map keeps a reserve for as many. */
const USED_AFTER_FORK = 18

/** A machine with a space in which two pages are mapped and one has memory. */
const withSpace = (cpus: number): Promise<World> =>
  prepare({ cpus, memory: '1 MiB' }, (machine) => {
    const space = machine.space('s')
    space.map(0, 2 * PAGE)
    space.write(0, 1)
  })
/** The space of a CPU that has changed it before: it has taken what it keeps. */
function open(world: World, number: number): AddressSpace {
  const space = world.join(number).space('s')
  space.map(8 * PAGE, PAGE)
  space.write(8 * PAGE, 1)
  return space
}
/** Pages of a machine that are not free. */
function used({ heap }: Machine): number {
  heap.trim()
  return heap.pages.report().reduce((sum, { total, free }) => sum + (total - free) / PAGE, 0)
}
async function remove(machine: Machine, name: string): Promise<void> {
  try {
    await machine.remove('space', name)
  } catch (error) {
    if (!(error instanceof percpu.ObjectMissingError)) throw error
  }
}

describe('a thread that is killed', () => {
  const changes: Record<string, (space: AddressSpace) => unknown> = {
    unmaps: (space) => space.unmap(0, 2 * PAGE),
    maps: (space) => space.map(2 * PAGE, PAGE),
    writes: (space) => space.write(PAGE, 2),
    forks: (space) => space.fork('f'),
    'removes the space': (space) => space.drop(),
  }
  for (const [name, change] of Object.entries(changes))
    it(`while it ${name} leaves tables right, and loses no page`, async (test) => {
      const world = await withSpace(2)
      const left = new Set<number>()
      await check(
        world,
        test,
        (t) => {
          t.cpu(0, async (cpu) => {
            const space = cpu.prepare(() => open(world, cpu.number))
            await change(space)
            return true
          })
          t.kill(0, {
            reaper: async () => {
              world.reap(0)
              const machine = world.join(4)
              for (const space of ['f', 's']) await remove(machine, space)
              const space = machine.space('s')
              assert.throws(() => space.read(0), percpu.FaultError)
              space.map(0, PAGE)
              space.write(0, 3)
              assert.equal(space.read(0), 3)
              left.add(used(machine))
              await machine.offline()
            },
          })
          t.finally(() => assertTables(world, 2))
        },
        { preemptions: 0, maxSteps: 100_000 },
      )
      assert.equal(Math.max(...left), name === 'forks' ? USED_AFTER_FORK : USED)
    })
})
