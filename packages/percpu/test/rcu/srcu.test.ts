/** SRCU domains: sections and grace periods, on several CPUs of one thread. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, Srcu, SrcuFlavour } from 'percpu'
import type { GracePeriodSource } from '../../dist/rcu/source.js'
import { fresh, joinAs } from '../support/machines.js'

const { lateError } = await import('../../dist/rcu/srcu-errors.js')

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await turn()
}

/** Whether a promise has settled by now. */
function watched(promise: Promise<unknown>): { isOver: boolean; promise: Promise<unknown> } {
  const state = { isOver: false, promise }
  void promise.then(
    () => (state.isOver = true),
    () => (state.isOver = true),
  )
  return state
}

function two(flavour: SrcuFlavour): { machine: Machine; other: Machine; domains: [Srcu, Srcu] } {
  const machine = fresh()
  const other = joinAs(machine, 101)
  return { machine, other, domains: [machine.srcu('s', { flavour }), other.srcu('s', { flavour })] }
}

for (const flavour of ['fast', 'normal'] as const)
  describe(`a ${flavour} domain`, () => {
    it('waits for sections that were under way, on any CPU, and for no later ones', async () => {
      const { domains } = two(flavour)
      for (const [reader, updater] of [domains, [domains[0], domains[0]] as const]) {
        const token = reader.readLock()
        const waiting = watched(updater.synchronize())
        await turns()
        assert.equal(waiting.isOver, false)
        const later = reader.readLock()
        await turns()
        assert.equal(waiting.isOver, false)
        reader.readUnlock(token)
        await waiting.promise
        reader.readUnlock(later)
        await updater.synchronize()
      }
    })

    it('ends a grace period as soon as the last section ends, whatever comes meanwhile', async () => {
      const {
        domains: [reader, updater],
      } = two(flavour)
      const tokens = [reader.readLock(), reader.readLock(), updater.readLock()]
      const waiting = watched(updater.synchronize({ timeout: 10_000 }))
      await turns()
      const nested = [reader.readLock(), updater.readLock()]
      reader.readUnlock(tokens[0] ?? -1)
      await turns()
      reader.readUnlock(tokens[1] ?? -1)
      await turns()
      assert.equal(waiting.isOver, false)
      updater.readUnlock(tokens[2] ?? -1)
      await waiting.promise
      reader.readUnlock(nested[0] ?? -1)
      updater.readUnlock(nested[1] ?? -1)
    })

    it('lets many grace periods follow each other, past the wrap of their numbers', async () => {
      const {
        domains: [reader, updater],
      } = two(flavour)
      for (let i = 0; i < 130; i++) {
        const token = reader.readLock()
        const before = updater.getState()
        const waiting = i % 2 === 0 ? updater.synchronize() : updater.synchronizeExpedited()
        assert.equal(updater.poll(before), false)
        reader.readUnlock(token)
        await waiting
        assert.equal(updater.poll(before), true)
        assert.equal(reader.poll(before), true)
      }
    })

    it('shares grace periods among those who wait', async () => {
      const { domains } = two(flavour)
      const token = domains[0].readLock()
      const waiting = Array.from({ length: 20 }, (_, i) =>
        watched((domains[i % 2] as Srcu).synchronize({ timeout: 10_000 })),
      )
      await turns()
      assert.ok(waiting.every(({ isOver }) => !isOver))
      const [before] = [domains[0].getState()]
      domains[0].readUnlock(token)
      await Promise.all(waiting.map(({ promise }) => promise))
      // No more than the two that they had cookies of.
      assert.ok(domains[0].getState() - before <= 8)
    })

    it('gives cookies to poll', async () => {
      const {
        domains: [reader, updater],
      } = two(flavour)
      assert.equal(updater.poll(updater.completed), true)
      const state = updater.getState()
      await turns()
      assert.equal(updater.poll(state), false)
      const token = reader.readLock()
      const cookie = updater.startPoll()
      assert.equal(cookie, state)
      await turns()
      assert.equal(updater.poll(cookie), false)
      updater.expediteCurrent()
      reader.readUnlock(token)
      for (let i = 0; i < 1000 && !updater.poll(cookie); i++) await turn()
      assert.equal(updater.poll(cookie), true)
      assert.equal(reader.poll(state), true)
      updater.expediteCurrent()
      for (const wrong of [0.5, Number.NaN, 2 ** 31, 2, 3, '4', 4n, Symbol('4'), undefined])
        assert.throws(() => updater.poll(wrong as number), { code: 'PERCPU_ARGUMENT' })
    })

    it('gives up at the time limit, or when the signal aborts, and names who reads', async () => {
      const {
        domains: [reader, updater],
      } = two(flavour)
      const token = updater.readLock()
      const down = reader.downRead()
      await assert.rejects(updater.synchronize({ timeout: 5 }), (error: Error & { details: object }) => {
        assert.match(error.message, /CPU 1 has sections under way; sections handed over are under way \(1\)/)
        // A grace period of the event loop may be under way.
        const details = { ...error.details, silent: [] }
        assert.deepEqual(details, { name: 's', cpus: [1], handedOver: 1, silent: [], timeout: 5 })
        return true
      })
      const controller = new AbortController()
      const waiting = updater.synchronize({ signal: controller.signal })
      controller.abort(new RangeError('enough'))
      await assert.rejects(waiting, /enough/)
      await assert.rejects(updater.synchronize({ timeout: -1 }), { code: 'PERCPU_ARGUMENT' })
      updater.readUnlock(token)
      reader.upRead(down)
      await updater.synchronize({ timeout: 10_000 })
    })

    it('lets a section be ended on another CPU', async () => {
      const { machine, other, domains } = two(flavour)
      const token = domains[0].downRead()
      const waiting = watched(domains[0].synchronize())
      await turns()
      assert.equal(waiting.isOver, false)
      domains[1].upRead(token)
      await waiting.promise
      assert.ok(machine.online.includes(other.cpu))
    })

    it('has sections for `using`, and for asynchronous work', async () => {
      const {
        domains: [reader, updater],
      } = two(flavour)
      let waiting
      {
        using section = reader.section()
        waiting = watched(updater.synchronize())
        await turns()
        assert.equal(waiting.isOver, false)
        assert.equal(section.isOpen, true)
      }
      await waiting.promise
      const ended = reader.section()
      ended.end()
      assert.equal(ended.isOpen, false)
      assert.throws(() => ended.end(), { code: 'PERCPU_SRCU_MISUSE' })
      let finish: (value: number) => void = () => undefined
      const working = reader.protect(() => new Promise<number>((resolve) => (finish = resolve)))
      const second = watched(updater.synchronize())
      await turns()
      assert.equal(second.isOver, false)
      finish(7)
      assert.equal(await working, 7)
      await second.promise
      await assert.rejects(
        reader.protect(() => Promise.reject(new RangeError('no'))),
        RangeError,
      )
      await assert.rejects(reader.protect(undefined as never), { code: 'PERCPU_ARGUMENT' })
      await updater.synchronize({ timeout: 10_000 })
    })

    it('ends the sections of a CPU that dies, and not those that it handed over', async () => {
      const { machine, domains } = two(flavour)
      domains[1].readLock()
      const down = domains[1].downRead()
      const waiting = watched(domains[0].synchronize())
      await turns()
      machine.cpus.declareDead(1)
      await turns()
      assert.equal(waiting.isOver, false)
      domains[0].upRead(down)
      await waiting.promise
      await domains[0].synchronize({ timeout: 10_000 })
    })

    it('ends the sections of a CPU that goes offline, and tells it', async () => {
      const { other, domains } = two(flavour)
      const section = domains[1].section()
      const waiting = domains[0].synchronize()
      const own = domains[1].synchronize()
      const rejected = assert.rejects(own, { code: 'PERCPU_OFFLINE' })
      await turns()
      await assert.rejects(other.offline(), (error: Error) => {
        const { errors = [] } = Object(error.cause) as { errors?: unknown[] }
        assert.match([error.cause, ...errors].join(), /1 read sections of s under way/)
        return true
      })
      await rejected
      await waiting
      assert.throws(() => section.end(), { code: 'PERCPU_OFFLINE' })
      assert.throws(() => domains[1].readLock(), { code: 'PERCPU_OFFLINE' })
      await assert.rejects(domains[1].synchronize(), { code: 'PERCPU_OFFLINE' })
      assert.throws(() => other.srcu('s'), { code: 'PERCPU_OFFLINE' })
      await domains[0].synchronize({ timeout: 10_000 })
    })

    it('goes on with a grace period whose driver has gone', async () => {
      const { machine, domains } = two(flavour)
      const third = joinAs(machine, 102).srcu('s')
      const token = domains[0].readLock()
      void third.synchronize().catch(() => undefined)
      const cookie = third.startPoll()
      await turns()
      machine.cpus.declareDead(2)
      await turns()
      domains[0].readUnlock(token)
      for (let i = 0; i < 1000 && !domains[0].poll(cookie); i++) await turn()
      assert.equal(domains[0].poll(cookie), true)
    })

    it('finds wrong tokens', async () => {
      const {
        domains: [domain],
      } = two(flavour)
      const misuse = { code: 'PERCPU_SRCU_MISUSE' }
      for (const token of [2, -1, 0.5, NaN, undefined, '0'] as number[]) {
        assert.throws(() => domain.readUnlock(token), misuse)
        assert.throws(() => domain.upRead(token), misuse)
      }
      const token = domain.readLock()
      assert.throws(() => domain.readUnlock(token ^ 1), misuse)
      domain.readUnlock(token)
      await domain.synchronize()
    })

    it('serves a source of numbers for callbacks', async () => {
      const {
        domains: [reader, updater],
      } = two(flavour)
      const { source } = updater as unknown as { source: GracePeriodSource }
      const token = reader.readLock()
      const cookie = source.snap()
      source.request(cookie, false)
      const done = watched(source.whenDone(cookie))
      await turns()
      assert.equal(source.isDone(cookie), false)
      assert.equal(done.isOver, false)
      reader.readUnlock(token)
      await done.promise
      assert.equal(source.isDone(cookie), true)
    })
  })

describe('a wait for a domain that ends at its time-out', () => {
  it('names whoever holds it up, or says that nobody does', () => {
    const textOf = (cpus: number[], handedOver: number, silent: number[]): string =>
      lateError('s', { cpus, handedOver, silent }, 5, '!').message
    const late = 's: no grace period within 5 ms: '
    assert.equal(textOf([1, 3], 0, []), `${late}CPU 1, 3 has sections under way!`)
    assert.equal(textOf([], 1, []), `${late}sections handed over are under way (1)!`)
    assert.equal(textOf([], 0, [2]), `${late}CPU 2 did not return to its event loop!`)
    assert.match(textOf([0], 2, [1]), /CPU 0 has .*; sections handed over .*\(2\); CPU 1 did not return/)
    assert.match(textOf([], -1, []), /more often|too often/)
    assert.match(textOf([], 0, []), /: no section is under way: .*!$/)
    assert.doesNotMatch(textOf([1], 0, []), /no section is under way/)
  })
})

describe('flavours', () => {
  it('are those with which a domain is made, and not to be mixed', () => {
    const { machine, other } = two('fast')
    const mixed = { code: 'PERCPU_ARGUMENT' }
    assert.throws(() => machine.srcu('s', { flavour: 'normal' }), mixed)
    assert.equal(machine.srcu('s'), machine.srcu('s', { flavour: 'fast' }))
    assert.equal(other.srcu('n', { flavour: 'normal' }).flavour, 'normal')
    assert.equal(machine.srcu('n').flavour, 'normal')
    assert.throws(() => machine.srcu('n', { flavour: 'fast' }), mixed)
    assert.throws(() => machine.srcu('x', { flavour: 'slow' as never }), mixed)
    assert.throws(() => machine.srcu('x', { flavor: 'fast' } as never), mixed)
  })
  it('fast: refused on a deaf CPU, which may end sections', async () => {
    const {
      machine,
      domains: [domain, updater],
    } = two('fast')
    const token = domain.readLock()
    const waiting = watched(updater.synchronize())
    await turns()
    machine.cpus.deaf(() => {
      assert.throws(() => domain.readLock(), { code: 'PERCPU_SRCU_MISUSE' })
      assert.throws(() => domain.downRead(), { code: 'PERCPU_SRCU_MISUSE' })
      domain.readUnlock(token)
    })
    await waiting.promise
    domain.readUnlock(domain.readLock())
    await updater.synchronize({ timeout: 10_000 })
  })
  it('normal: serves deaf CPUs', async () => {
    const {
      machine,
      domains: [domain, updater],
    } = two('normal')
    const token = machine.cpus.deaf(() => domain.readLock())
    const waiting = watched(updater.synchronize())
    await turns()
    assert.equal(waiting.isOver, false)
    machine.cpus.deaf(() => domain.readUnlock(token))
    await waiting.promise
  })
  for (const flavour of ['fast', 'normal'] as const)
    it(`${flavour}: has a grace period that blocks`, () => {
      const machine = fresh()
      const domain = machine.srcu('s', { flavour })
      domain.synchronizeBlocking()
      const token = domain.readLock()
      assert.throws(() => domain.synchronizeBlocking({ timeout: 10 }), { code: 'PERCPU_SELF_DEADLOCK' })
      domain.readUnlock(token)
      const down = domain.downRead()
      assert.throws(() => domain.synchronizeBlocking({ timeout: 10 }), { code: 'PERCPU_UNANSWERED' })
      domain.upRead(down)
      domain.synchronizeBlocking()
    })
})

describe('a thread that blocks for a grace period', () => {
  it('goes on with what it waited for before', async () => {
    const {
      domains: [domain, reader],
    } = two('normal')
    const token = reader.readLock()
    const waiting = domain.synchronize({ timeout: 5000 })
    await turns()
    assert.throws(() => domain.synchronizeBlocking({ timeout: 5 }), { code: 'PERCPU_UNANSWERED' })
    await turns()
    reader.readUnlock(token)
    await waiting
  })
})

describe('a machine of one CPU', () => {
  it('has the same face', async () => {
    const machine = fresh({ smp: false })
    const domain = machine.srcu('s')
    const first = domain.readLock()
    const waiting = watched(domain.synchronize())
    await turns()
    assert.equal(waiting.isOver, false)
    const second = domain.readLock()
    assert.notEqual(second, first)
    domain.readUnlock(first)
    await waiting.promise
    assert.throws(() => domain.readUnlock(first), { code: 'PERCPU_SRCU_MISUSE' })
    domain.readUnlock(second)
    const down = domain.downRead()
    const next = watched(domain.synchronizeExpedited())
    await turns()
    assert.equal(next.isOver, false)
    domain.upRead(down)
    await next.promise
    domain.synchronizeBlocking()
    for (let i = 0; i < 130; i++) await domain.synchronize()
  })
  it('goes on after its thread died in a section, and in a grace period', async () => {
    const machine = fresh({ smp: false })
    const { handle } = machine
    assert.ok(handle)
    machine.srcu('s').readLock()
    const waiting = machine.srcu('s').synchronize()
    const rejected = assert.rejects(waiting, { code: 'PERCPU_OFFLINE' })
    await turns()
    await assert.rejects(machine.offline(), { code: 'PERCPU_HOTPLUG' })
    await rejected
    const { join } = await import('percpu')
    const next = join(handle)
    await next.srcu('s').synchronize({ timeout: 10_000 })
  })
})
