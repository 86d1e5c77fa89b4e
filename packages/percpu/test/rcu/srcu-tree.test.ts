/** How a domain of SRCU grows when many CPUs wait for it, and what waiting costs then. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, Srcu } from 'percpu'
import { loadAtomic32, orAtomic32 } from 'percpu/mem'
import { fresh, joinAs } from '../support/machines.js'
import { addressOf } from '../support/inside.js'

const { Header } = await import('../../dist/machine/layouts.js')
const { SrcuLayout } = await import('../../dist/rcu/srcu-layouts.js')

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await turn()
}

/** A machine of so many CPUs, all of this thread, and the domain as each of them has it. */
function crowd(cpus: number, flavour: 'fast' | 'normal', fanout = 16) {
  const machine = fresh({ cpus, fanout, memory: '64 MiB' })
  const machines = [machine, ...Array.from({ length: cpus - 1 }, (_, i) => joinAs(machine, 101 + i))]
  const domains = machines.map((other) => other.srcu('s', { flavour }))
  return { machine, machines, domains }
}
/** Word index of the domain. */
function wordsOf(machine: Machine): number {
  return addressOf(machine.memory, 'srcu', 's') / 4
}
const isBig = (machine: Machine): boolean =>
  loadAtomic32(machine.memory.i32, wordsOf(machine) + SrcuLayout.words.tree) !== 0
/** Makes the domain big. */
const grow = (domain: Srcu): void => (domain as Srcu & { grow(): void }).grow()

for (const flavour of ['fast', 'normal'] as const)
  describe(`a ${flavour} domain`, () => {
    it('grows when many CPUs wait for it, and serves them all', async () => {
      const { machine, domains } = crowd(24, flavour)
      const [domain] = domains as [Srcu]
      const token = domain.readLock()
      await domain.synchronize({ timeout: 5 }).catch(() => undefined)
      assert.equal(isBig(machine), false)
      const waits = domains.map((other) => other.synchronize({ timeout: 20_000 }))
      for (let turns = 0; !isBig(machine); turns++) {
        assert.ok(turns < 1000, 'it has grown')
        await turn()
      }
      domain.readUnlock(token)
      await Promise.all(waits)
      await Promise.all(domains.map((other) => other.synchronize({ timeout: 20_000 })))
    })

    it('stays small while few wait', async () => {
      const { machine, domains } = crowd(4, flavour)
      await Promise.all(domains.map((domain) => domain.synchronize({ timeout: 20_000 })))
      assert.equal(isBig(machine), false)
    })
  })

describe('a CPU that waits for a big domain', () => {
  it('scans itself if the one that was to scan blocks its thread', async () => {
    const { machine, domains } = crowd(3, 'normal')
    const [domain, other] = domains as [Srcu, Srcu]
    grow(domain)
    assert.equal(isBig(machine), true)
    // A grace period that is wanted, and CPU 2 that has asked, and does nothing any more.
    orAtomic32(machine.memory.i32, wordsOf(machine) + SrcuLayout.words.waiters, 1 << 2)
    domain.getState()
    const token = other.readLock()
    const waits = [domain.synchronize({ timeout: 20_000 }), other.synchronize({ timeout: 20_000 })]
    await turn()
    other.readUnlock(token)
    await Promise.all(waits)
  })

  it('scans itself when it is hurried, and does not count on another one', async () => {
    const machine = fresh({ cpus: 2, memory: '8 MiB' })
    const options = { patience: 3000, stallTimeout: Infinity }
    const domain = joinAs(machine, 101, options).srcu('s', { flavour: 'normal' })
    grow(domain)
    // So that the next one is not hurried by itself.
    domain.startPoll()
    // CPU 0 has asked, and does nothing any more.
    const token = domain.readLock()
    orAtomic32(machine.memory.i32, wordsOf(machine) + SrcuLayout.words.waiters, 1)
    let isOver = false
    const wait = domain.synchronize({ timeout: 5000 }).then(() => (isOver = true))
    await turns()
    orAtomic32(machine.memory.i32, wordsOf(machine) + SrcuLayout.words.waiters, 1)
    domain.readUnlock(token)
    await turns()
    assert.equal(isOver, false)
    domain.expediteCurrent()
    await turns()
    assert.equal(isOver, true)
    await wait
  })

  it('is not kept waiting by one that went offline asleep', async () => {
    const machine = fresh({ cpus: 5, memory: '8 MiB' })
    // None loses its patience.
    const options = { patience: 1e6, stallTimeout: Infinity }
    const others = [1, 2, 3, 4].map((cpu) => joinAs(machine, 100 + cpu, options))
    const domains = [machine, ...others].map((other) => other.srcu('s', { flavour: 'normal' }))
    const [holder] = domains as [Srcu]
    grow(holder)
    const scanning = (): number =>
      loadAtomic32(machine.memory.i32, wordsOf(machine) + SrcuLayout.words.waiters)
    const token = holder.readLock()
    const aborts = domains.map(() => new AbortController())
    const waits: Promise<unknown>[] = []
    for (const cpu of [4, 3, 2, 1]) {
      const wait = domains[cpu]?.synchronize({ timeout: 5000, signal: aborts[cpu]?.signal as AbortSignal })
      waits.push(wait?.catch(() => undefined) ?? Promise.resolve())
      await turns()
    }
    assert.equal(scanning(), 1 << 4)
    await others[0]?.offline()
    // Of the others each scans as soon as nobody else does.
    for (let left = 3; left > 0; left--) {
      await turns()
      assert.notEqual(scanning(), 0, `${left} are left`)
      aborts[31 - Math.clz32(scanning())]?.abort()
    }
    holder.readUnlock(token)
    await Promise.all(waits)
  })

  it('is served on a machine of 256 CPUs with a tree of several levels', async () => {
    const { machine, domains } = crowd(256, 'normal', 4)
    grow(domains[0] as Srcu)
    const [holder] = domains as [Srcu]
    const token = holder.readLock()
    const waits = domains.map((domain) => domain.synchronize({ timeout: 60_000 }))
    await turn()
    holder.readUnlock(token)
    await Promise.all(waits)
    assert.equal(isBig(machine), true)
  })
})

describe('a lone grace period of a normal domain', () => {
  it('is hurried after 25 µs of quiet, and one of a burst is not', async () => {
    const { machine, domains } = crowd(2, 'normal')
    const [domain] = domains as [Srcu]
    const hurried = (): number =>
      loadAtomic32(machine.memory.i32, wordsOf(machine) + SrcuLayout.words.neededExpedited)
    const before = hurried()
    await domain.synchronize()
    const lone = hurried()
    assert.notEqual(lone, before)
    // Both are asked for in the same stretch: the second one finds the first one under way.
    await new Promise((resolve) => setTimeout(resolve, 2))
    const waits = [domain.synchronize(), domain.synchronize()]
    const first = hurried()
    await Promise.all(waits)
    assert.equal(hurried(), first)
  })

  it('of a fast domain is not: that would disturb all CPUs', async () => {
    const { machine, domains } = crowd(2, 'fast')
    const word = wordsOf(machine) + SrcuLayout.words.neededExpedited
    const before = loadAtomic32(machine.memory.i32, word)
    await (domains[0] as Srcu).synchronize()
    assert.equal(loadAtomic32(machine.memory.i32, word), before)
  })
})

describe('a grace period of a fast domain that is hurried by another CPU', () => {
  it('has the grace period of the event loop hurried that it waits for', async () => {
    const { machine, domains } = crowd(2, 'fast')
    const [updater, other] = domains as [Srcu, Srcu]
    const { i32 } = machine.memory
    const needed = (): number => loadAtomic32(i32, Header.words.rcuNeeded)
    const wait = updater.synchronize({ timeout: 20_000 })
    while (loadAtomic32(i32, Header.words.rcuSequence) === needed()) await Promise.resolve()
    const wanted = needed()
    assert.notEqual(loadAtomic32(i32, Header.words.rcuExpedited), wanted)
    other.expediteCurrent()
    assert.equal(loadAtomic32(i32, Header.words.rcuExpedited), wanted)
    await wait
  })
})
