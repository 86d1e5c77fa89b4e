/**
 * SRCU on CPUs that have nothing else: complete explorations, and ones of more readers within a
 * bound, over plain words that may be stale. An updater that blocks waits by looking again, so that
 * what is explored is how sections are counted; else it waits in its event loop.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Scenario } from 'percpu-lab'
import type { SrcuFlavour } from 'percpu'
import { check, openBare, withDomains, type Domains } from './bare-domain.js'
import { shared, type Shared } from './domain.js'

interface Roles {
  readonly readers: number
  /** The updater blocks. */
  readonly blocks?: boolean
  /** Sections are under way when the updater comes. */
  readonly open?: boolean
  /** There is a grace period before: a reader may have found the rank that was current then. */
  readonly second?: boolean
}

/** CPU 0 frees what the others read. */
function readersAndUpdater(
  t: Scenario,
  domains: Domains,
  { readers, blocks = false, open = false, second = false }: Roles,
): void {
  const words: Shared = shared(t)
  const free = (): void => {
    words.object = -1
  }
  const settings = { stays: !blocks }
  t.cpu(
    0,
    (cpu) => {
      const { domain } = openBare(domains, cpu)
      if (second) domain.synchronizeBlocking()
      words.pointer.store(0)
      if (!blocks) return domain.synchronize().then(free)
      domain.synchronizeBlocking()
      free()
      return undefined
    },
    settings,
  )
  for (let reader = 1; reader <= readers; reader++)
    t.cpu(
      reader,
      (cpu) => {
        const { domain } = openBare(domains, cpu)
        const token = open ? cpu.prepare(() => domain.readLock()) : domain.readLock()
        if (open || words.pointer.load() === 1) assert.equal(words.object, 42)
        domain.readUnlock(token)
      },
      settings,
    )
}

const all: readonly (Roles & { readonly flavour: SrcuFlavour; readonly preemptions?: number })[] = [
  { flavour: 'normal', readers: 1, blocks: true },
  { flavour: 'normal', readers: 1, blocks: true, second: true },
  { flavour: 'normal', readers: 2, blocks: true, second: true, preemptions: 2 },
  { flavour: 'normal', readers: 2, open: true, blocks: true },
  { flavour: 'normal', readers: 2, blocks: true, preemptions: 3 },
  { flavour: 'normal', readers: 3, blocks: true, preemptions: 2 },
  { flavour: 'normal', readers: 4, blocks: true, preemptions: 1 },
  { flavour: 'normal', readers: 1 },
  { flavour: 'normal', readers: 4, preemptions: 1 },
  { flavour: 'fast', readers: 1, preemptions: 2 },
  { flavour: 'fast', readers: 2, preemptions: 1 },
]

describe('bare CPUs free nothing that is read', () => {
  for (const { flavour, preemptions, ...roles } of all) {
    const { readers, blocks = false, open = false, second = false } = roles
    const who = `${readers} ${flavour} reader${readers === 1 ? '' : 's'}${open ? ' in sections' : ''}`
    const bound =
      preemptions === undefined
        ? 'completely'
        : `at most ${preemptions} preemption${preemptions === 1 ? '' : 's'}`
    it(`by ${who}, updater that ${blocks ? 'blocks' : 'awaits'}${second ? ' twice' : ''}, ${bound}`, async (test) => {
      const domains = await withDomains(readers + 1, flavour)
      await check(domains, test, (t) => readersAndUpdater(t, domains, roles), {
        weak: true,
        ...(preemptions === undefined ? {} : { preemptions }),
      })
    })
  }

  it('by 4 fast readers, updater that awaits, at random', async (test) => {
    const domains = await withDomains(5, 'fast')
    const executions = Number(process.env['PERCPU_EXECUTIONS'] ?? 200)
    await check(domains, test, (t) => readersAndUpdater(t, domains, { readers: 4 }), {
      weak: true,
      mode: 'pct',
      executions,
      seed: Number(process.env['PERCPU_SEED'] ?? 1),
    })
  })

  it('by a normal reader that is killed anywhere, without preemptions', async (test) => {
    const domains = await withDomains(2, 'normal')
    await check(
      domains,
      test,
      (t) => {
        readersAndUpdater(t, domains, { readers: 1, blocks: true })
        t.kill(1, { reaper: () => domains.world.reap(1) })
      },
      { weak: true, preemptions: 0 },
    )
  })
})
