/**
 * Copies between arrays of numbers in structs and typed arrays: bytes at once, other elements one
 * after the other.
 */
import { copyIn, copyOut, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import type { UndoLog } from './flavours.js'
import type { AddressType, Scalar } from './types.js'

/** What arrays of numbers copy from and to. */
export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array

/** @throws ArgumentError for what is no typed array, or has bigints where numbers are wanted. */
export function checkTypedArray(what: string, type: Scalar | AddressType, value: TypedArray): void {
  const isTyped = ArrayBuffer.isView(value) && !(value instanceof DataView)
  if (!isTyped) throw new ArgumentError(`${what} takes a typed array`, { value })
  const tag = value[Symbol.toStringTag]
  const isBig = tag.startsWith('Big')
  const wantsBig = type.form === 'scalar' && type.name === 'u64'
  if (isBig !== wantsBig)
    throw new ArgumentError(
      `${what}: the elements are ${wantsBig ? '' : 'no '}bigints, but not those of a ${tag}`,
      {
        found: tag,
      },
    )
}

/** @throws ArgumentError unless `count` elements from `from` on lie in an array of `length`. */
export function checkStretch(from: number, count: number, length: number): void {
  if (Number.isInteger(from) && from >= 0 && from + count <= length) return
  throw new ArgumentError(
    `${count} elements from index ${String(from)} on do not lie in an array of ${length} elements`,
    { from, count, length },
  )
}

/** Copies all of `source` to a byte address if both are bytes. */
export function copyInBytes(
  memory: Memory,
  type: Scalar | AddressType,
  address: number,
  source: TypedArray,
): boolean {
  if (!isByte(type) || !(source instanceof Uint8Array)) return false
  copyIn(memory, address, source)
  return true
}
/** Fills all of `target` from a byte address if both are bytes. */
export function copyOutBytes(
  memory: Memory,
  type: Scalar | AddressType,
  address: number,
  target: TypedArray,
): boolean {
  if (!isByte(type) || !(target instanceof Uint8Array)) return false
  target.set(copyOut(memory, address, target.length))
  return true
}
function isByte(type: Scalar | AddressType): boolean {
  return type.form === 'scalar' && type.name === 'u8'
}

/**
 * Records a stretch of bytes: whole words, and single bytes at its ends, which others may share.
 */
export function recordStretch(log: UndoLog, address: number, bytes: number): void {
  const end = address + bytes
  let at = address
  while (at < end) {
    if (at % 4 === 0 && at + 4 <= end) {
      log.record32(at / 4)
      at += 4
    } else {
      log.record8(at)
      at++
    }
  }
}
