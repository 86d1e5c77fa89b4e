/**
 * A page that one CPU unmaps, whose memory it uses for something else, and then maps again, while
 * others read it: what they read was mapped at that time, and no round waits for ever.
 */
import { describe, it } from 'node:test'
import { mem, type CpuContext } from 'percpu-lab'
import { assertInOrder, PageScene, type PageCpu } from './support/page-scene.js'

const { Deadline } = await import('../../../dist/machine/wait-options.js')

/** CPU 0: unmaps the page, uses its memory, maps it again, and tells CPU `to`. */
async function change(scene: PageScene, cpu: CpuContext, to = 1): Promise<void> {
  const pages = scene.open(cpu)
  await pages.unmap()
  pages.map()
  pages.bare.ring(to)
}

/** What a CPU does that reads. */
type Reader = (pages: PageCpu) => unknown[]
const readers: Record<string, Reader> = {
  'answers its bell': (pages) => {
    const found = [pages.read(), pages.read()]
    pages.bare.doorbell.answer()
    return [...found, pages.read()]
  },
  'is deaf': (pages) => pages.bare.idle.deaf(() => [pages.read(), pages.read()]),
  'stays deaf until it is over': (pages) =>
    pages.bare.idle.deaf(() => {
      const found = [pages.read()]
      mem.awaitUntil(() => pages.words.over.load() === 1)
      return [...found, pages.read()]
    }),
  'goes deaf between': (pages) => {
    const found = [pages.read()]
    pages.bare.idle.deaf(() => undefined)
    return [...found, pages.read()]
  },
  'sleeps between': (pages) => {
    const found = [pages.read()]
    let looks = 0
    pages.bare.idle.sleepUntil(() => ++looks === 2, new Deadline(), false)
    return [...found, pages.read()]
  },
  leaves: (pages) => {
    const found = [pages.read()]
    pages.end()
    return found
  },
}

describe('a round', () => {
  for (const [name, reader] of Object.entries(readers))
    for (const killed of [false, true])
      it(`waits for a reader that ${name}${killed ? ', or is killed' : ''}`, async (test) => {
        const scene = await PageScene.make()
        await scene.check(
          test,
          (t) => {
            t.cpu(0, (cpu) => change(scene, cpu))
            t.cpu(1, async (cpu) => {
              const pages = scene.open(cpu)
              const told = pages.bare.rung()
              const found = reader(pages)
              await told
              return [...found, pages.read()]
            })
            if (killed) t.kill(1, { reaper: () => scene.reap(1) })
            t.finally(([, found]) => {
              if (found !== undefined) assertInOrder(found as unknown[])
            })
          },
          { preemptions: killed ? 0 : 1 },
        )
      })

  it('finds a CPU that begins to use the space, or that CPU finds what was changed', async (test) => {
    const scene = await PageScene.make()
    await scene.check(
      test,
      (t) => {
        t.cpu(0, (cpu) => change(scene, cpu))
        t.cpu(1, async (cpu) => {
          const pages = scene.open(cpu, false)
          const told = pages.bare.rung()
          pages.begin()
          const found = [pages.read()]
          await told
          return [...found, pages.read()]
        })
        t.finally(([, found]) => assertInOrder(found as unknown[]))
      },
      { preemptions: 2 },
    )
  })
})
