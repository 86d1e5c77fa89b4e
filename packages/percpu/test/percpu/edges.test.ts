/**
 * Corners of per-CPU memory: what is left to chance by random tests, and what users may get wrong.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, f64, i32, OutOfMemoryError, struct } from 'percpu'
import { failPages, stateOf } from './support/inside.js'
import { kinds } from './support/kinds.js'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

const Hits = struct('Hits', { count: i32 })

const { PercpuRoot } = await import('../../dist/percpu/layouts.js')
const { EMPTY_PAGES_HIGH } = await import('../../dist/percpu/geometry.js')

describe('requests', () => {
  it('find room in chunks that were isolated a moment ago', () => {
    const machine = fresh({ cpus: 2, percpu: { unit: 32768 } })
    const { percpu } = machine
    const pages: number[] = []
    try {
      for (;;) pages.push(percpu.alloc(4096))
    } catch (error) {
      assert.ok(error instanceof OutOfMemoryError)
    }
    for (const pointer of pages) percpu.free(pointer)
    // In the same stretch: nothing was trimmed yet.
    for (let i = 0; i < pages.length; i++) percpu.alloc(4096)
    percpu.verify()
  })

  it('use pages that are there when there are no others', () => {
    const machine = fresh({ cpus: 3, percpu: { unit: 8192 } })
    const { percpu } = machine
    while (percpu.alloc(4, { nowait: true }) !== undefined);
    // One chunk with a page in use and a hole behind it, and one with two pages that are free.
    percpu.alloc(4096)
    percpu.free(percpu.alloc(8192))
    failPages(machine, 0)
    assert.ok(percpu.alloc(4096) > 0)
    failPages(machine, -1)
  })

  it('for a unit with many holes populate them all', () => {
    const machine = boot({ cpus: 2, memory: '64 MiB', percpu: { unit: 2 ** 22 } })
    const { percpu } = machine
    const others: number[] = []
    while (percpu.report().chunks.length < 3) others.push(percpu.alloc(4096))
    const pages = Array.from({ length: 513 }, () => percpu.alloc(4096))
    // With some pages ready elsewhere, the chunk loses those that are empty, each second one.
    for (const pointer of others.slice(0, 8)) percpu.free(pointer)
    pages.forEach((pointer, i) => i % 2 === 0 && percpu.free(pointer))
    percpu.trim()
    // With none ready, it is used again as it is.
    while (percpu.alloc(4096, { nowait: true }) !== undefined);
    percpu.free(others.at(-1) ?? 0)
    pages.forEach((pointer, i) => i % 2 !== 0 && percpu.free(pointer))
    percpu.trim()
    assert.ok(percpu.report().chunks.some(({ empty, populated }) => empty > 200 && empty === populated))
    percpu.free(percpu.alloc(2 ** 22))
    percpu.verify()
  })

  it('that must not grow find so many pages, and no more, after one has failed', () => {
    const { percpu } = boot({ cpus: 2, memory: '64 MiB', percpu: { unit: 2 ** 18 } })
    while (percpu.alloc(4096, { nowait: true }) !== undefined);
    percpu.trim()
    assert.equal(percpu.report().emptyPages, EMPTY_PAGES_HIGH)
  })

  it('wait for the lock, and change nothing if it does not become free', () => {
    const machine = fresh({ cpus: 2 })
    const pointer = machine.percpu.alloc(16)
    const { locked, tables } = stateOf(machine)
    const other = joinAs(machine, 101)
    locked.lock(tables.root + PercpuRoot.words.lock)
    try {
      throwsCode(() => other.percpu.alloc(16), 'PERCPU_LOCK_TIMEOUT')
    } finally {
      locked.unlock()
    }
    machine.percpu.free(pointer)
    machine.percpu.verify()
  })

  for (const { name, options } of kinds)
    it(`that must not grow find room again after one has failed (${name})`, () => {
      const { percpu } = fresh({ ...options, percpu: { unit: 8192 } })
      while (percpu.alloc(4096, { nowait: true }) !== undefined);
      percpu.trim()
      assert.notEqual(percpu.alloc(4096, { nowait: true }), undefined)
      percpu.verify()
    })
})

describe('addresses', () => {
  it('of objects are aligned for their types, or the pointer is refused', () => {
    const { percpu } = fresh()
    const pointers = [percpu.alloc(12, { align: 4 }), percpu.alloc(12, { align: 4 })]
    const refused = pointers.filter((pointer) => percpu.address(pointer, 0) % 8 !== 0)
    assert.equal(refused.length, 1)
    assert.throws(() => percpu.at(refused[0] ?? 0, f64), {
      code: 'PERCPU_ARGUMENT',
      message: /not aligned to 8/,
    })
    for (const pointer of pointers) percpu.at(pointer, i32).local = 5
  })
  for (const { name, options } of kinds)
    it(`of bytes outside of a unit are refused (${name})`, () => {
      const { percpu } = fresh(options)
      const { unitBytes } = percpu.report()
      const pointer = percpu.alloc(8)
      for (const offset of [-1, -4096, 0.5, NaN, unitBytes, 2 ** 40])
        assert.throws(() => percpu.address(pointer, 0, offset), { code: 'PERCPU_ARGUMENT' }, String(offset))
      assert.equal(percpu.address(pointer, 0, 7) - percpu.address(pointer, 0), 7)
    })
})

describe('a name', () => {
  it('may begin like those of the library itself', () => {
    const { percpu } = fresh()
    const name = 'percpu.percpu'
    percpu.counter(name).add(1)
    percpu.ref(name)
    percpu.rwSemaphore(name)
    percpu.i32({ name })
    assert.equal(percpu.counter(name).sum(), 1)
    percpu.verify()
  })
  it('of many bytes is cut where no character is', () => {
    const { percpu } = fresh()
    const Long = struct(`Ä${'ö'.repeat(30)}`, { count: i32 })
    percpu(Long, { name: 'long' }).local.count = 3
    assert.equal(percpu(Long, { name: 'long' }).local.count, 3)
  })
  it('is for good: its memory is not freed', () => {
    const machine = fresh()
    for (const handle of [machine.percpu(Hits, { name: 'a' }), machine.percpu.i32({ name: 'b' })]) {
      assert.throws(() => handle.free(), { code: 'PERCPU_NAMED_MEMORY' })
      assert.throws(() => machine.percpu.at(handle.pointer, i32).of(7), { code: 'PERCPU_ARGUMENT' })
    }
    machine.percpu.i32({ name: 'b' }).local = 1
    assert.equal(machine.percpu.i32({ name: 'b' }).local, 1)
    machine.percpu.verify()
  })
})

describe('a counter', () => {
  it('refuses what would be beyond 2^53, and limits that are no numbers', () => {
    const { percpu } = fresh()
    const counter = percpu.counter('c')
    const { maxValue } = counter
    counter.add(maxValue)
    assert.throws(() => counter.add(1000), { code: 'PERCPU_ARGUMENT' })
    assert.equal(counter.sum(), maxValue)
    assert.throws(() => counter.limitedAdd(Infinity, 1000), { code: 'PERCPU_ARGUMENT' })
    assert.throws(() => counter.limitedAdd(NaN, 1), { code: 'PERCPU_ARGUMENT' })
    assert.throws(() => counter.compare(NaN), { code: 'PERCPU_ARGUMENT' })
    assert.equal(counter.sum(), maxValue)
  })
})

describe('a reference count', () => {
  it('refuses to have 2^27 references, where each CPU counts for itself and together', async () => {
    const ref = fresh().percpu.ref('r')
    const refused = (run: () => unknown): void => throwsCode(run, 'PERCPU_REF_MISUSE', /2\^27/)
    ref.get(2 ** 27 - 2)
    refused(() => ref.get(2 ** 16))
    refused(() => ref.get(2 ** 27 - 1))
    await ref.switchToAtomic()
    refused(() => ref.get())
    refused(() => ref.tryGet())
    ref.put(2 ** 27 - 2)
    assert.equal(ref.isZero, false)
    await ref.kill()
    assert.equal(ref.isZero, true)
  })
  it('is not released because so many were taken that they wrap around', async () => {
    const ref = fresh().percpu.ref('r')
    // 2^29 in all: eight times as many as the count of all CPUs has room for.
    const [count, times] = [2 ** 15, 2 ** 14]
    for (let i = 0; i < times; i++) ref.get(count)
    ref.put()
    await rejectsCode(ref.kill(), 'PERCPU_REF_MISUSE', /2\^27/)
    assert.deepEqual([ref.isZero, ref.isDying, ref.isAtomic], [false, false, false])
    for (let i = 0; i < times; i++) ref.put(count)
    ref.get()
    await ref.kill()
    assert.equal(ref.isZero, true)
  })
  it('stays as it is when too many are given back', async () => {
    const ref = fresh().percpu.ref('r')
    await ref.kill()
    assert.throws(() => ref.put(), { code: 'PERCPU_REF_MISUSE' })
    assert.equal(ref.isZero, true)
    await ref.reinit()
    await ref.switchToAtomic()
    assert.throws(() => ref.put(2), { code: 'PERCPU_REF_MISUSE' })
    assert.equal(ref.isZero, false)
    await ref.kill()
    assert.equal(ref.isZero, true)
  })
  it('that is resurrected is not released meanwhile', async () => {
    const machine = fresh()
    const ref = machine.percpu.ref('r')
    joinAs(machine, 101)
    ref.get()
    await ref.kill()
    let releases = 0
    const released = ref.released().then(() => releases++)
    const resurrecting = ref.resurrect()
    // It waits for the others, and has the reference already.
    for (let i = 0; i < 20; i++) await Promise.resolve()
    ref.put()
    await resurrecting
    assert.equal(ref.isZero, false)
    await new Promise(setImmediate)
    assert.equal(releases, 0)
    await ref.kill()
    await released
  })
  it('whose change was broken off by going offline is finished by whoever waits', async () => {
    const machine = fresh()
    const leaving = joinAs(machine, 101)
    const [ref, same] = [machine.percpu.ref('r'), leaving.percpu.ref('r')]
    const killing = same.kill()
    const released = ref.released()
    await Promise.allSettled([leaving.offline(), killing])
    await released
    assert.equal(ref.isZero, true)
  })
})

describe('a lock for many readers', () => {
  it('tells the next writer of a dead one, whatever readers do between', async () => {
    const machine = fresh()
    const dying = joinAs(machine, 101)
    const lock = machine.percpu.rwSemaphore('s')
    await dying.percpu.rwSemaphore('s').writeLock()
    machine.cpus.declareDead(1)
    lock.readLock().unlock()
    const writer = await lock.writeLock()
    assert.equal(writer.predecessorDied, true)
    writer.unlock()
    const next = await lock.writeLock()
    assert.equal(next.predecessorDied, false)
    next.unlock()
  })
  it('is not told of a dead reader', async () => {
    const machine = fresh()
    const lock = machine.percpu.rwSemaphore('s')
    ;(await lock.writeLock()).unlock()
    const dying = joinAs(machine, 101)
    dying.percpu.rwSemaphore('s').readLock()
    machine.cpus.declareDead(1)
    const writer = await lock.writeLock()
    assert.equal(writer.predecessorDied, false)
    writer.unlock()
  })
  it('is fast again after a writer that left at once', async () => {
    const machine = fresh()
    const leaving = joinAs(machine, 101)
    const lock = machine.percpu.rwSemaphore('s')
    ;(await leaving.percpu.rwSemaphore('s').writeLock()).unlock()
    await leaving.offline()
    for (let i = 0; i < 1000 && lock.isSlow; i++) {
      lock.readLock().unlock()
      await new Promise(setImmediate)
    }
    assert.equal(lock.isSlow, false)
  })
})
