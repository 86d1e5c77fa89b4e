/**
 * Copies between arrays of numbers in structs and typed arrays: bytes at once, other elements one
 * after the other.
 */
import { copyIn, copyOut, type Memory } from '#mem'
import { refused } from '../check.js'
import { ArgumentError } from '../errors.js'
import { shown } from '../shown.js'
import type { UndoLog } from './flavours.js'
import type { AddressType, Scalar } from './types.js'
import { typeOfValue } from './values.js'

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

const classes: Readonly<Record<string, TypedArrayClass>> = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
}
type TypedArrayClass = new (buffer: ArrayBufferLike, offset: number, length: number) => TypedArray

/** The engine's own properties of typed arrays: a subclass may say otherwise. */
const prototype = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array
function property<Name extends 'length' | 'buffer' | 'byteOffset' | typeof Symbol.toStringTag>(
  name: Name,
): (of: TypedArray) => Uint8Array[Name] | undefined {
  const own = Object.getOwnPropertyDescriptor(prototype, name)
  return (of) => own?.get?.call(of) as Uint8Array[Name] | undefined
}
const lengthOf = property('length')
const bufferOf = property('buffer')
const offsetOf = property('byteOffset')
const tagOf = property(Symbol.toStringTag)

/**
 * The elements of a typed array, through one of the engine's own: no code of a subclass runs.
 *
 * @throws ArgumentError for anything else.
 */
export function plainArray(what: string, value: unknown): TypedArray {
  const tag = ArrayBuffer.isView(value) ? tagOf(value as TypedArray) : undefined
  const Class = tag === undefined ? undefined : classes[tag]
  if (Class === undefined) throw refused(what, value, 'no typed array')
  const given = value as TypedArray
  try {
    return new Class(bufferOf(given) ?? new ArrayBuffer(0), offsetOf(given) ?? 0, lengthOf(given) ?? 0)
  } catch (error) {
    throw refused(what, value, 'a typed array whose buffer was taken away', {}, error)
  }
}

/**
 * As {@link plainArray}, of elements that an array of this type has.
 *
 * @throws ArgumentError for what is no typed array, or has bigints where numbers are wanted.
 */
export function elementsFor(what: string, type: Scalar | AddressType, value: unknown): TypedArray {
  const plain = plainArray(what, value)
  const isBig = plain instanceof BigInt64Array || plain instanceof BigUint64Array
  const wanted = typeOfValue(type)
  if (isBig === (wanted === 'bigint')) return plain
  throw refused(what, value, `an array of other elements: a ${wanted} each is wanted`)
}

/** @throws ArgumentError unless `count` elements from `from` on lie in an array of `length`. */
export function checkStretch(from: number, count: number, length: number): void {
  if (Number.isInteger(from) && from >= 0 && from + count <= length) return
  throw new ArgumentError(
    `${count} elements from index ${shown(from)} on do not lie in an array of ${length} elements`,
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
