/**
 * From the byte address of an object to the base of its accessor. That is the address / 4 for a
 * struct aligned to 4 bytes or more: a machine integer, also in an 8 GiB memory. For others it is
 * the address.
 */
import type { Memory } from '#mem'
import { refused } from '../check.js'
import { ArgumentError, PercpuError } from '../errors.js'
import { shown } from '../shown.js'
import type { StructType } from './types.js'

/** Whether accessors of a type with this alignment keep `baseWord` rather than `baseByte`. */
export function isWordBased(align: number): boolean {
  return align >= 4
}

/** The base of the object at a byte address. @throws ArgumentError where no such object can be. */
export type Locate = (memory: Memory, address: number) => number

/**
 * A closure for each struct, so that the compiler has size and alignment as constants.
 *
 * `| 0` both converts and checks: a fractional address, or one beyond 8 GiB, does not survive the
 * round trip.
 */
export function locator(struct: Pick<StructType, 'name' | 'size' | 'align'>): Locate {
  const { size, align } = struct
  const mask = align - 1
  if (!isWordBased(align)) {
    return (memory, address) => {
      if (Number.isSafeInteger(address) && (address & mask) === 0 && hasRoom(memory, address, size))
        return address
      throw cannotLie(struct, memory, address)
    }
  }
  return (memory, address) => {
    if (typeof address !== 'number') throw cannotLie(struct, memory, address)
    const word = (address / 4) | 0
    if (word * 4 !== address || (address & mask) !== 0 || !hasRoom(memory, address, size))
      throw cannotLie(struct, memory, address)
    return word
  }
}

/** False for what is no memory. Small, as it is inlined wherever an object is found. */
function hasRoom(memory: Memory, address: number, size: number): boolean {
  try {
    return address >= memory.reserved && address <= memory.byteLength - size
  } catch {
    // It is undefined, or its getters threw: cannotLie tells.
    return false
  }
}

/** @throws ArgumentError unless it is a Memory. `name`: of the struct that was given it. */
export function checkMemory(name: string, memory: Memory | null | undefined): asserts memory is Memory {
  const found = look(memory)
  if (found === 'memory') return
  const what = found === 'has one' ? ': it has one, pass its `memory`' : ''
  throw new ArgumentError(
    `${name} lies in a memory, machine.memory or what openMemory() returned, and not in ${shown(memory)}${what}`,
    { struct: name, memory },
  )
}

function look(memory: unknown): 'memory' | 'has one' | 'nothing' {
  try {
    const given = memory as (Partial<Memory> & { readonly memory?: unknown }) | null | undefined
    if (typeof given?.byteLength === 'number' && typeof given.reserved === 'number') return 'memory'
    return given?.memory === undefined ? 'nothing' : 'has one'
  } catch (error) {
    // That of a section that has ended, or of a draft; else a trap of something else.
    if (error instanceof PercpuError) throw error
    return 'nothing'
  }
}

function cannotLie(
  { name, size, align }: Pick<StructType, 'name' | 'size' | 'align'>,
  memory: Memory | null | undefined,
  address: number,
): ArgumentError {
  checkMemory(name, memory)
  const { byteLength, reserved } = memory
  if (typeof address !== 'number') throw refused('address', address, `no byte address of a ${name}`)
  const details = { struct: name, address, size, align, byteLength }
  if (Number.isInteger(address) && address % align !== 0) {
    return new ArgumentError(
      `there is no ${name} at ${String(address)}: it must lie at a multiple of ${String(align)} bytes`,
      details,
    )
  }
  if (address >= 0 && address < reserved) {
    return new ArgumentError(
      `there is no ${name} at ${String(address)}: the first ${String(reserved)} bytes are the machine's own` +
        (address === 0 ? '; 0 stands for no object' : ''),
      details,
    )
  }
  return new ArgumentError(
    `there is no ${name} of ${String(size)} bytes at ${shown(address)} in a memory of ${String(byteLength)} bytes`,
    details,
  )
}
