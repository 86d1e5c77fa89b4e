/** The read-modify-writes of the lab's `#mem`: what each returns, and what it leaves. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem } from '../../dist/index.js'

type Change = (memory: mem.Memory, index: number) => number | bigint

/** From 12, or 0xfffffff4: each with what it leaves, as an unsigned number. */
const changes32: readonly (readonly [Change, number])[] = [
  [({ i32 }, at) => mem.addAtomic32(i32, at, 5), 17],
  [({ i32 }, at) => mem.subAtomic32(i32, at, 5), 7],
  [({ i32 }, at) => mem.andAtomic32(i32, at, 6), 4],
  [({ i32 }, at) => mem.orAtomic32(i32, at, 6), 14],
  [({ i32 }, at) => mem.exchangeAtomic32(i32, at, 6), 6],
  [({ i32 }, at) => mem.compareExchangeAtomic32(i32, at, 12, 6), 6],
  [({ i32 }, at) => mem.compareExchangeAtomic32(i32, at, 11, 6), 12],
  [({ u32 }, at) => mem.addAtomicU32(u32, at, 5), 17],
  [({ u32 }, at) => mem.subAtomicU32(u32, at, 5), 7],
  [({ u32 }, at) => mem.andAtomicU32(u32, at, 6), 4],
  [({ u32 }, at) => mem.orAtomicU32(u32, at, 6), 14],
  [({ u32 }, at) => mem.exchangeAtomicU32(u32, at, 6), 6],
  [({ u32 }, at) => mem.compareExchangeAtomicU32(u32, at, 12, 6), 6],
  [({ u32 }, at) => mem.compareExchangeAtomicU32(u32, at, 11, 6), 12],
]
const changes64: readonly (readonly [Change, bigint])[] = [
  [({ u64 }, at) => mem.addAtomicU64(u64, at, 5n), 17n],
  [({ u64 }, at) => mem.subAtomicU64(u64, at, 5n), 7n],
  [({ u64 }, at) => mem.andAtomicU64(u64, at, 6n), 4n],
  [({ u64 }, at) => mem.orAtomicU64(u64, at, 6n), 14n],
  [({ u64 }, at) => mem.exchangeAtomicU64(u64, at, 6n), 6n],
  [({ u64 }, at) => mem.compareExchangeAtomicU64(u64, at, 12n, 6n), 6n],
  [({ u64 }, at) => mem.compareExchangeAtomicU64(u64, at, 11n, 6n), 12n],
]

/** What the changes return and leave, each on a word of 12. */
const tryAll = (memory: mem.Memory, base: number): readonly unknown[] => [
  ...changes32.map(([change]) => {
    mem.storeAtomic32(memory.i32, base, 12)
    return [change(memory, base), mem.loadAtomic32(memory.i32, base)]
  }),
  ...changes64.map(([change]) => {
    mem.storeAtomicU64(memory.u64, base / 2, 12n)
    return [change(memory, base / 2), mem.loadAtomicU64(memory.u64, base / 2)]
  }),
]
const expected = [...changes32.map(([, left]) => [12, left]), ...changes64.map(([, left]) => [12n, left])]

describe('a read-modify-write', () => {
  it('returns what was there, and leaves what its name says, in a body and outside', async () => {
    const { executions } = await explore('read-modify-writes', (t) => {
      const { memory, base } = t.words(2)
      assert.equal(base % 2, 0)
      assert.deepEqual(tryAll(memory, base), expected)
      t.cpu(0, () => {
        assert.deepEqual(tryAll(memory, base), expected)
      })
      t.finally(() => {
        assert.equal(mem.loadAtomicU64(memory.u64, base / 2), 12n)
      })
    })
    assert.equal(executions, 1)
  })
})
