/**
 * A page that one CPU forks while others write to it: the fork has what was written at one moment,
 * and nothing that is written later.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PageScene, type PageCpu } from './support/page-scene.js'

const { Deadline } = await import('../../../dist/machine/wait-options.js')

/** The words that are written, after that of the scene. */
const FIRST = 1
const WORDS = 4

/** What one does that writes, and what forks have then. */
interface Writer {
  readonly body: (pages: PageCpu, write: (word: number) => void) => void
  readonly forks: readonly string[]
}
const writers: Record<string, Writer> = {
  'answers its bell': {
    body: ({ bare }, write) => {
      write(1)
      bare.doorbell.answer()
      write(2)
      write(3)
    },
    forks: ['000', '100', '111'],
  },
  'is deaf': {
    body: ({ bare }, write) => {
      bare.idle.deaf(() => {
        write(1)
        write(2)
      })
      write(3)
    },
    forks: ['000', '100', '110', '111'],
  },
  'sleeps between': {
    body: ({ bare }, write) => {
      write(1)
      write(2)
      let looks = 0
      bare.idle.sleepUntil(() => ++looks === 2, new Deadline(), false)
      write(3)
    },
    forks: ['000', '110'],
  },
}

describe('a fork', () => {
  for (const [name, { body, forks }] of Object.entries(writers))
    it(`has a prefix of what a thread writes that ${name}`, async (test) => {
      const scene = await PageScene.make()
      const seen = new Set<string>()
      await scene.check(
        test,
        (t) => {
          t.cpu(0, async (cpu) => {
            const pages = scene.open(cpu)
            const words = await pages.fork(WORDS)
            pages.bare.ring(1)
            return words.slice(FIRST).join('')
          })
          t.cpu(1, async (cpu) => {
            const pages = scene.open(cpu)
            const told = pages.bare.rung()
            body(pages, (word) => void pages.write(word, 1))
            await told
            assert.ok(!pages.write(3, 2), 'a page of a fork is written to')
          })
          t.finally(([words]) => void seen.add(String(words)))
        },
        { preemptions: 2 },
      )
      assert.deepEqual([...seen].sort(), forks)
    })

  it('has no write without those that its thread was told of before', async (test) => {
    const scene = await PageScene.make()
    await scene.check(
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const pages = scene.open(cpu)
          const words = await pages.fork(WORDS)
          for (const other of [1, 2]) pages.bare.ring(other)
          assert.ok(words[2] === 0 || words[1] === 1, words.join(' '))
        })
        t.cpu(1, async (cpu) => {
          const pages = scene.open(cpu)
          const told = pages.bare.rung()
          if (pages.write(1, 1)) pages.words.told.store(1)
          await told
        })
        t.cpu(2, async (cpu) => {
          const pages = scene.open(cpu)
          const told = pages.bare.rung()
          if (pages.words.told.load() === 1) pages.write(2, 1)
          await told
        })
      },
      { preemptions: 1 },
    )
  })
})
