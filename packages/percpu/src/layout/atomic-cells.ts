/**
 * One atomic word of an object: what the accessor of an `atomic` field gives. There is no plain access to it.
 *
 * All operations are sequentially consistent; the read-modify-writes return the value before. Cost: that of `Atomics`.
 */
import type { Memory, WaitResult } from '#mem'
import * as mem from '#mem'

/** A signed 32-bit word; the only one that threads can wait on. */
export class AtomicI32 {
  declare readonly memory: Memory
  /** 32-bit word index in the memory. */
  declare readonly index: number
  constructor(memory: Memory, index: number) {
    this.memory = memory
    this.index = index
  }
  load(): number {
    return mem.loadAtomic32(this.memory.i32, this.index)
  }
  store(value: number): void {
    mem.storeAtomic32(this.memory.i32, this.index, value)
  }
  add(value: number): number {
    return mem.addAtomic32(this.memory.i32, this.index, value)
  }
  sub(value: number): number {
    return mem.subAtomic32(this.memory.i32, this.index, value)
  }
  and(value: number): number {
    return mem.andAtomic32(this.memory.i32, this.index, value)
  }
  or(value: number): number {
    return mem.orAtomic32(this.memory.i32, this.index, value)
  }
  exchange(value: number): number {
    return mem.exchangeAtomic32(this.memory.i32, this.index, value)
  }
  compareExchange(expected: number, value: number): number {
    return mem.compareExchangeAtomic32(this.memory.i32, this.index, expected, value)
  }
  /** Blocks this thread while the word is `value`, for at most `timeout` ms. Throws where blocking is forbidden. */
  wait(value: number, timeout?: number): WaitResult {
    return mem.wait32(this.memory.i32, this.index, value, timeout)
  }
  /** As {@link wait} without blocking; only where `canWaitAsync`. */
  waitAsync(value: number, timeout?: number): ReturnType<typeof mem.waitAsync32> {
    return mem.waitAsync32(this.memory.i32, this.index, value, timeout)
  }
  /** Wakes at most `count` waiting threads; returns how many. */
  notify(count?: number): number {
    return mem.notify32(this.memory.i32, this.index, count)
  }
}

/** An unsigned 32-bit word. */
export class AtomicU32 {
  declare readonly memory: Memory
  /** 32-bit word index in the memory. */
  declare readonly index: number
  constructor(memory: Memory, index: number) {
    this.memory = memory
    this.index = index
  }
  load(): number {
    return mem.loadAtomicU32(this.memory.u32, this.index)
  }
  store(value: number): void {
    mem.storeAtomicU32(this.memory.u32, this.index, value)
  }
  add(value: number): number {
    return mem.addAtomicU32(this.memory.u32, this.index, value)
  }
  sub(value: number): number {
    return mem.subAtomicU32(this.memory.u32, this.index, value)
  }
  and(value: number): number {
    return mem.andAtomicU32(this.memory.u32, this.index, value)
  }
  or(value: number): number {
    return mem.orAtomicU32(this.memory.u32, this.index, value)
  }
  exchange(value: number): number {
    return mem.exchangeAtomicU32(this.memory.u32, this.index, value)
  }
  compareExchange(expected: number, value: number): number {
    return mem.compareExchangeAtomicU32(this.memory.u32, this.index, expected, value)
  }
}

/** An unsigned 64-bit word, as bigint. */
export class AtomicU64 {
  declare readonly memory: Memory
  /** 64-bit word index in the memory. */
  declare readonly index: number
  constructor(memory: Memory, index: number) {
    this.memory = memory
    this.index = index
  }
  load(): bigint {
    return mem.loadAtomicU64(this.memory.u64, this.index)
  }
  store(value: bigint): void {
    mem.storeAtomicU64(this.memory.u64, this.index, value)
  }
  add(value: bigint): bigint {
    return mem.addAtomicU64(this.memory.u64, this.index, value)
  }
  sub(value: bigint): bigint {
    return mem.subAtomicU64(this.memory.u64, this.index, value)
  }
  and(value: bigint): bigint {
    return mem.andAtomicU64(this.memory.u64, this.index, value)
  }
  or(value: bigint): bigint {
    return mem.orAtomicU64(this.memory.u64, this.index, value)
  }
  exchange(value: bigint): bigint {
    return mem.exchangeAtomicU64(this.memory.u64, this.index, value)
  }
  compareExchange(expected: bigint, value: bigint): bigint {
    return mem.compareExchangeAtomicU64(this.memory.u64, this.index, expected, value)
  }
}

/** The cell of an atomic scalar at a byte address that is a multiple of its size. */
export function atomicCell(
  memory: Memory,
  scalar: string,
  address: number,
): AtomicI32 | AtomicU32 | AtomicU64 {
  if (scalar === 'u64') return new AtomicU64(memory, address / 8)
  return scalar === 'i32' ? new AtomicI32(memory, address / 4) : new AtomicU32(memory, address / 4)
}
