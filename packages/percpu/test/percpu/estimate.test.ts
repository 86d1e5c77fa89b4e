/**
 * What a counter's `estimate` says after the death of one who was folding, while somebody else has
 * the counter locked.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { forEachAccess, fresh, interrupt, joinAs, killAt, mem } from '../support/hooked-percpu.js'
import { addressOf, insideOf } from '../support/inside.js'

const { LayerLock } = await import('../../dist/sync/layer-lock.js')
const { tokenOf } = await import('../../dist/machine/token.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')
const { PercpuCounterLayout } = await import('../../dist/percpu/layouts.js')

const { words } = PercpuCounterLayout
/** Every so many accesses of the reaper's. */
const STRIDE = 23

function scene() {
  const machine = fresh()
  const dying = joinAs(machine, 101)
  const counters = [machine, dying].map((each) => each.percpu.counter('c', { batch: 10 }))
  const [counter, other] = counters
  assert.ok(counter && other)
  const address = addressOf(machine.memory, 'counter', 'c')
  // Of CPU 0, which folds nothing meanwhile.
  const map = SyncMap.open(machine.memory, insideOf(machine.memory).objects)
  const holder = new LayerLock(machine.memory, map.layerRecord(0, 3), tokenOf(0, 1))
  const lock = address / 4 + words.lock
  return { machine, dying, counter, other, holder, lock, low: address / 4 + words.low }
}

describe('the estimate of a counter', () => {
  it('is put right by whoever has it locked, if one who folded died before doing so', () => {
    let stale = 0
    forEachAccess((at) => {
      const first = scene()
      if (!killAt(() => first.other.add(100), at, first.dying)) return false
      const committed = mem.load32(first.machine.memory.i32, first.low)
      if (committed === first.counter.estimate) return true
      forEachAccess((moment) => {
        const { machine, dying, counter, other, holder, lock } = scene()
        killAt(() => other.add(100), at, dying)
        let isHeld = false as boolean
        const done = interrupt(
          () => machine.cpus.declareDead(dying.cpu),
          moment * STRIDE,
          () => (isHeld = holder.tryLock(lock)),
        )
        if (!isHeld) return done
        holder.unlock()
        const sum = counter.sum()
        if (sum === 100) stale++
        assert.ok(
          Math.abs(counter.estimate - sum) <= counter.maxError,
          `estimate ${counter.estimate}, sum ${sum}`,
        )
        return done
      })
      return true
    })
    assert.ok(stale > 0)
  })
})
