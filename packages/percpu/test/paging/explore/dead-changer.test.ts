/**
 * A CPU that unmaps a page and is killed anywhere, while another one has its translation. Whoever
 * maps there next awaits the round that the dead CPU has not awaited. Then nobody finds the old
 * page.
 */
import { describe, it } from 'node:test'
import { assertInOrder, PageScene } from './support/page-scene.js'

describe('a page whose changer is killed', () => {
  it('is found by nobody once another one is mapped there', async (test) => {
    const scene = await PageScene.make()
    await scene.check(
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const pages = scene.open(cpu)
          await pages.unmapUnpinned(true)
          for (const other of [1, 2]) pages.bare.ring(other)
        })
        t.cpu(1, async (cpu) => {
          const pages = scene.open(cpu)
          const found = cpu.prepare(() => pages.read())
          await pages.bare.rung()
          return [found, pages.read()]
        })
        t.cpu(2, async (cpu) => {
          const pages = scene.open(cpu, false)
          await pages.bare.rung()
          if (pages.words.over.load() === 0) pages.mapAnother()
          pages.bare.ring(1)
        })
        t.kill(0, {
          reaper: () => {
            scene.reap(0)
            scene.ring(2)
          },
        })
        t.finally(([, found]) => assertInOrder(found as unknown[]))
      },
      { mode: 'random', executions: 600 },
    )
  })
})
