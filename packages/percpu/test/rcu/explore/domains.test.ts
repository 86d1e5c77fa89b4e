/** Two SRCU domains, and two grace periods of one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu, type Scenario } from 'percpu-lab'
import { check, failureOf, openBare, withDomains, type Domains } from './bare-domain.js'
import { shared } from './domain.js'

const Pair = percpu.struct('Pair', { x: percpu.racy(percpu.i32), y: percpu.racy(percpu.i32) })
const stays = { stays: true }

/** Each writes a word, waits for a grace period of its domain, and reads the other's word. */
function crossing(t: Scenario, domains: Domains, second: number, outcomes: Set<string>): void {
  const pair = t.memory(Pair, 'pair')
  t.cpu(
    0,
    async (cpu) => {
      const { domain } = openBare(domains, cpu)
      pair.x = 1
      await domain.synchronize()
      return pair.y
    },
    stays,
  )
  t.cpu(
    1,
    async (cpu) => {
      const domain = openBare(domains, cpu).domains[second] ?? assert.fail()
      pair.y = 1
      await domain.synchronize()
      return pair.x
    },
    stays,
  )
  t.finally((results) => outcomes.add(results.join('')))
}

/** CPU 0 waits for `a` in a section of `b`; CPU 1 frees what is read there. */
function nested(t: Scenario, domains: Domains): void {
  const words = shared(t)
  t.cpu(
    0,
    async (cpu) => {
      const [a, b] = openBare(domains, cpu).domains
      assert.ok(a && b)
      const token = b.readLock()
      const found = words.pointer.load()
      await a.synchronize()
      if (found === 1) assert.equal(words.object, 42)
      b.readUnlock(token)
    },
    stays,
  )
  t.cpu(
    1,
    async (cpu) => {
      const [, b] = openBare(domains, cpu).domains
      assert.ok(b)
      words.pointer.store(0)
      await b.synchronize()
      words.object = -1
    },
    stays,
  )
}

/** CPU 1 never leaves its section of `b`; CPU 0 waits for `waited`. */
function heldFor(t: Scenario, domains: Domains, waited: number): void {
  t.cpu(
    0,
    async (cpu) => {
      const domain = openBare(domains, cpu).domains[waited] ?? assert.fail()
      await domain.synchronize()
    },
    stays,
  )
  t.cpu(1, (cpu) => void openBare(domains, cpu).domains[1]?.readLock(), stays)
}

/** Each waits for one domain in a section of the other. */
function circle(t: Scenario, domains: Domains): void {
  for (const number of [0, 1])
    t.cpu(
      number,
      async (cpu) => {
        const both = openBare(domains, cpu).domains
        const [held, waited] = [both[number], both[1 - number]]
        assert.ok(held && waited)
        const token = held.readLock()
        await waited.synchronize()
        held.readUnlock(token)
      },
      stays,
    )
}

for (const flavour of ['normal', 'fast'] as const)
  describe(`two ${flavour} domains`, () => {
    it('let an updater of one be in a section of the other, whose updater waits for it', async (test) => {
      const domains = await withDomains(2, flavour, ['a', 'b'])
      await check(domains, test, (t) => nested(t, domains), {
        weak: true,
        preemptions: flavour === 'fast' ? 1 : 2,
      })
    })

    it('have nothing to do with each other: a section of one holds up no grace period of the other', async (test) => {
      const domains = await withDomains(2, flavour, ['a', 'b'])
      await check(domains, test, (t) => heldFor(t, domains, 0), { preemptions: 2 })
      const others = await withDomains(2, flavour, ['a', 'b'])
      const { kind } = await failureOf(others, 'held up', (t) => heldFor(t, others, 1), { preemptions: 0 })
      assert.equal(kind, 'deadlock')
    })

    it('are stuck if each is waited for in a section of the other', async () => {
      const domains = await withDomains(2, flavour, ['a', 'b'])
      const { kind } = await failureOf(domains, 'a circle', (t) => circle(t, domains), { preemptions: 1 })
      assert.equal(kind, 'deadlock')
    })
  })

describe('two grace periods', () => {
  for (const flavour of ['normal', 'fast'] as const)
    it(`of one ${flavour} domain are ordered, for plain words too`, async (test) => {
      const domains = await withDomains(2, flavour)
      const outcomes = new Set<string>()
      await check(domains, test, (t) => crossing(t, domains, 0, outcomes), {
        weak: true,
        preemptions: flavour === 'fast' ? 1 : 2,
      })
      assert.ok(outcomes.has('11'), [...outcomes].join(' '))
      assert.ok(!outcomes.has('00'), 'neither has found what the other one wrote before')
    })

  it('of two domains are not', async (test) => {
    const domains = await withDomains(2, 'normal', ['a', 'b'])
    const outcomes = new Set<string>()
    await check(domains, test, (t) => crossing(t, domains, 1, outcomes), { weak: true })
    assert.ok(outcomes.has('00'))
  })
})
