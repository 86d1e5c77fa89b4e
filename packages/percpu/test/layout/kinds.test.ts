/**
 * An accessor has the operations that the kinds of its fields allow, and no others: for TypeScript
 * and at run time.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  aligned,
  array,
  atomic,
  AtomicI32,
  AtomicU32,
  AtomicU64,
  big,
  f32,
  f64,
  i32,
  locked,
  owner,
  pad,
  published,
  racy,
  struct,
  u16,
  u32,
  u64,
  u8,
  type Infer,
} from 'percpu'
import { createBuffer, openMemory } from 'percpu/mem'

const Inner = struct('Inner', { flag: atomic(u32), value: racy(f64) })
const Route = struct('Route', {
  state: atomic(u32),
  waiters: atomic(i32),
  total: atomic(u64),
  key: published(u32),
  count: owner(u64),
  next: locked(i32, 'routes.lock'),
  name: published(array(u8, 16)),
  bits: atomic(array(u32, 2)),
  pair: array(Inner, 2),
  inner: Inner,
  _: pad(4),
  unmarked: u16,
})
const memory = openMemory(createBuffer(4096))

/**
 * True only when the types are the same: neither has a member more than the other, or one of
 * another type.
 */
type Same<A, B> = [A, B] extends [B, A]
  ? [keyof A, keyof B] extends [keyof B, keyof A]
    ? true
    : false
  : false

describe('layout: kinds', () => {
  it('infer the plain type of a struct', () => {
    const inferred: Same<
      Infer<typeof Route>,
      {
        state: number
        waiters: number
        total: bigint
        key: number
        count: bigint
        next: number
        name: number[]
        bits: number[]
        pair: { flag: number; value: number }[]
        inner: { flag: number; value: number }
        unmarked: number
      }
    > = true
    const paths: Same<
      keyof typeof Route.offsets,
      | 'state'
      | 'waiters'
      | 'total'
      | 'key'
      | 'count'
      | 'next'
      | 'name'
      | 'bits'
      | 'pair'
      | 'inner'
      | 'inner.flag'
      | 'inner.value'
      | 'unmarked'
    > = true
    assert.deepEqual([inferred, paths], [true, true])
    // @ts-expect-error a bigint is not a number
    const different: Same<Infer<typeof Route>['count'], number> = true
    assert.ok(different)
  })

  it('allow no plain access to an atomic field', () => {
    for (const route of [Route.at(memory, 0), Route.bind(memory)(0)]) {
      const { state, waiters, total, bits } = route
      assert.ok(state instanceof AtomicU32)
      assert.ok(waiters instanceof AtomicI32)
      assert.ok(total instanceof AtomicU64)
      assert.throws(
        () => {
          // @ts-expect-error an atomic field is not a property to write
          route.state = 5
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      assert.throws(
        () => {
          // @ts-expect-error nor is one of a nested struct
          route.inner.flag = 5
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      // @ts-expect-error an atomic field does not read as a number
      const plain: number = route.state
      assert.equal(typeof plain, 'object')
      // @ts-expect-error an atomic array has no plain set
      assert.equal(bits.set, undefined)
      // @ts-expect-error only signed words can be waited on
      assert.equal(state.wait, undefined)
      // @ts-expect-error only signed words can be waited on
      assert.equal(total.notify, undefined)
      assert.equal(state.load(), 0)
    }
  })

  it('allow no atomic access to a plain field', () => {
    for (const route of [Route.at(memory, 0), Route.bind(memory)(0)]) {
      route.key = 5
      // @ts-expect-error a plain field is a number, without atomic operations
      assert.equal(route.key.load, undefined)
      // @ts-expect-error nor has its array any
      assert.equal(route.name.load, undefined)
      // @ts-expect-error an element of a plain array is a number
      assert.equal(route.name.at(0).load, undefined)
      // @ts-expect-error a u64 is a bigint
      const count: number = route.count
      assert.equal(typeof count, 'bigint')
      assert.throws(
        () => {
          // @ts-expect-error a u64 takes a bigint
          route.count = 1
        },
        { code: 'PERCPU_ARGUMENT' },
      )
      assert.throws(
        () => {
          // @ts-expect-error a view cannot be replaced
          route.name = Route.at(memory, 0).name
        },
        { code: 'PERCPU_ARGUMENT' },
      )
    }
  })

  it('give reserved bytes and unknown fields no accessor and no offset', () => {
    const route = Route.at(memory, 0)
    // @ts-expect-error reserved bytes have no accessor
    assert.equal(route._, undefined)
    // @ts-expect-error reserved bytes have no offset
    assert.equal(Route.offsets._, undefined)
    // @ts-expect-error there is no such field
    assert.equal(route.missing, undefined)
    // @ts-expect-error there is no such path
    assert.equal(Route.offsets['inner.missing'], undefined)
    assert.equal(Route.offsets['inner.value'], Route.offsets.inner + 8)
  })

  it('give unmarked fields the kind of the struct, which is owner', () => {
    const kinds = Object.fromEntries(Route.fields.map(({ path, kind, lock }) => [path, lock ?? kind]))
    assert.deepEqual(kinds, {
      state: 'atomic',
      waiters: 'atomic',
      total: 'atomic',
      key: 'published',
      count: 'owner',
      next: 'routes.lock',
      name: 'published',
      bits: 'atomic',
      pair: undefined,
      'pair[].flag': 'atomic',
      'pair[].value': 'racy',
      inner: undefined,
      'inner.flag': 'atomic',
      'inner.value': 'racy',
      _: undefined,
      unmarked: 'owner',
    })
    const Atomic = struct('Atomic', { a: u32, b: racy(u32) }, { kind: 'atomic' })
    assert.equal(Atomic.at(memory, 0).a.load(), 5 - 5)
    Atomic.at(memory, 0).b = 1
    const Locked = struct('Locked', { a: u32 }, { kind: 'locked', lock: 'table.lock' })
    assert.deepEqual(Locked.fields[0]?.lock, 'table.lock')
  })

  it('move from an element to its array', () => {
    const List = struct('List', { cells: array(atomic(u32), 3), hints: array(racy(u8), 2) })
    assert.deepEqual(
      List.members.map(({ kind }) => kind),
      ['atomic', 'racy'],
    )
    assert.equal(List.at(memory, 64).cells.at(2).add(4), 0)
    assert.equal(List.at(memory, 64).cells.at(2).load(), 4)
  })

  it('refuse to be put on what cannot have them', () => {
    const fail = { code: 'PERCPU_LAYOUT', rule: 'definition' }
    // @ts-expect-error no atomic floating-point numbers
    assert.throws(() => struct('S', { a: atomic(f64) }), { ...fail, struct: 'S', field: 'a' })
    // @ts-expect-error no atomic floating-point numbers
    assert.throws(() => struct('S', { a: atomic(f32) }), fail)
    // @ts-expect-error no atomic bytes
    assert.throws(() => struct('S', { a: atomic(u8) }), fail)
    // @ts-expect-error no atomic halves
    assert.throws(() => struct('S', { a: atomic(array(u16, 4)) }), fail)
    // @ts-expect-error atomic words have the machine's byte order
    assert.throws(() => struct('S', { a: atomic(big(u32)) }), fail)
    // @ts-expect-error a field has one kind
    assert.throws(() => owner(racy(u32)), { ...fail, message: /already racy/ })
    // @ts-expect-error a field has one kind
    assert.throws(() => atomic(aligned(atomic(u32), 8)), fail)
    // @ts-expect-error nested structs bring their own
    assert.throws(() => racy(Inner), { ...fail, message: /brings the kinds of its own fields/ })
    // @ts-expect-error arrays of structs neither
    assert.throws(() => struct('S', { a: racy(array(Inner, 2)) }), { ...fail, field: 'a' })
    // @ts-expect-error a byte has no byte order
    assert.throws(() => big(u8), fail)
    // @ts-expect-error a locked field names its lock
    assert.throws(() => locked(u32), fail)
    assert.throws(() => struct('S', { a: u8 }, { kind: 'atomic' }), {
      ...fail,
      message:
        "struct S: field a is an atomic u8: only addresses, and i32, u32 and u64 in the machine's byte order, can be",
    })
    assert.throws(() => struct('S', { a: u8 }, { kind: 'locked' }), {
      ...fail,
      field: 'a',
      message: /name no lock/,
    })
  })
})
