/**
 * Forks of forks, beside a thread that writes to what they share, and so copies it: each fork has
 * what was written at one moment, and the space has all of it. Of generations that are dropped at
 * once no page is lost. Threads may be killed anywhere.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu } from 'percpu-lab'
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
/** Removes a space, if it is there. */
async function remove(machine: Machine, name: string): Promise<void> {
  try {
    await machine.remove('space', name)
  } catch (error) {
    if (!(error instanceof percpu.ObjectMissingError)) throw error
  }
}
/** Pages of a machine that are not free. */
function used({ heap }: Machine): number {
  heap.pages.trim()
  return heap.pages.report().reduce((sum, { total, free }) => sum + (total - free) / PAGE, 0)
}

describe('a fork of a fork', () => {
  for (const killed of [undefined, 0, 1])
    it(`has a prefix of what a thread writes${killed === undefined ? '' : `, and CPU ${killed} is killed`}`, async (test) => {
      const world = await withLine(2)
      const seen = new Set<string>()
      await check(
        world,
        test,
        (t) => {
          t.cpu(
            0,
            async (cpu) => {
              const { space } = cpu.prepare(() => open(world, cpu.number, 's'))
              const found = contents(await space.fork('g'))
              assert.match(found, /^2*1*$/)
              return found
            },
            { stays: true },
          )
          t.cpu(
            1,
            (cpu) => {
              const { machine, space } = cpu.prepare(() => open(world, cpu.number, 's'))
              for (const page of PAGES) {
                space.write(page, SECOND)
                assert.equal(space.read(page), SECOND)
                machine.poll()
              }
              const found = contents(space)
              assert.equal(found, '222')
              return found
            },
            { stays: true },
          )
          t.cpu(
            2,
            (cpu) => {
              const { space } = cpu.prepare(() => open(world, cpu.number, 'f'))
              for (const page of PAGES) assert.equal(space.read(page), FIRST)
            },
            { stays: true },
          )
          if (killed !== undefined) t.kill(killed, { reaper: () => void world.reap(killed) })
          t.finally(([found]) => {
            seen.add(String(found))
            assertTables(world, 3, killed === 0)
          })
        },
        { mode: 'pct', executions: Number(process.env['N'] ?? 50), maxSteps: 100_000 },
      )
      console.log(seen, seen.size)
    })
})

describe('three generations', () => {
  for (const killed of [undefined, 0])
    it(`are dropped at once${killed === undefined ? '' : ', and a thread that drops one is killed'}: no page is lost`, async (test) => {
      const world = await withLine(3)
      const left = new Set<number>()
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
                await space.drop()
                return true
              },
              { stays: true },
            )
          if (killed !== undefined)
            t.kill(killed, {
              reaper: async () => {
                world.reap(killed)
                const machine = world.join(4)
                await remove(machine, 's')
                left.add(used(machine))
                await machine.offline()
              },
            })
          t.finally(() => {
            assertTables(world, 3)
          })
        },
        { mode: 'pct', executions: Number(process.env['N'] ?? 50), maxSteps: 100_000 },
      )
      console.log(left)
    })
})
