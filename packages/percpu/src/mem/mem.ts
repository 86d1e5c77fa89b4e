/**
 * The leaf module, imported as `#mem`: every access that percpu makes to shared memory is a call of
 * one of these.
 *
 * One small function per view kind and operation, so that each call site stays monomorphic and
 * inlines to the bare access. The order of an access is in the name of its function: `loadAtomic32`
 * is sequentially consistent, `load32` is plain. A tool that replaces this one module sees, delays
 * or interrupts every access the library makes.
 *
 *     Memory ── bytes    DataView       byte address       plain: 8-bit, and big-endian anywhere
 *            ├─ i16 u16  typed arrays   address / 2        plain
 *            ├─ i32 u32  typed arrays   address / 4        plain and atomic
 *            ├─ u64      typed array    address / 8        plain and atomic, as bigint
 *            └─ f32 f64  typed arrays   address / 4, / 8   plain
 *
 * The view types are opaque on purpose: `memory.i32[3]` does not compile outside this file.
 *
 * Indices are element indices of the view, addresses are bytes from the start of the memory. An 8
 * GiB memory has 2^31 32-bit words, so a word index always fits a machine integer where a byte
 * address does not.
 *
 * In the hottest loops, copy a function to a local constant first (`const { load32 } = mem`):
 * engines read an imported binding anew at each call, which costs about as much as the access.
 *
 * Cost against the bare typed array: see "mem" in docs/benchmarks.md.
 * What it does not do: no bounds check beyond the engine's own (outside the memory a typed-array
 * load gives `undefined`, a plain store is ignored, `bytes` and atomic accesses throw a
 * RangeError). Callers check what they take from users.
 */

import { hostWait, type WaitResult } from './intercept-waits.js'

declare const kind: unique symbol
interface View<Kind extends string> {
  readonly [kind]: Kind
}
/** Byte-addressed view: 8-bit and big-endian accesses. */
export type BytesView = View<'bytes'>
/** Signed 16-bit elements, by their index. */
export type I16View = View<'i16'>
/** Unsigned 16-bit elements, by their index. */
export type U16View = View<'u16'>
/** Signed 32-bit elements, by their index. */
export type I32View = View<'i32'>
/** Unsigned 32-bit elements, by their index. */
export type U32View = View<'u32'>
/** Unsigned 64-bit elements, by their index. */
export type U64View = View<'u64'>
/** 32-bit floating-point elements, by their index. */
export type F32View = View<'f32'>
/** 64-bit floating-point elements, by their index. */
export type F64View = View<'f64'>

/**
 * A shared buffer and its views. One per thread and machine; all accessors of that thread read
 * through it.
 */
export interface Memory {
  readonly buffer: SharedArrayBuffer
  /** Size in bytes; a multiple of 8. */
  readonly byteLength: number
  /** Bytes at the start in which no object lies: the header page of a machine, 0 otherwise. */
  readonly reserved: number
  readonly bytes: BytesView
  readonly i16: I16View
  readonly u16: U16View
  readonly i32: I32View
  readonly u32: U32View
  readonly u64: U64View
  readonly f32: F32View
  readonly f64: F64View
}

const viewNames = ['bytes', 'i16', 'u16', 'i32', 'u32', 'u64', 'f32', 'f64'] as const

/**
 * Allocates a fixed shared buffer (a growable one is far slower to access). The OS commits its
 * pages at first touch.
 */
export function createBuffer(byteLength: number): SharedArrayBuffer {
  return new SharedArrayBuffer(byteLength)
}

/**
 * Makes the views of `buffer`, whose length must be a multiple of 8; no object lies in its first
 * `reserved` bytes.
 */
export function openMemory(buffer: SharedArrayBuffer, reserved = 0): Memory {
  const views = {
    bytes: new DataView(buffer),
    i16: new Int16Array(buffer),
    u16: new Uint16Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u64: new BigUint64Array(buffer),
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
  }
  const { byteLength } = buffer
  return { __proto__: shown, buffer, byteLength, reserved, ...views, unsendable } as unknown as Memory
}

/** Other views of the same memory, which can be taken away on their own. */
export function reopenMemory({ buffer, reserved }: Memory): Memory {
  return openMemory(buffer, reserved)
}

/** How a memory shows itself in logs, alone or in what holds it: not each byte. */
const shown = {
  toJSON(this: Memory): object {
    return { byteLength: this.byteLength }
  },
  [Symbol.for('nodejs.util.inspect.custom')]: showMemory,
  [Symbol.for('Deno.customInspect')]: showMemory,
}
function showMemory(this: Memory): string {
  return `Memory { byteLength: ${this.byteLength} }`
}
/** Lets the host refuse to send what holds a memory, an accessor too. Its text is in the error. */
const unsendable = Symbol('an object in the memory of a machine (send machine.handle, and its address)')

/** Whether both are views of one buffer. */
export function isSameMemory(one: Memory, other: Memory): boolean {
  return one.buffer === other.buffer
}

/**
 * Takes the views away: from now on every use of `memory` throws what `makeError` returns, in every
 * accessor that goes through it, and nothing is written. Cannot be undone.
 */
export function poisonMemory(memory: Memory, makeError: () => Error): void {
  for (const name of [...viewNames, 'buffer'] as const) {
    Object.defineProperty(memory, name, {
      configurable: false,
      enumerable: true,
      get(): never {
        throw makeError()
      },
    })
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Plain accesses. Unordered: for words of the kinds owner, locked, published and racy
// (docs/memory-model.md).

/** Loads a signed 8-bit integer, plainly. */
export function load8(view: BytesView, address: number): number {
  return (view as unknown as DataView).getInt8(address)
}
/** Stores a signed 8-bit integer, plainly. */
export function store8(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setInt8(address, value)
}
/** Loads an unsigned 8-bit integer, plainly. */
export function loadU8(view: BytesView, address: number): number {
  return (view as unknown as DataView).getUint8(address)
}
/** Stores an unsigned 8-bit integer, plainly. */
export function storeU8(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setUint8(address, value)
}
/** Loads a signed 16-bit integer, plainly. */
export function load16(view: I16View, index: number): number {
  return (view as unknown as Int16Array)[index] as number
}
/** Stores a signed 16-bit integer, plainly. */
export function store16(view: I16View, index: number, value: number): void {
  ;(view as unknown as Int16Array)[index] = value
}
/** Loads an unsigned 16-bit integer, plainly. */
export function loadU16(view: U16View, index: number): number {
  return (view as unknown as Uint16Array)[index] as number
}
/** Stores an unsigned 16-bit integer, plainly. */
export function storeU16(view: U16View, index: number, value: number): void {
  ;(view as unknown as Uint16Array)[index] = value
}
/** Loads a signed 32-bit integer, plainly. */
export function load32(view: I32View, index: number): number {
  return (view as unknown as Int32Array)[index] as number
}
/** Stores a signed 32-bit integer, plainly. */
export function store32(view: I32View, index: number, value: number): void {
  ;(view as unknown as Int32Array)[index] = value
}
/** Loads an unsigned 32-bit integer, plainly. */
export function loadU32(view: U32View, index: number): number {
  return (view as unknown as Uint32Array)[index] as number
}
/** Stores an unsigned 32-bit integer, plainly. */
export function storeU32(view: U32View, index: number, value: number): void {
  ;(view as unknown as Uint32Array)[index] = value
}
/** Loads an unsigned 64-bit integer, plainly. */
export function loadU64(view: U64View, index: number): bigint {
  return (view as unknown as BigUint64Array)[index] as bigint
}
/** Stores an unsigned 64-bit integer, plainly. */
export function storeU64(view: U64View, index: number, value: bigint): void {
  ;(view as unknown as BigUint64Array)[index] = value
}
/** Loads a 32-bit floating-point number, plainly. */
export function loadF32(view: F32View, index: number): number {
  return (view as unknown as Float32Array)[index] as number
}
/** Stores a 32-bit floating-point number, plainly. */
export function storeF32(view: F32View, index: number, value: number): void {
  ;(view as unknown as Float32Array)[index] = value
}
/** Loads a 64-bit floating-point number, plainly. */
export function loadF64(view: F64View, index: number): number {
  return (view as unknown as Float64Array)[index] as number
}
/** Stores a 64-bit floating-point number, plainly. */
export function storeF64(view: F64View, index: number, value: number): void {
  ;(view as unknown as Float64Array)[index] = value
}

// Plain big-endian accesses, by byte address.

/** Loads a signed 16-bit integer, most significant byte first, plainly. */
export function loadBig16(view: BytesView, address: number): number {
  return (view as unknown as DataView).getInt16(address)
}
/** Stores a signed 16-bit integer, most significant byte first, plainly. */
export function storeBig16(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setInt16(address, value)
}
/** Loads an unsigned 16-bit integer, most significant byte first, plainly. */
export function loadBigU16(view: BytesView, address: number): number {
  return (view as unknown as DataView).getUint16(address)
}
/** Stores an unsigned 16-bit integer, most significant byte first, plainly. */
export function storeBigU16(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setUint16(address, value)
}
/** Loads a signed 32-bit integer, most significant byte first, plainly. */
export function loadBig32(view: BytesView, address: number): number {
  return (view as unknown as DataView).getInt32(address)
}
/** Stores a signed 32-bit integer, most significant byte first, plainly. */
export function storeBig32(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setInt32(address, value)
}
/** Loads an unsigned 32-bit integer, most significant byte first, plainly. */
export function loadBigU32(view: BytesView, address: number): number {
  return (view as unknown as DataView).getUint32(address)
}
/** Stores an unsigned 32-bit integer, most significant byte first, plainly. */
export function storeBigU32(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setUint32(address, value)
}
/** Loads an unsigned 64-bit integer, most significant byte first, plainly. */
export function loadBigU64(view: BytesView, address: number): bigint {
  return (view as unknown as DataView).getBigUint64(address)
}
/** Stores an unsigned 64-bit integer, most significant byte first, plainly. */
export function storeBigU64(view: BytesView, address: number, value: bigint): void {
  ;(view as unknown as DataView).setBigUint64(address, value)
}
/** Loads a 32-bit floating-point number, most significant byte first, plainly. */
export function loadBigF32(view: BytesView, address: number): number {
  return (view as unknown as DataView).getFloat32(address)
}
/** Stores a 32-bit floating-point number, most significant byte first, plainly. */
export function storeBigF32(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setFloat32(address, value)
}
/** Loads a 64-bit floating-point number, most significant byte first, plainly. */
export function loadBigF64(view: BytesView, address: number): number {
  return (view as unknown as DataView).getFloat64(address)
}
/** Stores a 64-bit floating-point number, most significant byte first, plainly. */
export function storeBigF64(view: BytesView, address: number, value: number): void {
  ;(view as unknown as DataView).setFloat64(address, value)
}

// ---------------------------------------------------------------------------------------------------------------------
// Atomic accesses: sequentially consistent, for words of the kind atomic. Read-modify-writes return
// the value before.

/** Loads a signed 32-bit integer atomically. */
export function loadAtomic32(view: I32View, index: number): number {
  return Atomics.load(view as unknown as Int32Array, index)
}
/** Stores a signed 32-bit integer atomically. */
export function storeAtomic32(view: I32View, index: number, value: number): void {
  Atomics.store(view as unknown as Int32Array, index, value)
}
/** Adds to a signed 32-bit integer atomically; gives what was there. */
export function addAtomic32(view: I32View, index: number, value: number): number {
  return Atomics.add(view as unknown as Int32Array, index, value)
}
/** Subtracts from a signed 32-bit integer atomically; gives what was there. */
export function subAtomic32(view: I32View, index: number, value: number): number {
  return Atomics.sub(view as unknown as Int32Array, index, value)
}
/** Keeps the bits of `value` in a signed 32-bit integer atomically; gives what was there. */
export function andAtomic32(view: I32View, index: number, value: number): number {
  return Atomics.and(view as unknown as Int32Array, index, value)
}
/** Sets the bits of `value` in a signed 32-bit integer atomically; gives what was there. */
export function orAtomic32(view: I32View, index: number, value: number): number {
  return Atomics.or(view as unknown as Int32Array, index, value)
}
/** Stores into a signed 32-bit integer atomically; gives what was there. */
export function exchangeAtomic32(view: I32View, index: number, value: number): number {
  return Atomics.exchange(view as unknown as Int32Array, index, value)
}
/** Stores a signed 32-bit integer atomically if `expected` is there; gives what was there. */
export function compareExchangeAtomic32(
  view: I32View,
  index: number,
  expected: number,
  value: number,
): number {
  return Atomics.compareExchange(view as unknown as Int32Array, index, expected, value)
}
/** Loads an unsigned 32-bit integer atomically. */
export function loadAtomicU32(view: U32View, index: number): number {
  return Atomics.load(view as unknown as Uint32Array, index)
}
/** Stores an unsigned 32-bit integer atomically. */
export function storeAtomicU32(view: U32View, index: number, value: number): void {
  Atomics.store(view as unknown as Uint32Array, index, value)
}
/** Adds to an unsigned 32-bit integer atomically; gives what was there. */
export function addAtomicU32(view: U32View, index: number, value: number): number {
  return Atomics.add(view as unknown as Uint32Array, index, value)
}
/** Subtracts from an unsigned 32-bit integer atomically; gives what was there. */
export function subAtomicU32(view: U32View, index: number, value: number): number {
  return Atomics.sub(view as unknown as Uint32Array, index, value)
}
/** Keeps the bits of `value` in an unsigned 32-bit integer atomically; gives what was there. */
export function andAtomicU32(view: U32View, index: number, value: number): number {
  return Atomics.and(view as unknown as Uint32Array, index, value)
}
/** Sets the bits of `value` in an unsigned 32-bit integer atomically; gives what was there. */
export function orAtomicU32(view: U32View, index: number, value: number): number {
  return Atomics.or(view as unknown as Uint32Array, index, value)
}
/** Stores into an unsigned 32-bit integer atomically; gives what was there. */
export function exchangeAtomicU32(view: U32View, index: number, value: number): number {
  return Atomics.exchange(view as unknown as Uint32Array, index, value)
}
/** Stores an unsigned 32-bit integer atomically if `expected` is there; gives what was there. */
export function compareExchangeAtomicU32(
  view: U32View,
  index: number,
  expected: number,
  value: number,
): number {
  return Atomics.compareExchange(view as unknown as Uint32Array, index, expected, value)
}
/** Loads an unsigned 64-bit integer atomically. */
export function loadAtomicU64(view: U64View, index: number): bigint {
  return Atomics.load(view as unknown as BigUint64Array, index)
}
/** Stores an unsigned 64-bit integer atomically. */
export function storeAtomicU64(view: U64View, index: number, value: bigint): void {
  Atomics.store(view as unknown as BigUint64Array, index, value)
}
/** Adds to an unsigned 64-bit integer atomically; gives what was there. */
export function addAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return Atomics.add(view as unknown as BigUint64Array, index, value)
}
/** Subtracts from an unsigned 64-bit integer atomically; gives what was there. */
export function subAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return Atomics.sub(view as unknown as BigUint64Array, index, value)
}
/** Keeps the bits of `value` in an unsigned 64-bit integer atomically; gives what was there. */
export function andAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return Atomics.and(view as unknown as BigUint64Array, index, value)
}
/** Sets the bits of `value` in an unsigned 64-bit integer atomically; gives what was there. */
export function orAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return Atomics.or(view as unknown as BigUint64Array, index, value)
}
/** Stores into an unsigned 64-bit integer atomically; gives what was there. */
export function exchangeAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return Atomics.exchange(view as unknown as BigUint64Array, index, value)
}
/** Stores an unsigned 64-bit integer atomically if `expected` is there; gives what was there. */
export function compareExchangeAtomicU64(
  view: U64View,
  index: number,
  expected: bigint,
  value: bigint,
): bigint {
  return Atomics.compareExchange(view as unknown as BigUint64Array, index, expected, value)
}

// ---------------------------------------------------------------------------------------------------------------------
// Waiting and waking.

export type { WaitResult }

/**
 * Blocks this thread while `view[index] === value`, for at most `timeout` ms. Throws where blocking
 * is forbidden.
 */
export function wait32(view: I32View, index: number, value: number, timeout = Infinity): WaitResult {
  return hostWait(view as unknown as Int32Array, index, value, timeout)
}

export { interceptWaits } from './intercept-waits.js'
/** Whether {@link waitAsync32} works in this engine. */
export const canWaitAsync: boolean = typeof Atomics.waitAsync === 'function'
/** As {@link wait32}, without blocking: a result at once, or a promise of it. */
export function waitAsync32(
  view: I32View,
  index: number,
  value: number,
  timeout = Infinity,
):
  | { readonly async: false; readonly value: WaitResult }
  | { readonly async: true; readonly value: Promise<WaitResult> } {
  return Atomics.waitAsync(view as unknown as Int32Array, index, value, timeout)
}
/** Wakes at most `count` threads (default: all) that wait on the word; returns how many. */
export function notify32(view: I32View, index: number, count?: number): number {
  return Atomics.notify(view as unknown as Int32Array, index, count)
}
/**
 * Busy waiting, for at most `tries` tries; returns whether the predicate held. `predicate` must be
 * pure: it may only load. The one loop that an explorer can treat as "blocked until it holds".
 */
export function awaitUntil(predicate: () => boolean, tries = Infinity): boolean {
  for (let i = 0; i < tries; i++) {
    if (predicate()) return true
    pause()
  }
  return false
}
const pause: () => void = (Atomics as { pause?: () => void }).pause ?? (() => undefined)

// ---------------------------------------------------------------------------------------------------------------------
// Ranges of bytes, plain. A view of the range is made for each call: for tables and strings, not
// for single words.

/** Sets `length` bytes from `address` to `value`. */
export function fillBytes(memory: Memory, address: number, length: number, value: number): void {
  new Uint8Array(memory.buffer, address, length).fill(value)
}
/** Copies private bytes into shared memory. */
export function copyIn(memory: Memory, address: number, bytes: Uint8Array): void {
  new Uint8Array(memory.buffer, address, bytes.length).set(bytes)
}
/**
 * Copies shared bytes into private memory, where they may be decoded (decoding shared bytes can
 * crash Node 20).
 */
export function copyOut(memory: Memory, address: number, length: number): Uint8Array {
  return new Uint8Array(memory.buffer, address, length).slice()
}
