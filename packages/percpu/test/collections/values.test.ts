/** Values that are structs, and values seen in place. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  address,
  ArgumentError,
  array,
  atomic,
  big,
  bytes,
  f32,
  f64,
  flexible,
  i16,
  i32,
  i8,
  json,
  MapMismatchError,
  pad,
  published,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
  ViewEndedError,
  type Infer,
} from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

interface Session {
  readonly user: string
  readonly visits: number
}

it('JSON of a type that was said is of that type, in all collections', () => {
  const machine = fresh()
  const map = machine.map('m', { key: 'string', value: json<Session>() })
  map.set('a', { user: 'a', visits: 1 })
  // @ts-expect-error: it is no Session.
  map.set('b', { user: 'b' })
  const changed: Session | undefined = map.update('a', (session) => session && { ...session, visits: 2 })
  assert.deepEqual(changed, { user: 'a', visits: 2 })
  assert.equal(
    map.view('a', ({ visits }) => visits),
    2,
  )
  const ring = machine.ring('r', { value: json<Session>() })
  ring.trySend({ user: 'c', visits: 3 })
  const received: Session | undefined = ring.tryReceive()
  const ranges = machine.rangeMap('ranges', { key: 'u32', value: json<Session>() })
  ranges.set(1, 2, { user: 'd', visits: 4 })
  assert.deepEqual([received?.visits, ranges.lookup(1)?.visits], [3, 4])
  // It is the same kind.
  assert.deepEqual(machine.map('m', { key: 'string', value: 'json' }).get('b'), { user: 'b' })
})

it('JSON inside of objects is what JSON.stringify makes of it, and by itself refused', () => {
  const map = fresh().map('m', { key: 'i32', value: 'json' })
  const others = [NaN, -Infinity, undefined, () => 1, Symbol('s')]
  map.set(1, others).set(2, { a: NaN, b: undefined, c: () => 1, at: new Date(0), set: new Set([1]) })
  assert.deepEqual(map.get(1), [null, null, null, null, null])
  assert.deepEqual(map.get(2), { a: null, at: '1970-01-01T00:00:00.000Z', set: {} })
  for (const other of others) assert.throws(() => map.set(3, other), ArgumentError)
  assert.equal(map.size, 2)
})

const Point = struct('Point', { x: f64, y: f32 })
const All = struct('All', {
  small: u8,
  negative: i8,
  short: i16,
  port: big(u16),
  word: published(u32),
  serial: u64,
  place: address(),
  hole: pad(8),
  at: Point,
  corners: array(Point, 2),
  colors: array(u8, 3),
  name: text(20),
  raw: bytes(5),
})
const one: Infer<typeof All> = {
  small: 255,
  negative: -128,
  short: -2,
  port: 443,
  word: 2 ** 32 - 1,
  serial: 2n ** 64n - 1n,
  place: 4096,
  at: { x: Math.PI, y: 0.5 },
  corners: [
    { x: 1, y: 2 },
    { x: -0, y: 4 },
  ],
  colors: [1, 2, 3],
  name: 'süß',
  raw: Uint8Array.of(1, 2),
}

describe('values that are structs', () => {
  it('are read back as they were, for keys of any length', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const map = machine.map('m', { key: 'string', value: All })
    const keys = ['', 'a', 'four', 'fives', 'eight ch', 'nine char']
    for (const key of keys) map.set(key, { ...one, name: key })
    const seen = other.map('m', { key: 'string', value: All })
    for (const key of keys) assert.deepEqual(seen.get(key), { ...one, name: key })
    map.verify({ quiet: true })
  })

  it('are compared by what they hold', () => {
    const map = fresh().map('m', { key: 'i32', value: All })
    map.set(1, { ...one, name: 'a long one' })
    map.set(1, one)
    assert.ok(!map.compareAndSet(1, { ...one, small: 1 }, one))
    assert.ok(map.compareAndSet(1, structuredClone(one), { ...one, small: 1 }))
    assert.equal(map.update(1, (old) => old && { ...old, small: old.small + 1 })?.small, 2)
    assert.equal(map.getOrInsert(1, one).small, 2)
  })

  it('take what an accessor gives as a plain object', () => {
    const machine = fresh()
    const Small = struct('Small', { id: i32, tag: u16 })
    const object = Small.at(machine.memory, machine.heap.alloc(Small.size, { zero: true }))
    object.id = 7
    const map = machine.map('m', { key: 'u32', value: Small })
    map.set(1, object.toObject())
    map.set(2, object)
    for (const key of [1, 2]) assert.deepEqual(map.get(key), { id: 7, tag: 0 })
  })

  it('are refused if a field is missing, or cannot hold its value', () => {
    const map = fresh().map('m', { key: 'i32', value: All })
    const wrong: Readonly<Record<string, unknown>> = {
      small: 256,
      negative: -129,
      short: 1.5,
      port: '443',
      word: -1,
      serial: 5,
      place: 7,
      at: { x: 1 },
      corners: [one.at],
      colors: 'abc',
      name: 'x'.repeat(21),
      raw: [1],
    }
    for (const [field, value] of Object.entries(wrong)) {
      assert.throws(() => map.set(1, { ...one, [field]: value }), ArgumentError, field)
      assert.throws(() => map.set(1, { ...one, [field]: undefined }), ArgumentError, field)
    }
    assert.throws(() => map.set(1, { ...one, name: '\ud800' }), ArgumentError)
    assert.throws(() => map.set(1, undefined as never), ArgumentError)
    assert.throws(
      () => map.set(1, { ...one, corners: [one.at, { x: 'a', y: 1 } as never] }),
      /corners\[1\]\.x/,
    )
    assert.equal(map.size, 0)
  })

  it('are not confused by one whose fields set another one', () => {
    const map = fresh().map('m', { key: 'i32', value: Point })
    const nested = {
      x: 1,
      get y() {
        map.set(2, { x: 5, y: 6 })
        return 2
      },
    }
    map.set(1, nested)
    assert.deepEqual(
      [map.get(1), map.get(2)],
      [
        { x: 1, y: 2 },
        { x: 5, y: 6 },
      ],
    )
    assert.throws(() => {
      map.set(1, {
        x: 1,
        get y(): number {
          throw new Error('no')
        },
      })
    }, /no/)
    map.set(3, { x: 8, y: 9 })
    assert.deepEqual(
      [map.get(1), map.get(3)],
      [
        { x: 1, y: 2 },
        { x: 8, y: 9 },
      ],
    )
  })

  it('have no other fields than the struct, at any depth, but for accessors', () => {
    const machine = fresh()
    const Line = struct('Line', { from: Point, to: Point })
    const map = machine.map('lines', { key: 'i32', value: Line })
    const ring = machine.ring('lines', { value: Line })
    const from = { x: 1, y: 2 }
    const surplus = [
      { from, to: from, width: 5 },
      { from, to: { ...from, z: 3 } },
      Object.assign(Object.create({ from }) as object, { to: from, form: from }),
    ]
    for (const line of surplus) {
      const isNamed = (error: unknown): boolean =>
        error instanceof ArgumentError && /has no field (width|z|form)$/.test(error.message)
      assert.throws(() => map.set(1, line as never), isNamed)
      assert.throws(() => ring.trySend(line as never), isNamed)
    }
    const shared = machine.objects.create('line', Line)
    shared.from.x = 7
    map.set(1, shared)
    map.set(2, { from, to: shared.from })
    assert.equal(map.get(1)?.from.x, 7)
    assert.equal(map.get(2)?.to.x, 7)
  })

  it('are of one struct for each map, which has a fixed size and no atomic fields', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    machine.map('m', { key: 'i32', value: Point })
    const Other = struct('Point', { x: f64, z: f32 })
    assert.throws(() => other.map('m', { key: 'i32', value: Other }), MapMismatchError)
    assert.throws(() => other.map('m', { key: 'i32', value: 'f64' }), MapMismatchError)
    machine.map('n', { key: 'i32', value: 'f64' })
    assert.throws(() => other.map('n', { key: 'i32', value: Point }), MapMismatchError)
    const unfit = [
      struct('Atomic', { inner: array(struct('Inner', { count: atomic(u32) }), 2) }),
      struct('Wide', { x: i32 }, { align: 64 }),
      struct('Long', { all: array(f64, 2 ** 17) }),
      struct('Flexible', { n: i32, list: flexible(u8) }),
    ]
    for (const value of unfit)
      assert.throws(() => machine.map('o', { key: 'i32', value: value as never }), ArgumentError, value.name)
  })
})

describe('a view', () => {
  it('shows bytes and structs in place, and cannot be written', () => {
    const machine = fresh()
    const raw = machine.map('raw', { key: 'string', value: 'bytes' })
    raw.set('a', Uint8Array.of(1, 2, 3))
    const sum = raw.view('a', (view) => {
      assert.equal(view.length, 3)
      assert.throws(() => view.at(3), ArgumentError)
      assert.ok(!('set' in view))
      const copy = new Uint8Array(2)
      view.copyTo(copy, 1)
      assert.deepEqual([...copy], [2, 3])
      return view.toArray().reduce((a, b) => a + b)
    })
    assert.equal(sum, 6)
    const map = machine.map('m', { key: 'string', value: All })
    for (const key of ['', 'abcd', 'abcdefgh']) {
      map.set(key, one)
      const seen = map.view(key, (view) => {
        assert.deepEqual(view.toObject(), one)
        assert.equal(view.at.x, Math.PI)
        assert.equal(view.corners.at(1).y, 4)
        assert.deepEqual(view.colors.toArray(), [1, 2, 3])
        assert.throws(() => Reflect.set(view, 'small', 5), ArgumentError)
        assert.throws(() => Reflect.set(view.at, 'x', 5), ArgumentError)
        return [view.small, view.serial, view.name]
      })
      assert.deepEqual(seen, [255, 2n ** 64n - 1n, 'süß'])
    }
    assert.deepEqual(map.get(''), one)
  })

  it('of another kind is the value', () => {
    const map = fresh().map('m', { key: 'string', value: 'json' })
    map.set('a', { list: [1] })
    assert.deepEqual(
      map.view('a', (value) => value),
      { list: [1] },
    )
    let calls = 0
    assert.equal(
      map.view('b', () => ++calls),
      undefined,
    )
    assert.equal(calls, 0)
  })

  it('ends with its callback, and all that came from it', () => {
    const map = fresh().map('m', { key: 'i32', value: All })
    map.set(1, one)
    const kept: (() => unknown)[] = []
    map.view(1, (view) => {
      const { at, corners, colors } = view
      const corner = corners.at(0)
      kept.push(
        () => view.small,
        () => view.name,
        () => view.toObject(),
        () => at.x,
        () => corners.at(0).x,
        () => corner.x,
        () => colors.at(0),
      )
      for (const use of kept) assert.doesNotThrow(use)
    })
    for (const use of kept) assert.throws(use, ViewEndedError)
    const failing = (): never => {
      throw new Error('mine')
    }
    assert.throws(() => map.view(1, failing), /mine/)
    assert.throws(() => map.view(1, () => Promise.resolve()), ArgumentError)
    assert.throws(() => map.view(1, 5 as never), ArgumentError)
  })

  it('stays what it is when its entry is replaced meanwhile, and others that are inside of it', async () => {
    const machine = fresh()
    const map = machine.map('m', { key: 'i32', value: 'bytes' })
    map.set(1, new Uint8Array(100).fill(1))
    map.view(1, (outer) => {
      map.set(1, new Uint8Array(100).fill(2))
      for (let i = 0; i < 100; i++) map.set(2, new Uint8Array(100).fill(3))
      assert.equal(
        map.view(1, (inner) => inner.at(99)),
        2,
      )
      assert.equal(outer.at(99), 1)
    })
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
  })
})
