/**
 * A page that a fork shares, which one CPU copies while another one reads it. Whoever has the old
 * page for itself from then on writes to it, or frees it. The reader finds nothing of that.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AddressSpace, Machine } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'

const PAGE = 4096
/** What word 0 of the page has: before, in the fork later on, and in memory that is used anew. */
const SHARED = 1
const FORKED = 3

/** A machine with a space and its fork, which share one page. Their tables are their own. */
const withFork = (): Promise<World> =>
  prepare({ cpus: 2, memory: '1 MiB' }, async (machine) => {
    const space = machine.space('s')
    space.map(0, 2 * PAGE)
    space.write(0, SHARED)
    const fork = await space.fork('f')
    for (const each of [space, fork]) each.write(PAGE, SHARED)
  })

const readers: Record<string, (space: AddressSpace, machine: Machine) => number> = {
  'answers its bell': (space) => space.read(0),
  'is deaf': (space, { cpus }) => cpus.deaf(() => space.read(0)),
}
/** What follows the copy. */
const followers: Record<string, (fork: AddressSpace, machine: Machine) => unknown> = {
  'writes to the old one': (fork) => fork.write(0, FORKED),
  'frees the old one': async (fork) => {
    await fork.unmap(0, PAGE)
    // The page that was freed last.
    fork.write(PAGE, FORKED)
  },
}

describe('a page that is copied', () => {
  for (const [reader, read] of Object.entries(readers))
    for (const [follower, follow] of Object.entries(followers))
      it(`is read by a thread that ${reader} while another one ${follower}`, async (test) => {
        const world = await withFork()
        await check(
          world,
          test,
          (t) => {
            t.cpu(0, (cpu) => {
              const { machine, space } = cpu.prepare(() => {
                const machine = world.join(cpu.number)
                return { machine, space: machine.space('s') }
              })
              assert.equal(read(space, machine), SHARED)
            })
            t.cpu(1, async (cpu) => {
              const { machine, space, fork } = cpu.prepare(() => {
                const machine = world.join(cpu.number)
                return { machine, space: machine.space('s'), fork: machine.space('f') }
              })
              space.write(4, FORKED)
              await follow(fork, machine)
            })
          },
          { mode: 'random', executions: 20, maxSteps: 100_000 },
        )
      })
})
