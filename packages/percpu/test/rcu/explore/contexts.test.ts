/**
 * Two contexts of one CPU in sections of one domain, as in the history of KVM's irqfd: a reader
 * comes between any two steps of another one's entry. If counting is a load and a store, it
 * overwrites the other's count, the sums never agree again, and `cleanup` refuses.
 *
 * In JavaScript a context is a task, or a message: it comes between two turns. Interrupts that come
 * anywhere are what a kernel has. Atomic counts do not mind them. Plain ones do.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type IrqSettings, type Scenario } from 'percpu-lab'
import type { SrcuFlavour } from 'percpu'
import { check, failureOf, openBare, withDomains, type Domains } from './bare-domain.js'
import { shared, turn, type Shared } from './domain.js'

const { rankOf } = await import('../../../dist/cpus/sequence.js')
const { SrcuCpuLayout } = await import('../../../dist/rcu/srcu-layouts.js')

type Opened = ReturnType<typeof openBare>
const Over = percpu.struct('Over', { over: percpu.atomic(percpu.i32) })

/** A section of the body. The handler's are ordinary ones. */
type Section = (opened: Opened) => Promise<void> | void

const short = ({ domain }: Opened): void => domain.readUnlock(domain.readLock())
const long: Section = async ({ domain }) => {
  const token = domain.readLock()
  await turn()
  domain.readUnlock(token)
}
/** A normal one whose count is torn in two. */
const torn: Section = ({ domain, words }) => {
  words.enter = (part, rank) => {
    const word = part + SrcuCpuLayout.words.atomicLocks + rank
    const seen = mem.loadAtomic32(words.memory.i32, word)
    mem.storeAtomic32(words.memory.i32, word, seen + 1)
  }
  const token = domain.readLock()
  // The handler's are whole.
  Reflect.deleteProperty(words, 'enter')
  domain.readUnlock(token)
}
/** A fast one that awaits between the load and the store of its count. */
const tornByTurn: Section = async ({ domain, words }) => {
  const rank = rankOf(words.sequence)
  const word = (words.parts[0] ?? 0) + SrcuCpuLayout.words.locks + rank
  const seen = mem.load32(words.memory.i32, word)
  await turn()
  mem.store32(words.memory.i32, word, seen + 1)
  domain.readUnlock(rank)
}

/** Sections of a body and of a handler. Then nothing is left, and the domain can be cleaned up. */
function alone(t: Scenario, domains: Domains, section: Section, irq: IrqSettings): void {
  // A word: the search knows of what a handler does by the words that it touches.
  const over = t.memory(Over, 'over')
  let opened: Opened | undefined
  t.cpu(0, async (cpu) => {
    const own = (opened = openBare(domains, cpu))
    await Promise.all([section(own), section(own)])
    over.over.store(1)
    await own.domain.cleanup()
  })
  t.irq(0, () => (opened === undefined || over.over.load() === 1 ? undefined : short(opened)), irq)
}

/** CPU 0 reads in two contexts what CPU 1 frees. */
function withUpdater(t: Scenario, domains: Domains, section: Section, irq: IrqSettings): void {
  const words: Shared = shared(t)
  let opened: Opened | undefined
  t.cpu(
    0,
    async (cpu) => {
      opened = openBare(domains, cpu)
      await section(opened)
    },
    { stays: true },
  )
  t.irq(
    0,
    () => {
      if (opened === undefined) return
      const { domain } = opened
      const token = domain.readLock()
      if (words.pointer.load() === 1) assert.equal(words.object, 42)
      domain.readUnlock(token)
    },
    irq,
  )
  t.cpu(
    1,
    async (cpu) => {
      const { domain } = openBare(domains, cpu)
      words.pointer.store(0)
      await domain.synchronize()
      words.object = -1
    },
    { stays: true },
  )
}

const anywhere = { at: 'anywhere', times: 2 } as const
const betweenTurns = { at: 'safepoints', times: 2 } as const

for (const [flavour, irq, where, sections] of [
  ['normal', anywhere, 'between any two steps', { short, long }],
  ['normal', betweenTurns, 'between turns', { long }],
  ['fast', betweenTurns, 'between turns', { short, long }],
] as const)
  describe(`a second context of a ${flavour} reader, ${where}`, () => {
    for (const [name, section] of Object.entries<Section>(sections)) {
      it(`leaves nothing behind: ${name} sections, cleanup`, async (test) => {
        const domains = await withDomains(2, flavour)
        await check(domains, test, (t) => alone(t, domains, section, irq), { weak: true })
      })

      it(`reads nothing that is freed: ${name} sections, an updater`, async (test) => {
        const domains = await withDomains(2, flavour)
        await check(domains, test, (t) => withUpdater(t, domains, section, { ...irq, times: 1 }), {
          weak: true,
          preemptions: 0,
        })
      })
    }
  })

describe('a torn count', () => {
  const finds = async (flavour: SrcuFlavour, section: Section, irq: IrqSettings): Promise<void> => {
    const first = await withDomains(2, flavour)
    const refused = await failureOf(first, 'cleanup', (t) => alone(t, first, section, irq))
    assert.equal(refused.kind, 'assertion')
    assert.equal((refused.cause as { code?: unknown }).code, 'PERCPU_SRCU_BUSY', refused.message)
    const second = await withDomains(2, flavour)
    const stuck = await failureOf(second, 'updater', (t) => withUpdater(t, second, section, irq), {
      preemptions: 0,
    })
    assert.equal(stuck.kind, 'deadlock')
  }

  it('of a normal reader is found: cleanup refuses, and grace periods do not end', () =>
    finds('normal', torn, anywhere))

  it('of a fast reader that awaits in the middle is found', () => finds('fast', tornByTurn, betweenTurns))

  it('is what interrupts as in a kernel would make of a fast reader', () => finds('fast', short, anywhere))
})
