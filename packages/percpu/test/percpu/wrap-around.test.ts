/** Counts of 32 bits that pass their largest value: each starts shortly before it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { load32, store32 } from 'percpu/mem'
import { addressOf } from '../support/inside.js'
import { stateOf } from './support/inside.js'
import { fresh, joinAs } from '../support/machines.js'

const { pointerAt } = await import('../../dist/percpu/allocator.js')
const { PercpuReaders, PercpuRoot, PercpuRwSemaphoreLayout, PercpuStatistics } =
  await import('../../dist/percpu/layouts.js')

const LAST = 2 ** 31 - 1

/** Word indices of a named object, and of each CPU's part of it. */
function wordsOf(
  machine: Machine,
  space: 'ref' | 'rwSemaphore',
  name: string,
): { words: number; parts: number[] } {
  const address = addressOf(machine.memory, space, name)
  const state = stateOf(machine)
  const pointer = pointerAt(state, address)
  const parts = machine.cpus.possible.map((cpu) => machine.percpu.address(pointer, cpu) / 4)
  return { words: address / 4, parts }
}

describe('what a CPU did', () => {
  it('is reported beyond 2^31, and begins anew at 2^32', () => {
    const machine = fresh()
    const { percpu, memory } = machine
    const state = stateOf(machine)
    const [first] = [state.record(0)]
    const statistics = (state.backend.translate(first, 0, 0) ?? 0) / 4
    store32(memory.i32, statistics + PercpuStatistics.words.allocations, LAST)
    store32(memory.i32, statistics + PercpuStatistics.words.frees, -1)
    store32(memory.i32, state.tables.root + PercpuRoot.words.flushes, -5)
    const pointer = percpu.alloc(4)
    assert.equal(percpu.report().allocations, 2 ** 31)
    assert.equal(percpu.report().frees, 2 ** 32 - 1)
    assert.equal(percpu.report().flushes, 2 ** 32 - 5)
    percpu.free(pointer)
    assert.equal(percpu.report().frees, 0)
  })
})

describe('a counter', () => {
  it('folds or refuses what does not fit in a part', () => {
    const machine = fresh()
    const counter = machine.percpu.counter('c', { batch: 2 ** 30 })
    counter.addLocal(LAST)
    assert.throws(() => counter.addLocal(1), { code: 'PERCPU_ARGUMENT' })
    assert.equal(counter.sum(), LAST)
    counter.add(1)
    assert.deepEqual([counter.estimate, counter.sum()], [2 ** 31, 2 ** 31])
    counter.addLocal(-LAST - 1)
    assert.throws(() => counter.addLocal(-1), { code: 'PERCPU_ARGUMENT' })
    assert.equal(counter.sum(), 0)
    counter.add(-1)
    assert.deepEqual([counter.estimate, counter.sum()], [-1, -1])
  })
  it('carries between the two words of its sum, in both directions', () => {
    const counter = fresh().percpu.counter('c', { batch: 1 })
    for (const edge of [2 ** 32, -(2 ** 32), 0]) {
      counter.set(edge - 1)
      counter.add(1)
      assert.equal(counter.sum(), edge)
      counter.add(-1)
      assert.deepEqual([counter.sum(), counter.estimate], [edge - 1, edge - 1])
    }
  })
})

describe('a reference count', () => {
  it('of which one CPU only takes and another only gives back is right', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), other.percpu.ref('r')]
    const { parts } = wordsOf(machine, 'ref', 'r')
    const [own = 0, others = 0] = parts
    store32(machine.memory.i32, own, LAST - 1)
    store32(machine.memory.i32, others, -LAST + 1)
    ref.get(5)
    same.put(3)
    // The first has passed its largest value.
    assert.ok(load32(machine.memory.i32, own) < 0)
    await ref.switchToAtomic()
    ref.put(2)
    assert.equal(ref.isZero, false)
    await ref.kill()
    assert.equal(ref.isZero, true)
  })
})

describe('a lock for many readers', () => {
  it('counts readers whose CPU has entered more than 2^31 times', async () => {
    const machine = fresh()
    const lock = machine.percpu.rwSemaphore('s')
    const { words, parts } = wordsOf(machine, 'rwSemaphore', 's')
    const { entered, left } = PercpuReaders.words
    const { i32 } = machine.memory
    for (const part of parts) {
      store32(i32, part + entered, LAST)
      store32(i32, part + left, LAST)
    }
    store32(i32, words + PercpuRwSemaphoreLayout.words.writes, -1)
    assert.equal(lock.readers, 0)
    const reader = lock.readLock()
    assert.equal(lock.readers, 1)
    const writing = lock.writeLock()
    let isWriting = false
    void writing.then(() => (isWriting = true))
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    assert.equal(isWriting, false)
    reader.unlock()
    ;(await writing).unlock()
    assert.equal(lock.readers, 0)
    while (lock.isSlow) {
      lock.readLock().unlock()
      await new Promise(setImmediate)
    }
  })
})
