/**
 * Magazines, with two CPUs at them: one allocates and frees, another one frees what the first had
 * allocated. Either may be killed anywhere, and is reaped. Whatever happens, each object is in
 * exactly one place: allocated, in one magazine, or free in its slab.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem } from 'percpu-lab'
import { allocated, check, open, withHeap } from './support.js'

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 150)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)

for (const victim of [0, 1]) {
  describe(`of two CPUs with magazines, CPU ${victim} is killed`, () => {
    it('while one takes and gives objects and the other frees one of them', async (test) => {
      const prepared = await withHeap({ objects: 1 })
      const { world, objects } = prepared
      const [given = 0] = objects
      await check(
        prepared,
        test,
        victim,
        (t) => {
          t.cpu(0, (cpu) => {
            const { cache } = open(world, cpu)
            cpu.prepare(() => {
              const both = [cache.alloc(), cache.alloc()]
              for (const address of both) cache.free(address)
            })
            const first = cache.alloc()
            const second = cache.alloc()
            cache.free(first)
            return second
          })
          t.cpu(1, (cpu) => {
            const { cache } = open(world, cpu)
            cache.adopt(given)
            cache.free(given)
            return true
          })
          t.finally(([second, isFreed]) => {
            const left = allocated(world)
            const expected = second === undefined ? [] : [second as number]
            if (left.includes(given) && isFreed !== true) expected.push(given)
            assert.deepEqual(
              left,
              expected.sort((a, b) => a - b),
            )
          })
        },
        { preemptions: 1 },
      )
    })

    it('while one refills its magazine and the other spills its own', async (test) => {
      const prepared = await withHeap({ objects: 5 })
      const { world, objects } = prepared
      const [given = 0, ...others] = objects
      await check(
        prepared,
        test,
        victim,
        (t) => {
          t.cpu(0, (cpu) => open(world, cpu).cache.alloc())
          t.cpu(1, (cpu) => {
            const { cache } = open(world, cpu)
            cpu.prepare(() => {
              for (const address of others) cache.free(address)
              cache.adopt(given)
            })
            cache.free(given)
            return true
          })
          t.finally(([taken]) => {
            assert.deepEqual(allocated(world), taken === undefined ? [] : [taken])
          })
        },
        { mode: 'pct', executions: EXECUTIONS, seed: SEED },
      )
    })

    it('while one links an object and the other unlinks and frees it', async (test) => {
      const prepared = await withHeap({ objects: 0 })
      const { world, link } = prepared
      const { i32 } = world.memory
      await check(
        prepared,
        test,
        victim,
        (t) => {
          t.cpu(0, (cpu) => {
            const { machine, cache } = open(world, cpu)
            const mutex = cpu.prepare(() => machine.locks.mutex('links'))
            cpu.prepare(() => cache.free(cache.alloc()))
            const address = cache.alloc()
            mutex.run((section) => {
              section.write32(link / 4, address / 8)
              cache.persist(address, section)
            })
          })
          t.cpu(1, (cpu) => {
            const { machine, cache } = open(world, cpu)
            const mutex = cpu.prepare(() => machine.locks.mutex('links'))
            const address = mutex.run((section) => {
              const found = mem.load32(i32, link / 4) * 8
              if (found === 0) return 0
              section.write32(link / 4, 0)
              cache.adopt(found, section)
              return found
            })
            if (address !== 0) cache.free(address)
          })
          t.finally(() => {
            const linked = mem.load32(i32, link / 4) * 8
            assert.deepEqual(allocated(world), linked === 0 ? [] : [linked])
          })
        },
        { preemptions: 0 },
      )
    })
  })
}
