/** The kinds of values of sparse arrays: how they lie in memory, and their typed arrays. */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { checkRange, checkWord, refused } from '../machine/check.js'

/** What each kind's values are. */
export interface SparseValues {
  readonly i8: number
  readonly u8: number
  readonly i16: number
  readonly u16: number
  readonly i32: number
  readonly u32: number
  readonly f32: number
  readonly f64: number
  readonly u64: bigint
}
/** The numbers that a sparse array can hold. */
export type SparseKind = keyof SparseValues
/** The typed array with values of a kind. */
export interface SparseCopies {
  readonly i8: Int8Array
  readonly u8: Uint8Array
  readonly i16: Int16Array
  readonly u16: Uint16Array
  readonly i32: Int32Array
  readonly u32: Uint32Array
  readonly f32: Float32Array
  readonly f64: Float64Array
  readonly u64: BigUint64Array
}

export interface SparseCodec<Value> {
  /** In the space's memory, from 1 on: changing it changes what is stored. */
  readonly number: number
  readonly bytes: number
  readonly zero: Value
  /** At a byte address / `bytes`. */
  readonly load: (memory: Memory, index: number) => Value
  readonly store: (memory: Memory, index: number, value: Value) => void
  /** @throws ArgumentError for what the kind cannot have. */
  readonly check: (value: Value) => void
  /** A typed array over these bytes. */
  readonly over: (buffer: ArrayBuffer) => SparseCopies[SparseKind]
}

const integer = (low: number, high: number) => (value: number) => {
  checkRange('value', value, low, high)
}
const float = (value: number): void => {
  checkWord('value', value)
}
const wide = (value: bigint): void => {
  if (typeof value === 'bigint' && value >= 0n && value < 2n ** 64n) return
  throw refused('value', value, 'not a bigint from 0 to 2^64 - 1')
}

export const sparseKinds: { readonly [Kind in SparseKind]: SparseCodec<SparseValues[Kind]> } = {
  i8: {
    ...{ number: 1, bytes: 1, zero: 0, check: integer(-128, 127) },
    load: ({ bytes }, at) => mem.load8(bytes, at),
    store: ({ bytes }, at, value) => mem.store8(bytes, at, value),
    over: (buffer) => new Int8Array(buffer),
  },
  u8: {
    ...{ number: 2, bytes: 1, zero: 0, check: integer(0, 255) },
    load: ({ bytes }, at) => mem.loadU8(bytes, at),
    store: ({ bytes }, at, value) => mem.storeU8(bytes, at, value),
    over: (buffer) => new Uint8Array(buffer),
  },
  i16: {
    ...{ number: 3, bytes: 2, zero: 0, check: integer(-(2 ** 15), 2 ** 15 - 1) },
    load: ({ i16 }, at) => mem.load16(i16, at),
    store: ({ i16 }, at, value) => mem.store16(i16, at, value),
    over: (buffer) => new Int16Array(buffer),
  },
  u16: {
    ...{ number: 4, bytes: 2, zero: 0, check: integer(0, 2 ** 16 - 1) },
    load: ({ u16 }, at) => mem.loadU16(u16, at),
    store: ({ u16 }, at, value) => mem.storeU16(u16, at, value),
    over: (buffer) => new Uint16Array(buffer),
  },
  i32: {
    ...{ number: 5, bytes: 4, zero: 0, check: integer(-(2 ** 31), 2 ** 31 - 1) },
    load: ({ i32 }, at) => mem.load32(i32, at),
    store: ({ i32 }, at, value) => mem.store32(i32, at, value),
    over: (buffer) => new Int32Array(buffer),
  },
  u32: {
    ...{ number: 6, bytes: 4, zero: 0, check: integer(0, 2 ** 32 - 1) },
    load: ({ u32 }, at) => mem.loadU32(u32, at),
    store: ({ u32 }, at, value) => mem.storeU32(u32, at, value),
    over: (buffer) => new Uint32Array(buffer),
  },
  f32: {
    ...{ number: 7, bytes: 4, zero: 0, check: float },
    load: ({ f32 }, at) => mem.loadF32(f32, at),
    store: ({ f32 }, at, value) => mem.storeF32(f32, at, value),
    over: (buffer) => new Float32Array(buffer),
  },
  f64: {
    ...{ number: 8, bytes: 8, zero: 0, check: float },
    load: ({ f64 }, at) => mem.loadF64(f64, at),
    store: ({ f64 }, at, value) => mem.storeF64(f64, at, value),
    over: (buffer) => new Float64Array(buffer),
  },
  u64: {
    ...{ number: 9, bytes: 8, zero: 0n, check: wide },
    load: ({ u64 }, at) => mem.loadU64(u64, at),
    store: ({ u64 }, at, value) => mem.storeU64(u64, at, value),
    over: (buffer) => new BigUint64Array(buffer),
  },
}
export function sparseKindOf(number: number): SparseKind | undefined {
  const kinds = Object.keys(sparseKinds) as SparseKind[]
  return kinds.find((kind) => sparseKinds[kind].number === number)
}
