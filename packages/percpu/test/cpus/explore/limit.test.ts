/** Numbers that are given up while others join, and give them up as well. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { check, prepare } from '../../support/world.js'
import { codeOf } from '../../support/codes.js'

describe('a thread that gives up numbers', () => {
  it('gives up none that another one takes meanwhile', async (test) => {
    const world = await prepare({ cpus: 3 })
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => {
          const machine = world.joined(cpu)
          return codeOf(() => machine.cpus.limit(1))
        })
        t.cpu(1, (cpu) => codeOf(() => world.join(cpu.number)))
        t.finally(([limited, joined]) => {
          const possible = world.table.select((cpu) => world.table.isPossible(cpu))
          if (limited === 'none') assert.deepEqual([joined, possible], ['PERCPU_NO_FREE_CPU', [0]])
          else assert.deepEqual(possible, [0, 1, 2])
          for (const cpu of [0, 1, 2])
            assert.equal(world.vpas.areas(cpu) !== undefined, possible.includes(cpu))
          assert.ok(limited === 'none' || joined === 'none' || joined === 'PERCPU_NO_FREE_CPU')
        })
      },
      { preemptions: 2 },
    )
  })

  it('and another one that does so as well give back each area once', async (test) => {
    const world = await prepare({ cpus: 3 })
    const before = world.regions.length
    await check(
      world,
      test,
      (t) => {
        for (const number of [0, 1])
          t.cpu(number, (cpu) => {
            const machine = world.joined(cpu)
            machine.cpus.limit(2)
            for (const size of [1024, 4096])
              machine.heap.memblock.persist(machine.heap.memblock.alloc({ size, align: 1024 }))
          })
        t.finally(() => {
          assert.deepEqual(
            world.table.select((cpu) => world.table.isPossible(cpu)),
            [0, 1],
          )
          assert.equal(world.vpas.areas(2), undefined)
          assert.equal(world.regions.length, before - 2 + 4)
        })
      },
      { preemptions: 1 },
    )
  })
})
