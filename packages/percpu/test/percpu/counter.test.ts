/** Counters with a part for each CPU. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

describe('a counter', () => {
  it('counts integers', () => {
    const counter = fresh().percpu.counter('c')
    counter.add(3)
    for (const [wrong, shown] of [
      ['x', "'x'"],
      [undefined, 'undefined'],
      [1.5, '1.5'],
      [NaN, 'NaN'],
    ] as [never, string][])
      assert.throws(() => counter.add(wrong), {
        code: 'PERCPU_ARGUMENT',
        message: `amount: ${shown} is not an integer between -2^53 and 2^53`,
      })
    for (const wrong of ['x', NaN, undefined] as never[]) {
      assert.throws(() => counter.compare(wrong), { code: 'PERCPU_ARGUMENT' })
      assert.throws(() => counter.limitedAdd(wrong, 1), { code: 'PERCPU_ARGUMENT' })
    }
    assert.equal(counter.sum(), 3)
  })
  it('refuses a sum that no number can be, and names it', () => {
    const counter = fresh().percpu.counter('c')
    const { maxValue } = counter
    for (const sign of [1, -1]) {
      const refused = (run: () => void): void =>
        throwsCode(run, 'PERCPU_ARGUMENT', /^sum: -?\d+ is not a whole number from -/)
      refused(() => counter.add(sign * (maxValue + 1)))
      refused(() => counter.set(sign * (maxValue + 1)))
      counter.add(sign * maxValue)
      const before = counter.sum()
      refused(() => counter.add(sign * 2 ** 40))
      assert.equal(counter.sum(), before)
      counter.add(sign * 3)
      refused(() => counter.add(sign * (2 ** 53 - 1)))
      refused(() => counter.limitedAdd(sign * Infinity, sign * 1000))
      refused(() => counter.sync())
      counter.add(sign * -3)
      counter.sync()
      assert.equal(counter.sum(), before)
      counter.set(0)
    }
  })
  it('is exact however much the parts hold that are not folded', () => {
    const machine = fresh({ cpus: 4 })
    const others = [101, 102, 103].map((key) => joinAs(machine, key))
    for (const sign of [1n, -1n]) {
      const counters = [machine, ...others].map((each) => each.percpu.counter(`c${sign}`, { batch: 2 ** 30 }))
      const [counter] = counters
      assert.ok(counter)
      counter.add(Number(sign) * counter.maxValue)
      let exact = sign * BigInt(counter.maxValue)
      for (const each of counters) {
        each.addLocal(Number(sign) * (2 ** 31 - 1))
        exact += sign * (2n ** 31n - 1n)
        assert.equal(BigInt(counter.sum()), exact)
        assert.ok(Number.isSafeInteger(counter.sum()))
      }
    }
  })
  it('has the batch that it was made with', () => {
    const machine = fresh()
    const counter = machine.percpu.counter('c', { batch: 10 })
    for (const again of [machine.percpu.counter('c'), machine.percpu.counter('c', { batch: 10 })])
      assert.equal(again.maxError, counter.maxError)
    assert.throws(() => machine.percpu.counter('c', { batch: 11 }), {
      code: 'PERCPU_ARGUMENT',
      message: "batch: counter 'c' has 10, not 11",
    })
  })
  it('is estimated at once and exact on request', () => {
    const machine = fresh()
    const others = [joinAs(machine, 101), joinAs(machine, 102)]
    const counter = machine.percpu.counter('c', { batch: 10 })
    const all = [counter, ...others.map((other) => other.percpu.counter('c'))]
    let expected = 0
    for (let i = 0; i < 500; i++) {
      const amount = (i % 7) - 2
      all[i % 3]?.add(amount)
      expected += amount
      assert.ok(Math.abs(counter.estimate - expected) <= counter.maxError)
    }
    assert.equal(counter.sum(), expected)
    for (const each of all) each.sync()
    assert.equal(counter.estimate, expected)
    assert.deepEqual([all[1]?.batch, counter.maxError], [10, 30])
  })
  it('holds values beyond 32 bits, and below zero', () => {
    const counter = fresh().percpu.counter('c')
    counter.add(2 ** 40)
    counter.add(5)
    counter.add(-(2 ** 41))
    assert.equal(counter.sum(), 5 - 2 ** 40)
    assert.equal(counter.estimatePositive, 0)
    assert.equal(counter.sumPositive(), 0)
    counter.set(-7)
    assert.equal(counter.sum(), -7)
    for (const amount of [0.5, NaN, Infinity, 2 ** 60])
      assert.throws(() => counter.add(amount), { code: 'PERCPU_ARGUMENT' })
    assert.equal(counter.sum(), -7)
    counter.addLocal(1000)
    assert.equal(counter.sum(), 993)
    assert.throws(() => counter.addLocal(2 ** 31), { code: 'PERCPU_ARGUMENT' })
  })
  it('is compared, and limited, exactly', () => {
    const machine = fresh()
    const counter = machine.percpu.counter('c', { batch: 8 })
    const other = joinAs(machine, 101).percpu.counter('c')
    for (let i = 0; i < 100; i++) (i % 2 === 0 ? counter : other).add(1)
    assert.deepEqual(
      [99, 100, 101, 0, 5000].map((than) => counter.compare(than)),
      [1, 0, -1, 1, -1],
    )
    let added = 0
    while (counter.limitedAdd(150, 1) && added < 1000) added++
    assert.deepEqual([added, counter.sum()], [50, 150])
    assert.equal(other.limitedAdd(150, 1), false)
    assert.equal(other.limitedAdd(0, -151), false)
    assert.equal(other.limitedAdd(0, -150), true)
    assert.equal(counter.sum(), 0)
    assert.equal(counter.limitedAdd(0, 0), true)
  })
  it('keeps what a CPU counted that goes offline, or dies', async () => {
    const machine = fresh()
    const counter = machine.percpu.counter('c', { batch: 1000 })
    const [leaving, dying] = [joinAs(machine, 101), joinAs(machine, 102)]
    leaving.percpu.counter('c').add(3)
    dying.percpu.counter('c').add(4)
    await leaving.offline()
    assert.equal(counter.estimate, 3)
    machine.cpus.declareDead(2)
    assert.equal(counter.estimate, 7)
    joinAs(machine, 103).percpu.counter('c').add(5)
    assert.equal(counter.sum(), 12)
  })
})
