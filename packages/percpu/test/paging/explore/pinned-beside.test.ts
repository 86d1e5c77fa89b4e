/**
 * A page that one CPU pins while another one collapses its table, or protects it: of both one is
 * refused. What is pinned stays where it is and what it was, at each step. Either may be killed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu } from 'percpu-lab'
import type { AddressSpace, Pin } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { assertTables } from './support/tables.js'

const { walk } = await import('../../../dist/pagetable/walk.js')
const { targetOf, WRITE } = await import('../../../dist/pagetable/entry.js')
const { SpaceTable } = await import('../../../dist/pagetable/layouts.js')
const { SpaceRoot } = await import('../../../dist/paging/layouts.js')

const PAGE = 4096
const BLOCK = 1024 * PAGE
/** The page that is pinned, and what its word 0 has. */
const PINNED = 3
const FIRST = 1
const SECOND = 2

interface Scene {
  readonly world: World
  /** Word index of the edge of the space. */
  readonly edge: number
}
/** A machine with a space; if it `isSplit`, of 1024 pages side by side that have a table. */
async function withSpace(isSplit: boolean): Promise<Scene> {
  const memory = isSplit ? '16 MiB' : '1 MiB'
  const world = await prepare({ cpus: 2, memory }, (machine) => {
    const space = machine.space('s')
    space.map(0, BLOCK, { huge: isSplit })
    space.write(PINNED * PAGE, FIRST)
    if (isSplit) space.split(0)
  })
  const [space] = world.names.each('space')
  assert.ok(space)
  return { world, edge: space.address / 4 + SpaceRoot.words.table + SpaceTable.words.root }
}
/** The space of a CPU that has used it before. */
function open(world: World, number: number): AddressSpace {
  const space = world.join(number).space('s')
  assert.equal(space.read(PINNED * PAGE), FIRST)
  return space
}

interface Change {
  readonly isSplit: boolean
  /** What both threads give. */
  readonly results: readonly string[]
  readonly run: (space: AddressSpace) => Promise<unknown>
}
const changes: Record<string, Change> = {
  collapses: {
    isSplit: true,
    results: ['made pinned', 'refused pinned'],
    run: (space) => space.collapse(0),
  },
  protects: {
    isSplit: false,
    results: ['made refused', 'refused pinned'],
    run: (space) => space.protect(0, BLOCK, { write: false }),
  },
}
/** What a change gives: whether it was made. */
async function outcome(change: Promise<unknown>): Promise<string> {
  try {
    await change
    return 'made'
  } catch (error) {
    if (!(error instanceof percpu.PinnedError)) throw error
    return 'refused'
  }
}
/** Pins the page until the other thread has ended, and writes to it by its address. */
async function usePinned(
  { world, edge }: Scene,
  space: AddressSpace,
  isOver: () => unknown,
): Promise<string> {
  let pin: Pin
  try {
    pin = space.pin(PINNED * PAGE)
  } catch (error) {
    // It was protected before.
    if (!(error instanceof percpu.FaultError)) throw error
    return 'refused'
  }
  const { i32 } = world.memory
  const look = (): void => {
    const leaf = walk(i32, edge, PINNED)
    assert.equal(targetOf(leaf), pin.address / 4, 'a pinned page moves')
    assert.ok((leaf & WRITE) !== 0, 'a pinned page is protected')
  }
  look()
  assert.equal(mem.load32(i32, pin.address / 4), FIRST)
  mem.store32(i32, pin.address / 4, SECOND)
  await isOver()
  look()
  assert.equal(space.read(PINNED * PAGE), SECOND)
  pin.unpin()
  return 'pinned'
}

describe('a pinned page', () => {
  for (const [name, { isSplit, results, run }] of Object.entries(changes))
    for (const killed of [undefined, 0, 1])
      it(`stays while another thread ${name}${killed === undefined ? '' : `, and CPU ${killed} is killed`}`, async (test) => {
        const scene = await withSpace(isSplit)
        const { world } = scene
        const seen = new Set<string>()
        await check(
          world,
          test,
          (t) => {
            const { memory, base } = t.words(1)
            // The change is over, or was refused.
            const end = (): void => {
              mem.storeAtomic32(memory.i32, base, 1)
              mem.notify32(memory.i32, base)
            }
            t.cpu(
              0,
              async (cpu) => {
                const space = cpu.prepare(() => open(world, cpu.number))
                const result = await outcome(run(space))
                end()
                return result
              },
              { stays: true },
            )
            t.cpu(
              1,
              (cpu) => {
                const space = cpu.prepare(() => open(world, cpu.number))
                return usePinned(scene, space, () => mem.waitAsync32(memory.i32, base, 0).value)
              },
              { stays: true },
            )
            if (killed !== undefined) {
              const reaper = (): void => {
                world.reap(killed)
                end()
              }
              t.kill(killed, { reaper })
            }
            t.finally((given) => {
              seen.add(given.join(' '))
              assertTables(world, 2, killed === 0)
            })
          },
          { mode: 'pct', executions: 100, maxSteps: 100_000 },
        )
        if (killed === undefined) assert.deepEqual([...seen].sort(), results)
      })
})
