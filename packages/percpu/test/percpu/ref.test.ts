/** Reference counts that each CPU keeps for itself. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { storeAtomic32 } from 'percpu/mem'
import { addressOf } from '../support/inside.js'
import { fresh, joinAs } from '../support/machines.js'

const { PercpuRefLayout } = await import('../../dist/percpu/layouts.js')
const { ENTERED } = await import('../../dist/percpu/rcu-sync.js')
const { INITIAL_STATE } = await import('../../dist/percpu/ref.js')
/** It was killed. */
const DEAD = 4

describe('a reference count', () => {
  it('is released when all CPUs together have given back what they took', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), other.percpu.ref('r')]
    ref.get()
    ref.get(2)
    // Given back on another CPU: its own part is negative.
    same.put(2)
    assert.deepEqual([ref.isZero, ref.isAtomic, ref.isDying], [false, false, false])
    await ref.kill()
    assert.deepEqual([ref.isZero, ref.isAtomic, ref.isDying], [false, true, true])
    assert.deepEqual([same.tryGetLive(), same.tryGet()], [false, true])
    same.put()
    let isReleased = false
    const released = same.released().then(() => (isReleased = true))
    await new Promise(setImmediate)
    assert.equal(isReleased, false)
    ref.put()
    await released
    assert.deepEqual([ref.isZero, ref.tryGet(), ref.tryGetLive()], [true, false, false])
    await assert.rejects(ref.kill(), { code: 'PERCPU_REF_MISUSE' })
    assert.throws(() => ref.put(), { code: 'PERCPU_REF_MISUSE' })
  })
  it('says how many references there are, and which CPUs have taken them', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), other.percpu.ref('r')]
    assert.deepEqual(ref.report(), { references: 1, cpus: [] })
    ref.get(2)
    same.get(3)
    ref.put()
    const taken = [
      { cpu: 0, taken: 1 },
      { cpu: 1, taken: 3 },
    ]
    assert.deepEqual(ref.report(), { references: 5, cpus: taken })
    // The thread dies, and gives nothing back.
    machine.cpus.declareDead(1)
    assert.deepEqual(ref.report(), { references: 5, cpus: taken })
    await ref.kill()
    ref.put()
    assert.deepEqual(ref.report(), { references: 3, cpus: taken })
    await assert.rejects(ref.released({ timeout: 1 }), { code: 'PERCPU_LOCK_TIMEOUT' })
    ref.put(3)
    assert.equal(ref.report().references, 0)
    await ref.released()
  })
  it('takes whole numbers of references only, in both modes', async () => {
    const ref = fresh().percpu.ref('r')
    const refuses = (): void => {
      for (const wrong of [0, -1, 1.5, NaN, 2 ** 27, '1', null]) {
        assert.throws(() => ref.get(wrong as number), { code: 'PERCPU_ARGUMENT' }, String(wrong))
        assert.throws(() => ref.put(wrong as number), { code: 'PERCPU_ARGUMENT' }, String(wrong))
      }
    }
    refuses()
    await ref.switchToAtomic()
    refuses()
    await ref.kill()
    assert.equal(ref.isZero, true)
  })
  it('of which more is given back than taken is not killed, and nobody waits for ever', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), other.percpu.ref('r')]
    const before = same.released()
    const isRefused = assert.rejects(before, { code: 'PERCPU_REF_MISUSE' })
    ref.put()
    same.put(2)
    for (const change of [ref.kill(), same.kill(), ref.switchToAtomic()])
      await assert.rejects(change, { code: 'PERCPU_REF_MISUSE' })
    await isRefused
    assert.deepEqual([same.isDying, same.isAtomic, ref.tryGetLive()], [false, false, true])
    ref.put()
    for (const each of [ref, same]) await assert.rejects(each.released(), { code: 'PERCPU_REF_MISUSE' })
    // Once it is made good it goes as ever.
    ref.get(3)
    await same.kill()
    await ref.released()
  })
  it('that a dead thread was killing, with too much given back, is taken back', async () => {
    const machine = fresh()
    const ref = machine.percpu.ref('r')
    ref.put(5)
    const state = addressOf(machine.memory, 'ref', 'r') / 4 + PercpuRefLayout.words.state
    storeAtomic32(machine.memory.i32, state, INITIAL_STATE | ENTERED | DEAD)
    await assert.rejects(ref.switchToAtomic(), { code: 'PERCPU_REF_MISUSE' })
    assert.deepEqual([ref.isDying, ref.isAtomic], [false, false])
    ref.get(5)
    await ref.kill()
    assert.equal(ref.isZero, true)
  })
  it('that is released gives no references', async () => {
    const ref = fresh().percpu.ref('r')
    await ref.kill()
    for (const count of [1, 7]) assert.throws(() => ref.get(count), { code: 'PERCPU_REF_MISUSE' })
    assert.equal(ref.isZero, true)
    await ref.resurrect()
    ref.get()
    await ref.switchToAtomic()
    ref.get(2)
    ref.put(4)
    await ref.released()
    assert.throws(() => ref.get(), { code: 'PERCPU_REF_MISUSE' })
  })
  it('that is finished for a dead thread does not keep the CPU that does so from going offline', async () => {
    const machine = fresh()
    const [dying, heir] = [joinAs(machine, 101), joinAs(machine, 102)]
    const ref = machine.percpu.ref('r')
    heir.percpu.ref('r')
    // As a thread leaves it that dies while it kills the reference count.
    const address = addressOf(machine.memory, 'ref', 'r')
    const state = address / 4 + PercpuRefLayout.words.state
    storeAtomic32(machine.memory.i32, state, INITIAL_STATE | ENTERED | DEAD)
    heir.cpus.declareDead(dying.cpu)
    await heir.offline()
    await ref.switchToAtomic()
    assert.deepEqual([ref.isDying, ref.isZero], [true, true])
  })
  it('whose release was waited for in the middle of a change lets its waiter go offline', async () => {
    const machine = fresh()
    const leaving = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), leaving.percpu.ref('r')]
    const killing = ref.kill()
    // Nobody answers before this task ends: the change is under way.
    while (!same.isAtomic) await Promise.resolve()
    const controller = new AbortController()
    const waiting = same.released({ signal: controller.signal })
    controller.abort()
    await assert.rejects(waiting, { name: 'AbortError' })
    await leaving.offline()
    await killing
    assert.equal(ref.isZero, true)
  })
  it('goes back and forth between its modes without losing any', async () => {
    const machine = fresh()
    const [ref, same] = [machine.percpu.ref('r'), joinAs(machine, 101).percpu.ref('r')]
    for (let round = 0; round < 5; round++) {
      ref.get(3)
      same.put(1)
      await same.switchToAtomic()
      same.get(2)
      ref.put(3)
      await ref.switchToPercpu()
      assert.equal(ref.isAtomic, false)
      ref.put()
    }
    await ref.kill()
    assert.equal(ref.isZero, true)
    await assert.rejects(ref.switchToPercpu(), { code: 'PERCPU_REF_MISUSE' })
    await ref.reinit()
    assert.deepEqual([ref.isZero, ref.isDying, ref.tryGetLive()], [false, false, true])
    await assert.rejects(ref.reinit(), { code: 'PERCPU_REF_MISUSE' })
    ref.put()
    await ref.kill()
    await ref.released()
  })
})
