/**
 * A list of what is to be freed, with two CPUs at it: two that free what is due, or its own CPU
 * that queues while another one frees. Either may be killed anywhere, and is reaped.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { check } from '../../support/world.js'
import { left, queued } from '../support/lists.js'
import { name, runnerOf, withList } from './support.js'

for (const victim of [undefined, 0, 1]) {
  const whom = victim === undefined ? 'neither is killed' : `CPU ${victim} is killed`
  describe(`of two CPUs at a list, ${whom}`, () => {
    it('while both free what is due', async (test) => {
      const prepared = await withList(2)
      const { world, objects } = prepared
      await check(
        world,
        test,
        (t) => {
          name(t, prepared)
          for (const number of [0, 1])
            t.cpu(number, (cpu) => {
              runnerOf(world, cpu).turn()
            })
          if (victim !== undefined) t.kill(victim, { reaper: () => world.reap(victim) })
          t.finally(() => {
            const remaining = queued(world).length
            assert.equal(left(world, objects).length, remaining)
            if (victim === undefined) assert.equal(remaining, 0)
          })
        },
        { weak: true, preemptions: victim === undefined ? 2 : 0 },
      )
    })

    it('while one queues and the other frees what is due', async (test) => {
      const prepared = await withList(1, 1)
      const { world, objects } = prepared
      const [, given = 0] = objects
      await check(
        world,
        test,
        (t) => {
          name(t, prepared)
          t.cpu(0, (cpu) => {
            const { queue, heap } = runnerOf(world, cpu)
            queue.push(given / 8, heap.tags.checkQueueable(given), 64)
          })
          t.cpu(1, (cpu) => {
            const { turn } = runnerOf(world, cpu)
            turn()
            turn()
          })
          if (victim !== undefined) t.kill(victim, { reaper: () => world.reap(victim) })
          t.finally(() => {
            const remaining = queued(world).length
            const allocated = left(world, objects).length
            if (victim === undefined) assert.equal(allocated, remaining)
            else assert.ok(allocated >= remaining)
          })
        },
        { weak: true, preemptions: victim === undefined ? 2 : 0 },
      )
    })
  })
}
