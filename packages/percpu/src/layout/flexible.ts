/**
 * Arrays of run-time length: the number of elements, which stays as the object was made with, and
 * then the elements.
 *
 *     length │ gap │ element 0 │ element 1 │ …      the last field of a struct
 *
 * The length is of kind published, whatever the elements are: it is written once, before the object
 * can be found (heap.create).
 */
import { loadU32, storeU32, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import type { FlexibleType, StructType } from './types.js'
import { strideOf } from './types.js'

/**
 * How many elements the array at a byte address has.
 *
 * @throws ArgumentError if they would reach beyond the memory: no such object was made there.
 */
export function flexibleLength(memory: Memory, { element, size }: FlexibleType, address: number): number {
  const length = loadU32(memory.u32, address / 4)
  if (address + size + length * strideOf(element) <= memory.byteLength) return length
  throw new ArgumentError(
    `an array of ${length} elements at ${address} would reach beyond the memory: make the object by heap.create`,
    { address, length },
  )
}

/** Makes the zeroed object at an address one with so many elements. */
export function setFlexibleLength(memory: Memory, struct: StructType, address: number, length: number): void {
  const last = struct.members.at(-1)
  if (last?.type?.form === 'flexible') storeU32(memory.u32, (address + last.offset) / 4, length)
}

/** For memory of the struct's own size. @throws ArgumentError if its objects differ in size. */
export function checkFixed({ name, isFlexible }: StructType): void {
  if (!isFlexible) return
  throw new ArgumentError(
    `${name} has an array of run-time length: make its objects by heap.create(${name}, length)`,
    { struct: name },
  )
}
