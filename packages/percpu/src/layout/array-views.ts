/**
 * The views that accessors give of array fields. Every index is checked: outside the array an ArgumentError is thrown
 * and nothing is read or written.
 *
 * Numbers lie at `base + index` in units of their view: element indices for numbers in the machine's byte order, byte
 * addresses for 8-bit and big-endian ones. As in the scalar properties (scalar-properties.ts), what a class closes over
 * is constant to the compiler, so `at` and `set` compile to the access and the check.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { ArgumentError } from '../errors.js'
import type { Scalar } from './types.js'

interface View<Element> extends Iterable<Element> {
  readonly length: number
  /** The element at `index`, which must be an integer from 0 to `length` - 1. */
  at(index: number): Element
}
/** A plain array of numbers. */
export interface ArrayView<Value> extends View<Value> {
  set(index: number, value: Value): void
  /** A private copy; each element is read once, not all at one moment. */
  toArray(): Value[]
}
/** An array of atomic words: `at` gives the cell. */
export type AtomicArrayView<Cell> = View<Cell>
/** An array of structs or of arrays: `at` gives the accessor or the inner array. */
export type StructArrayView<Element> = View<Element>

function outside(index: number, length: number): ArgumentError {
  return new ArgumentError(`index ${String(index)} is outside an array of ${String(length)} elements`, {
    index,
    length,
  })
}

type NumberArray<Value> = new (memory: Memory, base: number, length: number) => ArrayView<Value>

function numbers<Value, V>(
  view: (memory: Memory) => V,
  load: (view: V, index: number) => Value,
  store: (view: V, index: number, value: Value) => void,
  step: number,
): NumberArray<Value> {
  return class {
    declare readonly memory: Memory
    declare readonly base: number
    declare readonly length: number
    constructor(memory: Memory, base: number, length: number) {
      this.memory = memory
      this.base = base
      this.length = length
    }
    at(index: number): Value {
      if (index >>> 0 !== index || index >= this.length) throw outside(index, this.length)
      return load(view(this.memory), this.base + index * step)
    }
    set(index: number, value: Value): void {
      if (index >>> 0 !== index || index >= this.length) throw outside(index, this.length)
      store(view(this.memory), this.base + index * step, value)
    }
    toArray(): Value[] {
      return Array.from(this)
    }
    *[Symbol.iterator](): IterableIterator<Value> {
      for (let index = 0; index < this.length; index++) yield this.at(index)
    }
  }
}

const bytes = (memory: Memory): mem.BytesView => memory.bytes
const little = {
  u8: numbers(bytes, mem.loadU8, mem.storeU8, 1),
  i8: numbers(bytes, mem.load8, mem.store8, 1),
  u16: numbers((memory) => memory.u16, mem.loadU16, mem.storeU16, 1),
  i16: numbers((memory) => memory.i16, mem.load16, mem.store16, 1),
  u32: numbers((memory) => memory.u32, mem.loadU32, mem.storeU32, 1),
  i32: numbers((memory) => memory.i32, mem.load32, mem.store32, 1),
  u64: numbers((memory) => memory.u64, mem.loadU64, mem.storeU64, 1),
  f32: numbers((memory) => memory.f32, mem.loadF32, mem.storeF32, 1),
  f64: numbers((memory) => memory.f64, mem.loadF64, mem.storeF64, 1),
}
const bigEndian = {
  u8: little.u8,
  i8: little.i8,
  u16: numbers(bytes, mem.loadBigU16, mem.storeBigU16, 2),
  i16: numbers(bytes, mem.loadBig16, mem.storeBig16, 2),
  u32: numbers(bytes, mem.loadBigU32, mem.storeBigU32, 4),
  i32: numbers(bytes, mem.loadBig32, mem.storeBig32, 4),
  u64: numbers(bytes, mem.loadBigU64, mem.storeBigU64, 8),
  f32: numbers(bytes, mem.loadBigF32, mem.storeBigF32, 4),
  f64: numbers(bytes, mem.loadBigF64, mem.storeBigF64, 8),
}

/** The view class of an array of `scalar`. */
export function numberArrayOf(scalar: Scalar): NumberArray<number> | NumberArray<bigint> {
  return (scalar.big ? bigEndian : little)[scalar.name]
}

/** Bytes in one unit of `base` of {@link numberArrayOf}. */
export function unitOf(scalar: Scalar): number {
  return scalar.big ? 1 : scalar.size
}

/** An array whose elements are views themselves: atomic cells, structs, inner arrays. They are made as they are asked for. */
export class ViewArray<Element> implements View<Element> {
  declare readonly memory: Memory
  /** Byte address of element 0. */
  declare readonly address: number
  declare readonly length: number
  declare private readonly stride: number
  declare private readonly make: (memory: Memory, address: number) => Element
  constructor(
    memory: Memory,
    address: number,
    length: number,
    stride: number,
    make: (memory: Memory, address: number) => Element,
  ) {
    this.memory = memory
    this.address = address
    this.length = length
    this.stride = stride
    this.make = make
  }
  at(index: number): Element {
    if (index >>> 0 !== index || index >= this.length) throw outside(index, this.length)
    return this.make(this.memory, this.address + index * this.stride)
  }
  *[Symbol.iterator](): IterableIterator<Element> {
    for (let index = 0; index < this.length; index++) yield this.at(index)
  }
}
