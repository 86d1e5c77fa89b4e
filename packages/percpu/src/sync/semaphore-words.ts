/**
 * The semaphore, as a protocol on shared words. Of each change of the count can be told whether it
 * happened, also after the death of the CPU that made it. (After the recoverable
 * compare-and-exchange of Attiya, Ben-Baruch and Hendler.)
 *
 *     value        permits │ CPU │ operation    free permits, and whose change was the last
 *     done[cpu]    the last operation of a CPU that is known to have succeeded
 *     held lock    operation, before, change    the CPU's own account: what it held before its
 *                                               last operation
 *
 * An operation writes its account, and then exchanges the value. Before exchanging it, it records
 * the operation that it finds there as done: so an operation has succeeded exactly if it stands in
 * the value or is not above its CPU's `done`. A reaper returns what the dead CPU held as one more
 * operation in its name: should the reaper die, the next one can tell.
 *
 * Why operations may wrap around. They count to 2^32 - 1, begin anew at 2, and are compared by the
 * sign of their difference modulo 2^32. Only the last two operations of one CPU are compared: an
 * operation is recorded as done before that CPU's next one but one, unless a thread stops between
 * reading the value and recording it. That thread would have to stop for 2^31 operations.
 */
import {
  compareExchangeAtomic32,
  compareExchangeAtomicU64,
  load32,
  loadAtomic32,
  loadAtomicU64,
  loadU32,
  store32,
  storeU32,
  type Memory,
} from '#mem'
import type { Ringer } from '../cpus/ringer.js'
import { clearBit, ringAll } from './cpu-mask.js'
import type { FoundLock } from './held-locks.js'
import { HeldLockEntry, SemaphoreLayout } from './layouts.js'

export const MAX_PERMITS = 2 ** 24 - 1
const { done, waiters } = SemaphoreLayout.words
const { operation, before, change } = HeldLockEntry.words

interface Value {
  readonly raw: bigint
  readonly permits: number
  readonly cpu: number
  readonly operation: number
}

export function packValue(permits: number, cpu: number, operation: number): bigint {
  return BigInt(permits) | (BigInt(cpu) << 24n) | (BigInt(operation >>> 0) << 32n)
}

export function loadValue(memory: Memory, semaphore: number): Value {
  // K(semaphore.value) pairs with L in exchangeValue: what the last changer did before is to be
  // seen. Mutant: sync/semaphore-not-helped.
  const raw = loadAtomicU64(memory.u64, semaphore / 2)
  return {
    raw,
    permits: Number(raw & 0xffffffn),
    cpu: Number((raw >> 24n) & 0xffn),
    operation: Number(raw >> 32n),
  }
}

/** The last operation of `cpu` that succeeded. */
export function lastOperation(memory: Memory, semaphore: number, cpu: number): number {
  const value = loadValue(memory, semaphore)
  if (value.cpu === cpu && value.operation !== 0) return value.operation
  // atomic: read after the value: an operation that is gone from there was recorded here before
  // (L).
  return loadAtomic32(memory.i32, semaphore + done + cpu) >>> 0
}

/**
 * The number of the operation after `last`. 0 stands for none and is left out, with 1, so that odd
 * and even take turns.
 */
export function nextOperation(last: number): number {
  return last >= 2 ** 32 - 1 ? 2 : last + 1
}

/**
 * Writes the account of the next operation, which is to change what the CPU holds from `held` by
 * `by`.
 */
export function prepare(memory: Memory, entry: number, next: number, held: number, by: number): void {
  store32(memory.i32, entry + before + (next & 1), held)
  store32(memory.i32, entry + change + (next & 1), by)
  // The account counts from here on; until the exchange it says what was held before. Mutant:
  // sync/semaphore-unprepared.
  storeU32(memory.u32, entry + operation, next)
}

/**
 * Adds `by` to the free permits, as operation `next` of `cpu`; false if the value was another one
 * meanwhile.
 */
export function exchangeValue(
  memory: Memory,
  semaphore: number,
  value: Value,
  by: number,
  cpu: number,
  next: number,
): boolean {
  if (value.operation !== 0) recordDone(memory, semaphore, value)
  const raw = packValue(value.permits + by, cpu, next)
  // L(semaphore.value) pairs with K in loadValue: the permits are this CPU's, or the next one's;
  // the operation that stood here is recorded before. Mutant: sync/semaphore-not-helped.
  return compareExchangeAtomicU64(memory.u64, semaphore / 2, value.raw, raw) === value.raw
}

function recordDone(memory: Memory, semaphore: number, value: Value): void {
  const word = semaphore + done + value.cpu
  for (;;) {
    // atomic: before L; it only ever rises.
    const known = loadAtomic32(memory.i32, word)
    if (((known - value.operation) | 0) >= 0) return
    if (compareExchangeAtomic32(memory.i32, word, known, value.operation | 0) === known) return
  }
}

/** For the reaper: gives back what the dead CPU held. Can be repeated. */
export function recoverSemaphore(memory: Memory, entry: FoundLock, cpu: number, ringer: Ringer): void {
  const { at, lock } = entry
  for (;;) {
    const last = loadU32(memory.u32, at + operation)
    const succeeded = ((lastOperation(memory, lock, cpu) - last) | 0) >= 0
    const held =
      load32(memory.i32, at + before + (last & 1)) +
      (succeeded ? load32(memory.i32, at + change + (last & 1)) : 0)
    if (held === 0) break
    const next = succeeded ? nextOperation(last) : last
    const value = loadValue(memory, lock)
    prepare(memory, at, next, held, -held)
    exchangeValue(memory, lock, value, held, cpu, next)
  }
  clearBit(memory, lock + waiters, cpu)
  ringAll(memory, ringer, lock + waiters)
}
