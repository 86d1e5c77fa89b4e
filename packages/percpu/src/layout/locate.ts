/**
 * From a byte address to the base of an accessor: address / 4 for a struct aligned to 4 bytes or more, which fits a
 * machine integer in an 8 GiB memory; the address itself for a smaller struct.
 */
import type { Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import type { StructType } from './types.js'

/** Whether accessors of a type with this alignment keep `baseWord` rather than `baseByte`. */
export function isWordBased(align: number): boolean {
  return align >= 4
}

/** The base of the object at a byte address. @throws ArgumentError when it is misaligned or outside the memory. */
export type Locate = (memory: Memory, address: number) => number

/**
 * A closure for each struct, for the compiler to know size and alignment as constants.
 *
 * `| 0` both converts and checks: an address that is fractional, negative or beyond 8 GiB does not survive the round trip.
 */
export function locator(struct: Pick<StructType, 'name' | 'size' | 'align'>): Locate {
  const { size, align } = struct
  const mask = align - 1
  if (!isWordBased(align)) {
    return (memory, address) => {
      if (!Number.isSafeInteger(address) || (address & mask) !== 0) throw badAddress(struct, memory, address)
      if (address < 0 || address > memory.byteLength - size) throw badAddress(struct, memory, address)
      return address
    }
  }
  return (memory, address) => {
    const word = (address / 4) | 0
    if (word * 4 !== address || (address & mask) !== 0) throw badAddress(struct, memory, address)
    if (word < 0 || address > memory.byteLength - size) throw badAddress(struct, memory, address)
    return word
  }
}

function badAddress(
  { name, size, align }: Pick<StructType, 'name' | 'size' | 'align'>,
  memory: Memory,
  address: number,
): ArgumentError {
  const details = { struct: name, address, size, align, byteLength: memory.byteLength }
  if (Number.isInteger(address) && address % align !== 0) {
    return new ArgumentError(
      `there is no ${name} at ${String(address)}: it must lie at a multiple of ${String(align)} bytes`,
      details,
    )
  }
  return new ArgumentError(
    `there is no ${name} of ${String(size)} bytes at ${String(address)} in a memory of ${String(memory.byteLength)} bytes`,
    details,
  )
}
