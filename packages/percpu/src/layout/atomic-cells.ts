/**
 * Cells: the values of `atomic` fields. A cell is one word of an object, without plain access to
 * it.
 *
 * All operations are sequentially consistent. The read-modify-writes return the value before. They
 * cost as much as those of `Atomics`.
 */
import type { Memory, WaitResult } from '#mem'
import * as mem from '#mem'
import { AtomicAddress } from './addresses.js'
import type { AddressType, Scalar } from './types.js'
import { checkCountToWake, checkWaitOf, notA } from './values.js'
import { jsonAs, showAs } from '../inspect.js'

// Copied out of their module for the compiler: scalar-properties.ts says why.
const {
  addAtomic32,
  addAtomicU32,
  addAtomicU64,
  andAtomic32,
  andAtomicU32,
  andAtomicU64,
  compareExchangeAtomic32,
  compareExchangeAtomicU32,
  compareExchangeAtomicU64,
  exchangeAtomic32,
  exchangeAtomicU32,
  exchangeAtomicU64,
  loadAtomic32,
  loadAtomicU32,
  loadAtomicU64,
  notify32,
  orAtomic32,
  orAtomicU32,
  orAtomicU64,
  storeAtomic32,
  storeAtomicU32,
  storeAtomicU64,
  subAtomic32,
  subAtomicU32,
  subAtomicU64,
  wait32,
  waitAsync32,
} = mem

/** A signed 32-bit word; the only one that threads can wait on. */
export class AtomicI32 {
  static {
    showAs(this, (cell) => ({ value: cell.load() }))
    jsonAs(this, 'cell', (cell) => cell.load())
  }

  declare readonly memory: Memory
  /** 32-bit word index in the memory. */
  declare readonly index: number
  constructor(memory: Memory, index: number) {
    this.memory = memory
    this.index = index
  }
  /** Byte address in the memory, as `machine.cpus.park` takes it. */
  get address(): number {
    return this.index * 4
  }
  /** The value. */
  load(): number {
    return loadAtomic32(this.memory.i32, this.index)
  }
  /** Sets the value. */
  store(value: number): void {
    if (typeof value !== 'number') throw notA('number', value)
    storeAtomic32(this.memory.i32, this.index, value)
  }
  /** Adds; gives what was there. */
  add(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return addAtomic32(this.memory.i32, this.index, value)
  }
  /** Subtracts; gives what was there. */
  sub(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return subAtomic32(this.memory.i32, this.index, value)
  }
  /** Keeps the bits of `value`; gives what was there. */
  and(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return andAtomic32(this.memory.i32, this.index, value)
  }
  /** Sets the bits of `value`; gives what was there. */
  or(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return orAtomic32(this.memory.i32, this.index, value)
  }
  /** Sets the value; gives what was there. */
  exchange(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return exchangeAtomic32(this.memory.i32, this.index, value)
  }
  /** Sets the value if it is `expected`; gives what was there. */
  compareExchange(expected: number, value: number): number {
    if (typeof expected !== 'number') throw notA('number', expected)
    if (typeof value !== 'number') throw notA('number', value)
    return compareExchangeAtomic32(this.memory.i32, this.index, expected, value)
  }
  /**
   * Blocks this thread while the word is `value`, for at most `timeout` ms.
   *
   * @throws TypeError where blocking is forbidden.
   */
  wait(value: number, timeout?: number): WaitResult {
    checkWaitOf(value, timeout)
    return wait32(this.memory.i32, this.index, value, timeout)
  }
  /** As {@link wait} without blocking. @throws TypeError where there is no `Atomics.waitAsync`. */
  waitAsync(value: number, timeout?: number): ReturnType<typeof mem.waitAsync32> {
    checkWaitOf(value, timeout)
    return waitAsync32(this.memory.i32, this.index, value, timeout)
  }
  /** Wakes at most `count` waiting threads; returns how many. */
  notify(count?: number): number {
    checkCountToWake(count)
    return notify32(this.memory.i32, this.index, count)
  }
}

/** An unsigned 32-bit word. */
export class AtomicU32 {
  static {
    showAs(this, (cell) => ({ value: cell.load() }))
    jsonAs(this, 'cell', (cell) => cell.load())
  }

  declare readonly memory: Memory
  /** 32-bit word index in the memory. */
  declare readonly index: number
  constructor(memory: Memory, index: number) {
    this.memory = memory
    this.index = index
  }
  /** The value. */
  load(): number {
    return loadAtomicU32(this.memory.u32, this.index)
  }
  /** Sets the value. */
  store(value: number): void {
    if (typeof value !== 'number') throw notA('number', value)
    storeAtomicU32(this.memory.u32, this.index, value)
  }
  /** Adds; gives what was there. */
  add(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return addAtomicU32(this.memory.u32, this.index, value)
  }
  /** Subtracts; gives what was there. */
  sub(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return subAtomicU32(this.memory.u32, this.index, value)
  }
  /** Keeps the bits of `value`; gives what was there. */
  and(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return andAtomicU32(this.memory.u32, this.index, value)
  }
  /** Sets the bits of `value`; gives what was there. */
  or(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return orAtomicU32(this.memory.u32, this.index, value)
  }
  /** Sets the value; gives what was there. */
  exchange(value: number): number {
    if (typeof value !== 'number') throw notA('number', value)
    return exchangeAtomicU32(this.memory.u32, this.index, value)
  }
  /** Sets the value if it is `expected`; gives what was there. */
  compareExchange(expected: number, value: number): number {
    if (typeof expected !== 'number') throw notA('number', expected)
    if (typeof value !== 'number') throw notA('number', value)
    return compareExchangeAtomicU32(this.memory.u32, this.index, expected, value)
  }
}

/** An unsigned 64-bit word, as bigint. */
export class AtomicU64 {
  static {
    showAs(this, (cell) => ({ value: cell.load() }))
    jsonAs(this, 'cell', (cell) => cell.load())
  }

  declare readonly memory: Memory
  /** 64-bit word index in the memory. */
  declare readonly index: number
  constructor(memory: Memory, index: number) {
    this.memory = memory
    this.index = index
  }
  /** The value. */
  load(): bigint {
    return loadAtomicU64(this.memory.u64, this.index)
  }
  /** Sets the value. */
  store(value: bigint): void {
    if (typeof value !== 'bigint') throw notA('bigint', value)
    storeAtomicU64(this.memory.u64, this.index, value)
  }
  /** Adds; gives what was there. */
  add(value: bigint): bigint {
    if (typeof value !== 'bigint') throw notA('bigint', value)
    return addAtomicU64(this.memory.u64, this.index, value)
  }
  /** Subtracts; gives what was there. */
  sub(value: bigint): bigint {
    if (typeof value !== 'bigint') throw notA('bigint', value)
    return subAtomicU64(this.memory.u64, this.index, value)
  }
  /** Keeps the bits of `value`; gives what was there. */
  and(value: bigint): bigint {
    if (typeof value !== 'bigint') throw notA('bigint', value)
    return andAtomicU64(this.memory.u64, this.index, value)
  }
  /** Sets the bits of `value`; gives what was there. */
  or(value: bigint): bigint {
    if (typeof value !== 'bigint') throw notA('bigint', value)
    return orAtomicU64(this.memory.u64, this.index, value)
  }
  /** Sets the value; gives what was there. */
  exchange(value: bigint): bigint {
    if (typeof value !== 'bigint') throw notA('bigint', value)
    return exchangeAtomicU64(this.memory.u64, this.index, value)
  }
  /** Sets the value if it is `expected`; gives what was there. */
  compareExchange(expected: bigint, value: bigint): bigint {
    if (typeof expected !== 'bigint') throw notA('bigint', expected)
    if (typeof value !== 'bigint') throw notA('bigint', value)
    return compareExchangeAtomicU64(this.memory.u64, this.index, expected, value)
  }
}

/** A cell that is read-only: in a section, which could not take a write to it back. */
export class ReadonlyCell<Value> {
  static {
    showAs(this, (cell) => ({ value: cell.load() }))
    jsonAs(this, 'cell', (cell) => cell.load())
  }

  readonly #cell: { load(): Value }
  constructor(cell: { load(): Value }) {
    this.#cell = cell
  }
  /** The value. */
  load(): Value {
    // atomic: a load of a cell, as its user orders it.
    return this.#cell.load()
  }
}

/**
 * The class of the cells of an atomic number or address. Their `index` is the address / its size.
 */
export function cellClass(
  type: Scalar | AddressType,
): typeof AtomicI32 | typeof AtomicU32 | typeof AtomicU64 | typeof AtomicAddress {
  if (type.form === 'address') return AtomicAddress
  if (type.name === 'u64') return AtomicU64
  return type.name === 'i32' ? AtomicI32 : AtomicU32
}
