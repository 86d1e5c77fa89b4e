/**
 * Every function of `#mem` that accesses one word, beside its meaning: what it returns and leaves
 * behind, said with a DataView on private little-endian memory and with arithmetic on bigints.
 */
import fc from 'fast-check'
import * as mem from 'percpu/mem'
import type { Memory } from 'percpu/mem'

/** A function with its arguments taken apart. `Value` is number or bigint. */
export interface Operation<Value> {
  readonly name: string
  /** Bytes of the word; indices count words, except for `bytes`, where they count bytes. */
  readonly size: number
  /** Bytes an index counts. */
  readonly step: number
  readonly view: 'bytes' | 'i16' | 'u16' | 'i32' | 'u32' | 'u64' | 'f32' | 'f64'
  readonly value: fc.Arbitrary<Value>
  /** What the word holds. */
  readonly read: (words: DataView, address: number) => Value
  readonly run: (memory: Memory, index: number, first: Value, second: Value) => Value | undefined
  readonly model: (words: DataView, address: number, first: Value, second: Value) => Value | undefined
}

const anyNumber = fc.oneof(
  fc.integer(),
  fc.integer({ min: -2, max: 2 }),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }),
)
const anyInteger = fc.oneof(
  fc.integer(),
  fc.integer({ min: -2, max: 2 }),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
)
const anyFloat = fc.double({ noNaN: true })
const anyBigint = fc.oneof(fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }), fc.bigInt({ min: -2n, max: 2n }))

interface Plain<Value> {
  readonly name: string
  readonly view: Operation<Value>['view']
  readonly size: number
  readonly step?: number
  readonly value: fc.Arbitrary<Value>
  readonly load: (memory: Memory, index: number) => Value
  readonly store: (memory: Memory, index: number, value: Value) => void
  readonly read: (words: DataView, address: number) => Value
  readonly write: (words: DataView, address: number, value: Value) => void
}

function plain<Value>({
  name,
  size,
  step = size,
  view,
  value,
  load,
  store,
  read,
  write,
}: Plain<Value>): Operation<Value>[] {
  const shape = { size, step, view, value, read }
  return [
    { ...shape, name: `load${name}`, run: load, model: read },
    {
      ...shape,
      name: `store${name}`,
      run: (memory, index, first) => {
        store(memory, index, first)
        return undefined
      },
      model: (words, address, first) => {
        write(words, address, first)
        return undefined
      },
    },
  ]
}

interface Atomic<Value> {
  readonly name: string
  readonly view: Operation<Value>['view']
  readonly size: number
  readonly value: fc.Arbitrary<Value>
  readonly read: (words: DataView, address: number) => Value
  readonly write: (words: DataView, address: number, value: Value) => void
  /** The value that the word would hold after `value` were stored in it. */
  readonly wrap: (value: bigint) => Value
  readonly load: (memory: Memory, index: number) => Value
  readonly store: (memory: Memory, index: number, value: Value) => void
  readonly add: ReadModifyWrite<Value>
  readonly sub: ReadModifyWrite<Value>
  readonly and: ReadModifyWrite<Value>
  readonly or: ReadModifyWrite<Value>
  readonly exchange: ReadModifyWrite<Value>
  readonly compareExchange: (memory: Memory, index: number, expected: Value, value: Value) => Value
}
type ReadModifyWrite<Value> = (memory: Memory, index: number, value: Value) => Value

function atomic<Value extends number | bigint>(kind: Atomic<Value>): Operation<Value>[] {
  const { name, size, view, value, read, write, wrap } = kind
  const shape = { size, step: size, view, value, read }
  const update = (
    operation: string,
    run: ReadModifyWrite<Value>,
    change: (before: bigint, value: bigint) => bigint,
  ): Operation<Value> => ({
    ...shape,
    name: `${operation}Atomic${name}`,
    run,
    model: (words, address, first) => {
      const before = read(words, address)
      write(words, address, wrap(change(BigInt(before), BigInt(first))))
      return before
    },
  })
  return [
    ...plain({ ...shape, name: `Atomic${name}`, load: kind.load, store: kind.store, write }),
    update('add', kind.add, (before, change) => before + change),
    update('sub', kind.sub, (before, change) => before - change),
    update('and', kind.and, (before, mask) => before & mask),
    update('or', kind.or, (before, mask) => before | mask),
    update('exchange', kind.exchange, (_before, after) => after),
    {
      ...shape,
      name: `compareExchangeAtomic${name}`,
      run: kind.compareExchange,
      model: (words, address, expected, replacement) => {
        const before = read(words, address)
        if (before === wrap(BigInt(expected))) write(words, address, replacement)
        return before
      },
    },
  ]
}

export const numberOperations: readonly Operation<number>[] = [
  ...plain({
    name: '8',
    view: 'bytes',
    size: 1,
    value: anyNumber,
    load: (m, i) => mem.load8(m.bytes, i),
    store: (m, i, v) => mem.store8(m.bytes, i, v),
    read: (d, a) => d.getInt8(a),
    write: (d, a, v) => d.setInt8(a, v),
  }),
  ...plain({
    name: 'U8',
    view: 'bytes',
    size: 1,
    value: anyNumber,
    load: (m, i) => mem.loadU8(m.bytes, i),
    store: (m, i, v) => mem.storeU8(m.bytes, i, v),
    read: (d, a) => d.getUint8(a),
    write: (d, a, v) => d.setUint8(a, v),
  }),
  ...plain({
    name: '16',
    view: 'i16',
    size: 2,
    value: anyNumber,
    load: (m, i) => mem.load16(m.i16, i),
    store: (m, i, v) => mem.store16(m.i16, i, v),
    read: (d, a) => d.getInt16(a, true),
    write: (d, a, v) => d.setInt16(a, v, true),
  }),
  ...plain({
    name: 'U16',
    view: 'u16',
    size: 2,
    value: anyNumber,
    load: (m, i) => mem.loadU16(m.u16, i),
    store: (m, i, v) => mem.storeU16(m.u16, i, v),
    read: (d, a) => d.getUint16(a, true),
    write: (d, a, v) => d.setUint16(a, v, true),
  }),
  ...plain({
    name: '32',
    view: 'i32',
    size: 4,
    value: anyNumber,
    load: (m, i) => mem.load32(m.i32, i),
    store: (m, i, v) => mem.store32(m.i32, i, v),
    read: (d, a) => d.getInt32(a, true),
    write: (d, a, v) => d.setInt32(a, v, true),
  }),
  ...plain({
    name: 'U32',
    view: 'u32',
    size: 4,
    value: anyNumber,
    load: (m, i) => mem.loadU32(m.u32, i),
    store: (m, i, v) => mem.storeU32(m.u32, i, v),
    read: (d, a) => d.getUint32(a, true),
    write: (d, a, v) => d.setUint32(a, v, true),
  }),
  ...plain({
    name: 'F32',
    view: 'f32',
    size: 4,
    value: anyFloat,
    load: (m, i) => mem.loadF32(m.f32, i),
    store: (m, i, v) => mem.storeF32(m.f32, i, v),
    read: (d, a) => d.getFloat32(a, true),
    write: (d, a, v) => d.setFloat32(a, v, true),
  }),
  ...plain({
    name: 'F64',
    view: 'f64',
    size: 8,
    value: anyFloat,
    load: (m, i) => mem.loadF64(m.f64, i),
    store: (m, i, v) => mem.storeF64(m.f64, i, v),
    read: (d, a) => d.getFloat64(a, true),
    write: (d, a, v) => d.setFloat64(a, v, true),
  }),
  ...plain({
    name: 'Big16',
    view: 'bytes',
    size: 2,
    step: 1,
    value: anyNumber,
    load: (m, i) => mem.loadBig16(m.bytes, i),
    store: (m, i, v) => mem.storeBig16(m.bytes, i, v),
    read: (d, a) => d.getInt16(a),
    write: (d, a, v) => d.setInt16(a, v),
  }),
  ...plain({
    name: 'BigU16',
    view: 'bytes',
    size: 2,
    step: 1,
    value: anyNumber,
    load: (m, i) => mem.loadBigU16(m.bytes, i),
    store: (m, i, v) => mem.storeBigU16(m.bytes, i, v),
    read: (d, a) => d.getUint16(a),
    write: (d, a, v) => d.setUint16(a, v),
  }),
  ...plain({
    name: 'Big32',
    view: 'bytes',
    size: 4,
    step: 1,
    value: anyNumber,
    load: (m, i) => mem.loadBig32(m.bytes, i),
    store: (m, i, v) => mem.storeBig32(m.bytes, i, v),
    read: (d, a) => d.getInt32(a),
    write: (d, a, v) => d.setInt32(a, v),
  }),
  ...plain({
    name: 'BigU32',
    view: 'bytes',
    size: 4,
    step: 1,
    value: anyNumber,
    load: (m, i) => mem.loadBigU32(m.bytes, i),
    store: (m, i, v) => mem.storeBigU32(m.bytes, i, v),
    read: (d, a) => d.getUint32(a),
    write: (d, a, v) => d.setUint32(a, v),
  }),
  ...plain({
    name: 'BigF32',
    view: 'bytes',
    size: 4,
    step: 1,
    value: anyFloat,
    load: (m, i) => mem.loadBigF32(m.bytes, i),
    store: (m, i, v) => mem.storeBigF32(m.bytes, i, v),
    read: (d, a) => d.getFloat32(a),
    write: (d, a, v) => d.setFloat32(a, v),
  }),
  ...plain({
    name: 'BigF64',
    view: 'bytes',
    size: 8,
    step: 1,
    value: anyFloat,
    load: (m, i) => mem.loadBigF64(m.bytes, i),
    store: (m, i, v) => mem.storeBigF64(m.bytes, i, v),
    read: (d, a) => d.getFloat64(a),
    write: (d, a, v) => d.setFloat64(a, v),
  }),
  ...atomic({
    name: '32',
    view: 'i32',
    size: 4,
    value: anyInteger,
    read: (d, a) => d.getInt32(a, true),
    write: (d, a, v) => d.setInt32(a, v, true),
    wrap: (v) => Number(BigInt.asIntN(32, v)),
    load: (m, i) => mem.loadAtomic32(m.i32, i),
    store: (m, i, v) => mem.storeAtomic32(m.i32, i, v),
    add: (m, i, v) => mem.addAtomic32(m.i32, i, v),
    sub: (m, i, v) => mem.subAtomic32(m.i32, i, v),
    and: (m, i, v) => mem.andAtomic32(m.i32, i, v),
    or: (m, i, v) => mem.orAtomic32(m.i32, i, v),
    exchange: (m, i, v) => mem.exchangeAtomic32(m.i32, i, v),
    compareExchange: (m, i, e, v) => mem.compareExchangeAtomic32(m.i32, i, e, v),
  }),
  ...atomic({
    name: 'U32',
    view: 'u32',
    size: 4,
    value: anyInteger,
    read: (d, a) => d.getUint32(a, true),
    write: (d, a, v) => d.setUint32(a, v, true),
    wrap: (v) => Number(BigInt.asUintN(32, v)),
    load: (m, i) => mem.loadAtomicU32(m.u32, i),
    store: (m, i, v) => mem.storeAtomicU32(m.u32, i, v),
    add: (m, i, v) => mem.addAtomicU32(m.u32, i, v),
    sub: (m, i, v) => mem.subAtomicU32(m.u32, i, v),
    and: (m, i, v) => mem.andAtomicU32(m.u32, i, v),
    or: (m, i, v) => mem.orAtomicU32(m.u32, i, v),
    exchange: (m, i, v) => mem.exchangeAtomicU32(m.u32, i, v),
    compareExchange: (m, i, e, v) => mem.compareExchangeAtomicU32(m.u32, i, e, v),
  }),
]

export const bigintOperations: readonly Operation<bigint>[] = [
  ...plain({
    name: 'U64',
    view: 'u64',
    size: 8,
    value: anyBigint,
    load: (m, i) => mem.loadU64(m.u64, i),
    store: (m, i, v) => mem.storeU64(m.u64, i, v),
    read: (d, a) => d.getBigUint64(a, true),
    write: (d, a, v) => d.setBigUint64(a, v, true),
  }),
  ...plain({
    name: 'BigU64',
    view: 'bytes',
    size: 8,
    step: 1,
    value: anyBigint,
    load: (m, i) => mem.loadBigU64(m.bytes, i),
    store: (m, i, v) => mem.storeBigU64(m.bytes, i, v),
    read: (d, a) => d.getBigUint64(a),
    write: (d, a, v) => d.setBigUint64(a, v),
  }),
  ...atomic({
    name: 'U64',
    view: 'u64',
    size: 8,
    value: anyBigint,
    read: (d, a) => d.getBigUint64(a, true),
    write: (d, a, v) => d.setBigUint64(a, v, true),
    wrap: (v) => BigInt.asUintN(64, v),
    load: (m, i) => mem.loadAtomicU64(m.u64, i),
    store: (m, i, v) => mem.storeAtomicU64(m.u64, i, v),
    add: (m, i, v) => mem.addAtomicU64(m.u64, i, v),
    sub: (m, i, v) => mem.subAtomicU64(m.u64, i, v),
    and: (m, i, v) => mem.andAtomicU64(m.u64, i, v),
    or: (m, i, v) => mem.orAtomicU64(m.u64, i, v),
    exchange: (m, i, v) => mem.exchangeAtomicU64(m.u64, i, v),
    compareExchange: (m, i, e, v) => mem.compareExchangeAtomicU64(m.u64, i, e, v),
  }),
]

/** All of them, called with ones, for tests that do not look at values. */
export const allOperations: readonly {
  readonly name: string
  readonly view: string
  readonly size: number
  readonly step: number
  readonly run: (memory: Memory, index: number) => unknown
}[] = [
  ...numberOperations.map((operation) => ({
    ...operation,
    run: (memory: Memory, index: number) => operation.run(memory, index, 1, 1),
  })),
  ...bigintOperations.map((operation) => ({
    ...operation,
    run: (memory: Memory, index: number) => operation.run(memory, index, 1n, 1n),
  })),
]
