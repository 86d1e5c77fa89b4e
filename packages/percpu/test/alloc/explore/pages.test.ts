/**
 * The stacks of single pages, the zone, and slabs that become empty, with two CPUs at them, of
 * which either may be killed anywhere and is reaped. Whatever happens, each page is in exactly one
 * place: allocated, in one stack, or free in the zone.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allocated, allocatedPages, check, open, withHeap } from './support.js'

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 150)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)
const atRandom = { mode: 'pct', executions: EXECUTIONS, seed: SEED } as const
const sorted = (addresses: readonly number[]): number[] => [...addresses].sort((a, b) => a - b)

for (const victim of [0, 1]) {
  describe(`of two CPUs with stacks of pages, CPU ${victim} is killed`, () => {
    it('while one takes and gives pages and the other frees one of them', async (test) => {
      const prepared = await withHeap({ pages: 1 })
      const { world, pages } = prepared
      const [given = 0] = pages
      await check(
        prepared,
        test,
        victim,
        (t) => {
          t.cpu(0, (cpu) => {
            const { machine } = open(world, cpu)
            cpu.prepare(() => {
              const both = [machine.heap.pages.alloc(0), machine.heap.pages.alloc(0)]
              for (const address of both) machine.heap.pages.free(address, 0)
            })
            const first = machine.heap.pages.alloc(0)
            const second = machine.heap.pages.alloc(0)
            machine.heap.pages.free(first, 0)
            return second
          })
          t.cpu(1, (cpu) => {
            const { machine } = open(world, cpu)
            machine.heap.pages.adopt(given)
            machine.heap.pages.free(given, 0)
            return true
          })
          t.finally(([second, isFreed]) => {
            const left = allocatedPages(world)
            const expected = second === undefined ? [] : [second as number]
            if (left.includes(given) && isFreed !== true) expected.push(given)
            assert.deepEqual(left, sorted(expected))
          })
        },
        { preemptions: 1 },
      )
    })

    it('while both want the zone: one refills its stack, the other spills its own', async (test) => {
      const prepared = await withHeap({ pages: 3 })
      const { world, pages } = prepared
      const [given = 0, ...others] = pages
      await check(
        prepared,
        test,
        victim,
        (t) => {
          t.cpu(0, (cpu) => open(world, cpu).machine.heap.pages.tryAlloc(0))
          t.cpu(1, (cpu) => {
            const { machine } = open(world, cpu)
            cpu.prepare(() => {
              for (const address of others) machine.heap.pages.free(address, 0)
              machine.heap.pages.adopt(given)
            })
            machine.heap.pages.free(given, 0)
            return machine.heap.pages.tryAlloc(1)
          })
          t.finally((results) => {
            const taken = results.filter((result) => result !== undefined) as number[]
            assert.deepEqual(allocatedPages(world), sorted(taken))
          })
        },
        atRandom,
      )
    })
  })

  describe(`of two CPUs with a cache, CPU ${victim} is killed`, () => {
    it('while one gives the last objects of a slab and its pages back and the other takes objects', async (test) => {
      const prepared = await withHeap({ objects: 8 })
      const { world, objects } = prepared
      await check(
        prepared,
        test,
        victim,
        (t) => {
          t.cpu(0, (cpu) => {
            const { cache } = open(world, cpu)
            cpu.prepare(() => {
              for (const address of objects) cache.adopt(address)
              for (const address of objects.slice(0, 6)) cache.free(address)
            })
            for (const address of objects.slice(6)) cache.free(address)
            cache.trim()
          })
          t.cpu(1, (cpu) => {
            const { cache } = open(world, cpu)
            return [cache.alloc(), cache.alloc(), cache.alloc()]
          })
          t.finally(([, taken]) => {
            const expected = (taken ?? []) as number[]
            // A thread that ended in the middle had them in flight.
            assert.deepEqual(allocated(world), sorted(expected))
          })
        },
        atRandom,
      )
    })
  })
}
