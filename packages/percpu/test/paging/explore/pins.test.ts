/**
 * A page that one CPU pins while another one unmaps it: of both one is refused, and what is pinned
 * stays in place. Who pins may be killed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem } from 'percpu-lab'
import { FIRST, PageScene } from './support/page-scene.js'

describe('a pin', () => {
  for (const killed of [false, true])
    it(`keeps its page in place${killed ? ' until its thread is killed' : ''}`, async (test) => {
      const scene = await PageScene.make()
      const seen = new Set<string>()
      await scene.check(
        test,
        (t) => {
          t.cpu(0, async (cpu) => {
            const pages = scene.open(cpu)
            const isDone = await pages.unmapUnpinned()
            pages.bare.ring(1)
            return isDone ? 'unmapped' : 'pinned'
          })
          t.cpu(1, async (cpu) => {
            const pages = scene.open(cpu)
            const told = pages.bare.rung()
            const pin = pages.pin()
            if (pin !== undefined) {
              pages.bare.doorbell.answer()
              const { i32 } = scene.world.memory
              assert.equal(mem.load32(i32, pin.address / 4), FIRST)
              mem.store32(i32, pin.address / 4, FIRST)
              pin.unpin()
            }
            await told
            return pin === undefined ? 'refused' : 'had'
          })
          if (killed) t.kill(1, { reaper: () => scene.reap(1) })
          t.finally((results) => void seen.add(results.join(' ')))
        },
        { preemptions: killed ? 0 : 2 },
      )
      if (!killed)
        assert.deepEqual([...seen].sort(), [
          'pinned had',
          'pinned refused',
          'unmapped had',
          'unmapped refused',
        ])
    })
})
