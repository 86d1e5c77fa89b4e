/**
 * The lab's `#mem`: the functions of the library's. Each is a step of the CPU whose body is
 * running. Outside of bodies, in set-up and checks, each does at once what the library's does.
 *
 * litmus/run.ts does not compile if a function is missing here, or has another signature.
 */
import type {
  BytesView,
  F32View,
  F64View,
  I16View,
  I32View,
  Memory,
  U16View,
  U32View,
  U64View,
  WaitResult,
} from 'percpu/mem'
import { access } from '../engine/hook.js'
import * as op from '../engine/ops.js'
import * as format from '../engine/formats.js'
import { openViews } from '../engine/views.js'
import { notify, untilTrue, wait, waitAsync } from '../engine/waiting.js'

export type {
  BytesView,
  F32View,
  F64View,
  I16View,
  I32View,
  Memory,
  U16View,
  U32View,
  U64View,
  WaitResult,
} from 'percpu/mem'

export function createBuffer(byteLength: number): SharedArrayBuffer {
  return new SharedArrayBuffer(byteLength)
}

export function openMemory(buffer: SharedArrayBuffer, reserved = 0): Memory {
  return { ...openViews(buffer), reserved } as unknown as Memory
}

export function reopenMemory({ buffer, reserved }: Memory): Memory {
  return openMemory(buffer, reserved)
}

const properties = ['bytes', 'i16', 'u16', 'i32', 'u32', 'u64', 'f32', 'f64', 'buffer'] as const

export function isSameMemory(one: Memory, other: Memory): boolean {
  return one.buffer === other.buffer
}

export function poisonMemory(memory: Memory, makeError: () => Error): void {
  for (const name of properties) {
    Object.defineProperty(memory, name, {
      enumerable: true,
      get(): never {
        throw makeError()
      },
    })
  }
}

// Plain accesses.

export function load8(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.I8) as number
}
export function store8(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.I8)
}
export function loadU8(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.U8) as number
}
export function storeU8(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.U8)
}
export function load16(view: I16View, index: number): number {
  return access(op.LOAD, view, index, undefined, undefined) as number
}
export function store16(view: I16View, index: number, value: number): void {
  access(op.STORE, view, index, value, undefined)
}
export function loadU16(view: U16View, index: number): number {
  return access(op.LOAD, view, index, undefined, undefined) as number
}
export function storeU16(view: U16View, index: number, value: number): void {
  access(op.STORE, view, index, value, undefined)
}
export function load32(view: I32View, index: number): number {
  return access(op.LOAD, view, index, undefined, undefined) as number
}
export function store32(view: I32View, index: number, value: number): void {
  access(op.STORE, view, index, value, undefined)
}
export function loadU32(view: U32View, index: number): number {
  return access(op.LOAD, view, index, undefined, undefined) as number
}
export function storeU32(view: U32View, index: number, value: number): void {
  access(op.STORE, view, index, value, undefined)
}
export function loadU64(view: U64View, index: number): bigint {
  return access(op.LOAD, view, index, undefined, undefined) as bigint
}
export function storeU64(view: U64View, index: number, value: bigint): void {
  access(op.STORE, view, index, value, undefined)
}
export function loadF32(view: F32View, index: number): number {
  return access(op.LOAD, view, index, undefined, undefined) as number
}
export function storeF32(view: F32View, index: number, value: number): void {
  access(op.STORE, view, index, value, undefined)
}
export function loadF64(view: F64View, index: number): number {
  return access(op.LOAD, view, index, undefined, undefined) as number
}
export function storeF64(view: F64View, index: number, value: number): void {
  access(op.STORE, view, index, value, undefined)
}
export function loadBig16(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.I16_BIG) as number
}
export function storeBig16(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.I16_BIG)
}
export function loadBigU16(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.U16_BIG) as number
}
export function storeBigU16(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.U16_BIG)
}
export function loadBig32(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.I32_BIG) as number
}
export function storeBig32(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.I32_BIG)
}
export function loadBigU32(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.U32_BIG) as number
}
export function storeBigU32(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.U32_BIG)
}
export function loadBigU64(view: BytesView, address: number): bigint {
  return access(op.LOAD, view, address, undefined, format.U64_BIG) as bigint
}
export function storeBigU64(view: BytesView, address: number, value: bigint): void {
  access(op.STORE, view, address, value, format.U64_BIG)
}
export function loadBigF32(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.F32_BIG) as number
}
export function storeBigF32(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.F32_BIG)
}
export function loadBigF64(view: BytesView, address: number): number {
  return access(op.LOAD, view, address, undefined, format.F64_BIG) as number
}
export function storeBigF64(view: BytesView, address: number, value: number): void {
  access(op.STORE, view, address, value, format.F64_BIG)
}

// Atomic accesses.

export function loadAtomic32(view: I32View, index: number): number {
  return access(op.ATOMIC | op.LOAD, view, index, undefined, undefined) as number
}
export function storeAtomic32(view: I32View, index: number, value: number): void {
  access(op.ATOMIC | op.STORE, view, index, value, undefined)
}
export function addAtomic32(view: I32View, index: number, value: number): number {
  return access(op.ATOMIC | op.ADD, view, index, value, undefined) as number
}
export function subAtomic32(view: I32View, index: number, value: number): number {
  return access(op.ATOMIC | op.SUB, view, index, value, undefined) as number
}
export function andAtomic32(view: I32View, index: number, value: number): number {
  return access(op.ATOMIC | op.AND, view, index, value, undefined) as number
}
export function orAtomic32(view: I32View, index: number, value: number): number {
  return access(op.ATOMIC | op.OR, view, index, value, undefined) as number
}
export function exchangeAtomic32(view: I32View, index: number, value: number): number {
  return access(op.ATOMIC | op.EXCHANGE, view, index, value, undefined) as number
}
export function compareExchangeAtomic32(
  view: I32View,
  index: number,
  expected: number,
  value: number,
): number {
  return access(op.ATOMIC | op.COMPARE_EXCHANGE, view, index, expected, value) as number
}
export function loadAtomicU32(view: U32View, index: number): number {
  return access(op.ATOMIC | op.LOAD, view, index, undefined, undefined) as number
}
export function storeAtomicU32(view: U32View, index: number, value: number): void {
  access(op.ATOMIC | op.STORE, view, index, value, undefined)
}
export function addAtomicU32(view: U32View, index: number, value: number): number {
  return access(op.ATOMIC | op.ADD, view, index, value, undefined) as number
}
export function subAtomicU32(view: U32View, index: number, value: number): number {
  return access(op.ATOMIC | op.SUB, view, index, value, undefined) as number
}
export function andAtomicU32(view: U32View, index: number, value: number): number {
  return access(op.ATOMIC | op.AND, view, index, value, undefined) as number
}
export function orAtomicU32(view: U32View, index: number, value: number): number {
  return access(op.ATOMIC | op.OR, view, index, value, undefined) as number
}
export function exchangeAtomicU32(view: U32View, index: number, value: number): number {
  return access(op.ATOMIC | op.EXCHANGE, view, index, value, undefined) as number
}
export function compareExchangeAtomicU32(
  view: U32View,
  index: number,
  expected: number,
  value: number,
): number {
  return access(op.ATOMIC | op.COMPARE_EXCHANGE, view, index, expected, value) as number
}
export function loadAtomicU64(view: U64View, index: number): bigint {
  return access(op.ATOMIC | op.LOAD, view, index, undefined, undefined) as bigint
}
export function storeAtomicU64(view: U64View, index: number, value: bigint): void {
  access(op.ATOMIC | op.STORE, view, index, value, undefined)
}
export function addAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return access(op.ATOMIC | op.ADD, view, index, value, undefined) as bigint
}
export function subAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return access(op.ATOMIC | op.SUB, view, index, value, undefined) as bigint
}
export function andAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return access(op.ATOMIC | op.AND, view, index, value, undefined) as bigint
}
export function orAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return access(op.ATOMIC | op.OR, view, index, value, undefined) as bigint
}
export function exchangeAtomicU64(view: U64View, index: number, value: bigint): bigint {
  return access(op.ATOMIC | op.EXCHANGE, view, index, value, undefined) as bigint
}
export function compareExchangeAtomicU64(
  view: U64View,
  index: number,
  expected: bigint,
  value: bigint,
): bigint {
  return access(op.ATOMIC | op.COMPARE_EXCHANGE, view, index, expected, value) as bigint
}

// Waiting and waking.

export function wait32(view: I32View, index: number, value: number, timeout = Infinity): WaitResult {
  return wait(view, index, value, timeout)
}
/** The CPUs of the lab share a thread, whose own waits are nobody's. */
export function interceptWaits(): () => void {
  return () => undefined
}
export const canWaitAsync: boolean = true
export function waitAsync32(
  view: I32View,
  index: number,
  value: number,
  timeout = Infinity,
):
  | { readonly async: false; readonly value: WaitResult }
  | { readonly async: true; readonly value: Promise<WaitResult> } {
  return waitAsync(view, index, value, timeout)
}
export function notify32(view: I32View, index: number, count?: number): number {
  return notify(view, index, count)
}
export function awaitUntil(predicate: () => boolean, tries = Infinity): boolean {
  return untilTrue(predicate, tries)
}

// Ranges of bytes.

export function fillBytes(memory: Memory, address: number, length: number, value: number): void {
  access(op.FILL, memory.bytes, address, value, length)
}
export function copyIn(memory: Memory, address: number, bytes: Uint8Array): void {
  access(op.COPY_IN, memory.bytes, address, bytes, undefined)
}
export function copyOut(memory: Memory, address: number, length: number): Uint8Array {
  return access(op.COPY_OUT, memory.bytes, address, length, undefined) as Uint8Array
}
