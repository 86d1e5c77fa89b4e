/**
 * Forks of forks, beside a thread that writes to what they share, and so copies it: each fork has
 * what was written at one moment, and the space has all of it. Generations that are dropped at
 * once leave tables and counts right.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem } from 'percpu-lab'
import type { AddressSpace, Machine } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { assertTables } from './support/tables.js'

const PAGE = 4096
/** Pages that are written to; they lie in two tables. */
const PAGES = [0, 1, 1024].map((page) => page * PAGE)
/** Spaces of one line: each is a fork of the one before. */
const LINE = ['s', 'f', 'g']
/** What all pages have before, and what is written to one after the other. */
const FIRST = 1
const SECOND = 2

/** A machine with spaces of the first `generations` of the line. */
const withLine = (generations: number): Promise<World> =>
  prepare({ cpus: 3, memory: '1 MiB' }, async (machine) => {
    let space = machine.space('s')
    space.map(0, 2048 * PAGE)
    for (const page of PAGES) space.write(page, FIRST)
    for (const name of LINE.slice(1, generations)) {
      space = await space.fork(name)
      space.write(PAGE, FIRST)
    }
  })
/** A CPU that has used a space before. */
function open(world: World, number: number, name: string): { machine: Machine; space: AddressSpace } {
  const machine = world.join(number)
  const space = machine.space(name)
  for (const page of PAGES) assert.equal(space.read(page), FIRST)
  return { machine, space }
}
const contents = (space: AddressSpace): string => PAGES.map((page) => space.read(page)).join('')

describe('a fork of a fork', () => {
  it('has a prefix of what a thread writes meanwhile', async (test) => {
    const world = await withLine(2)
    const seen = new Set<string>()
    await check(
      world,
      test,
      (t) => {
        // How many pages are written.
        const { memory, base } = t.words(1)
        const { i32 } = memory
        t.cpu(
          0,
          async (cpu) => {
            const { space } = cpu.prepare(() => open(world, cpu.number, 's'))
            const from = cpu.choose(PAGES.length)
            let count = 0
            while (count < from) {
              await mem.waitAsync32(i32, base, count).value
              count = mem.loadAtomic32(i32, base)
            }
            const fork = await space.fork('g')
            const found = contents(fork)
            assert.match(found, /^2*1*$/)
            assert.equal(contents(fork), found)
            return found
          },
          { stays: true },
        )
        t.cpu(
          1,
          (cpu) => {
            const { machine, space } = cpu.prepare(() => open(world, cpu.number, 's'))
            for (const [index, page] of PAGES.entries()) {
              space.write(page, SECOND)
              assert.equal(space.read(page), SECOND)
              mem.storeAtomic32(i32, base, index + 1)
              mem.notify32(i32, base)
              machine.poll()
            }
            assert.equal(contents(space), '222')
          },
          { stays: true },
        )
        t.cpu(
          2,
          (cpu) => {
            const { space } = cpu.prepare(() => open(world, cpu.number, 'f'))
            assert.equal(contents(space), '111')
          },
          { stays: true },
        )
        t.finally(([found]) => {
          seen.add(String(found))
          assertTables(world, 3)
        })
      },
      { mode: 'pct', executions: 50, maxSteps: 100_000 },
    )
    assert.deepEqual([...seen].sort(), ['111', '211', '221', '222'])
  })
})

describe('three generations', () => {
  it('are dropped at once, and written to before: tables and counts are right', async (test) => {
    const world = await withLine(3)
    await check(
      world,
      test,
      (t) => {
        for (const [number, name] of LINE.entries())
          t.cpu(
            number,
            async (cpu) => {
              const { space } = cpu.prepare(() => open(world, number, name))
              // Its own copies, too.
              space.write(0, SECOND)
              assert.equal(space.read(0), SECOND)
              await space.drop()
            },
            { stays: true },
          )
        t.finally(() => {
          assertTables(world, 3)
        })
      },
      { mode: 'pct', executions: 15, maxSteps: 100_000 },
    )
  })
})
