/**
 * A thread that walks and is interrupted by a handler that uses the space itself, polls, or goes
 * deaf, while another thread unmaps the page. Between turns and at polls, where handlers of
 * JavaScript come, nothing goes wrong. In the middle of a walk, as in a kernel, one that answers
 * gives up what the walk has found; a kernel's walk keeps interrupts out.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ExplorationFailure, type CpuContext, type Scenario } from 'percpu-lab'
import { assertInOrder, PageScene, type PageCpu } from './support/page-scene.js'

/** What the handler does. */
const handlers: Record<string, (pages: PageCpu) => unknown> = {
  'uses the space': (pages) => pages.read(),
  polls: (pages) => pages.bare.doorbell.answer(),
  'goes deaf': (pages) => pages.readDeaf(),
}

interface Interrupt {
  /** Which CPU is interrupted. */
  readonly cpu: number
  readonly handle: (pages: PageCpu) => unknown
  readonly at: 'anywhere' | 'safepoints'
}
/** CPU 0 unmaps the page, uses its memory, and maps it again; CPU 1 reads. One is interrupted. */
function unmapping(
  t: Scenario,
  scene: PageScene,
  { cpu: interrupted, handle, at }: Interrupt,
  read: (pages: PageCpu, cpu: CpuContext) => unknown = (pages) => pages.read(),
): void {
  const opened: PageCpu[] = []
  t.cpu(0, async (cpu) => {
    const pages = (opened[0] = scene.open(cpu))
    await pages.unmap()
    pages.map()
    pages.bare.ring(1)
  })
  t.cpu(1, async (cpu) => {
    const pages = (opened[1] = scene.open(cpu))
    const told = pages.bare.rung()
    const found = [read(pages, cpu)]
    cpu.safepoint()
    found.push(read(pages, cpu))
    await told
    return [...found, read(pages, cpu)]
  })
  const handler = (): void => {
    const pages = opened[interrupted]
    if (pages) handle(pages)
  }
  t.irq(interrupted, handler, { at })
  t.finally(([, found]) => {
    assertInOrder(found as unknown[])
  })
}
const answer = ({ bare }: PageCpu): void => {
  bare.doorbell.answer()
}

describe('a handler between turns', () => {
  for (const cpu of [0, 1])
    for (const [name, handle] of Object.entries(handlers))
      it(`of a thread that ${cpu === 0 ? 'unmaps' : 'reads'} and that ${name} leaves reads right`, async (test) => {
        const scene = await PageScene.make()
        const interrupt = { cpu, handle, at: 'safepoints' } as const
        await scene.check(
          test,
          (t) => {
            unmapping(t, scene, interrupt)
          },
          { preemptions: cpu },
        )
      })
})

describe('a handler at any step that answers', () => {
  const interrupt = { cpu: 1, handle: answer, at: 'anywhere' } as const

  it('leaves reads right that keep it out', async (test) => {
    const scene = await PageScene.make()
    const masked = (pages: PageCpu, cpu: CpuContext): unknown => {
      cpu.mask()
      try {
        return pages.read()
      } finally {
        cpu.unmask()
      }
    }
    await scene.check(
      test,
      (t) => {
        unmapping(t, scene, interrupt, masked)
      },
      { preemptions: 1 },
    )
  })

  it('is found to give up what a walk has found', async (test) => {
    const scene = await PageScene.make()
    const exploration = scene.check(
      test,
      (t) => {
        unmapping(t, scene, interrupt)
      },
      { preemptions: 1 },
    )
    await assert.rejects(exploration, (error) => {
      assert.ok(error instanceof ExplorationFailure)
      assert.equal(error.kind, 'data race')
      // The page, as it is used for something else.
      assert.match(error.message, /= 999 ◄ race/)
      return true
    })
  })
})
