/**
 * Reads of a page by plain loads that give whatever the memory model allows, while another CPU
 * unmaps it, uses its memory for something else, and maps it again: what they give was mapped at
 * that time.
 */
import { describe, it } from 'node:test'
import { assertInOrder, PageScene, type PageCpu } from './support/page-scene.js'

const readers: Record<string, (pages: PageCpu) => unknown[]> = {
  'a thread that answers its bell': (pages) => {
    const found = [pages.read(), pages.read()]
    pages.bare.doorbell.answer()
    return [...found, pages.read()]
  },
  'a deaf thread': (pages) => pages.bare.idle.deaf(() => [pages.read(), pages.read()]),
}

describe('weak loads', () => {
  for (const [name, reader] of Object.entries(readers))
    it(`of ${name} give what was mapped`, async (test) => {
      const scene = await PageScene.make()
      await scene.check(
        test,
        (t) => {
          t.cpu(0, async (cpu) => {
            const pages = scene.open(cpu)
            await pages.unmap()
            pages.map()
            pages.bare.ring(1)
          })
          t.cpu(1, async (cpu) => {
            const pages = scene.open(cpu)
            const told = pages.bare.rung()
            const found = reader(pages)
            await told
            assertInOrder([...found, pages.read()])
          })
        },
        { weak: true, preemptions: 1 },
      )
    })
})
