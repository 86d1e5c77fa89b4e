/** Values held across awaits: they stay, no writer waits, and they are freed in the end. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  ArgumentError,
  f64,
  i32,
  MapMismatchError,
  SelfDeadlockError,
  struct,
  ViewEndedError,
  type Machine,
} from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const Route = struct('Route', { page: i32, weight: f64 })
const options = { key: 'string', value: 'bytes', hold: true } as const
const filled = (value: number): Uint8Array => new Uint8Array(100).fill(value)

/** Objects of the size of an entry. */
const entriesOf = (machine: Machine): number =>
  machine.heap.allocations().filter(({ size }) => size > 100 && size <= 128).length

describe('an entry that is held', () => {
  for (const cpus of [1, 3])
    it(`stays while others replace it, and is freed afterwards, on a machine of ${cpus}`, async () => {
      const machine = fresh({ cpus })
      const map = machine.map('m', options)
      const writer = cpus === 1 ? map : joinAs(machine, 101).map('m', options)
      map.set('a', filled(1))
      const kept: (() => number)[] = []
      const result = await map.hold('a', async (view) => {
        for (let i = 0; i < 500; i++) {
          writer.set('a', filled(2))
          if (i % 50 === 0) await new Promise(setImmediate)
          assert.equal(view.at(i % 100), 1)
        }
        await machine.rcu.synchronize()
        assert.equal(view.at(99), 1)
        assert.ok(entriesOf(machine) > 400)
        kept.push(() => view.at(0))
        return map.view('a', (later) => later.at(0))
      })
      assert.equal(result, 2)
      for (const use of kept) assert.throws(use, ViewEndedError)
      await map.barrier()
      assert.equal(entriesOf(machine), 1)
      machine.heap.verify({ quiet: true })
    })

  it('does not keep entries for longer than its thread lives', async () => {
    const machine = fresh()
    const victim = joinAs(machine, 101)
    const map = machine.map('m', options)
    map.set('a', filled(1))
    void victim.map('m', options).hold('a', () => new Promise<void>(() => undefined))
    map.set('a', filled(2))
    await machine.rcu.synchronize()
    assert.equal(entriesOf(machine), 2)
    machine.cpus.declareDead(1)
    await map.barrier({ timeout: 10_000 })
    assert.equal(entriesOf(machine), 1)
  })

  it('may be a struct, or of another kind', async () => {
    const machine = fresh()
    const routes = machine.map('routes', { key: 'i32', value: Route, hold: true })
    routes.set(1, { page: 7, weight: 0.5 })
    assert.equal(await routes.hold(1, (route) => Promise.resolve(route.page + route.weight)), 7.5)
    assert.equal(await routes.hold(2, () => 5), undefined)
    const texts = machine.map('texts', { key: 'i32', value: 'string', hold: true })
    texts.set(1, 'one')
    assert.equal(await texts.hold(1, (text) => text.length), 3)
  })

  it('is refused by maps that were made without, and ends if its work throws', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const plain = machine.map('plain', { key: 'i32', value: 'i32' })
    await assert.rejects(
      plain.hold(1, () => 1),
      ArgumentError,
    )
    assert.throws(() => other.map('plain', { key: 'i32', value: 'i32', hold: true }), MapMismatchError)
    machine.map('m', options).set('a', filled(1))
    assert.throws(() => other.map('m', { key: 'string', value: 'bytes' }), MapMismatchError)
    await assert.rejects(
      machine.map('m', options).hold('a', () => Promise.reject(new Error('mine'))),
      /mine/,
    )
    // It holds nothing any more.
    machine.map('m', options).set('a', filled(2))
    await machine.map('m', options).barrier({ timeout: 10_000 })
  })

  it('has nothing to do with a domain of the same name', async () => {
    const machine = fresh()
    const map = machine.map('m', options)
    map.set('a', filled(1))
    await machine.srcu('m').cleanup()
    for (let i = 0; i < 100; i++) map.set('a', filled(i))
    await map.barrier({ timeout: 10_000 })
    assert.equal(entriesOf(machine), 1)
    map.verify({ quiet: true })
  })

  it('fails with what its work threw, also if the thread has left meanwhile', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    const map = leaver.map('m', options)
    map.set('a', filled(1))
    const mine = new Error('mine')
    await assert.rejects(
      map.hold('a', async () => {
        await leaver.offline().catch(() => undefined)
        throw mine
      }),
      mine,
    )
  })

  it('lets barrierBlocking neither wait for itself, nor for others in vain', async () => {
    const machine = fresh()
    const map = machine.map('m', options)
    map.set('a', filled(1))
    for (let i = 0; i < 5000; i++) {
      map.set('a', filled(i))
      if (i % 500 === 0) map.barrierBlocking({ timeout: 10_000 })
    }
    map.barrierBlocking({ timeout: 10_000 })
    assert.equal(entriesOf(machine), 1)
    await map.hold('a', () => {
      map.set('a', filled(2))
      assert.throws(() => map.barrierBlocking({ timeout: 10_000 }), SelfDeadlockError)
    })
    map.barrierBlocking({ timeout: 10_000 })
  })
})
