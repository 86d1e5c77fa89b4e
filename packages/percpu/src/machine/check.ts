/**
 * Checks of what users pass that need more than the language: text, structs, addresses and CPUs.
 */
import type { Memory } from '#mem'
import { refused } from '../check.js'
import { ArgumentError } from '../errors.js'
import { isStruct } from '../layout/brand.js'
import type { AnyStruct, Struct } from '../layout/struct-type.js'
import { shown } from '../shown.js'
import { decodeText, encodeText } from '../text.js'

export * from '../check.js'
export { shown }

/**
 * The bytes of a text that is stored: 1 to `limit` bytes of UTF-8 that are read back as it was.
 * Half a surrogate pair is not. No text is cut: two that differ would become one.
 */
export function checkStored(what: string, value: unknown, limit: number): Uint8Array {
  if (typeof value !== 'string') throw refused(what, value, 'not a string')
  const bytes = encodeText(value)
  if (bytes.length === 0 || bytes.length > limit)
    throw new ArgumentError(
      `${what}: ${shown(value)} must have 1 to ${limit} bytes of UTF-8, has ${bytes.length}`,
      { [what]: value, limit },
    )
  if (decodeText(bytes) === value) return bytes
  throw refused(what, value, 'no text that can be stored: it has half a surrogate pair')
}

/** What `struct()` returned. */
export function checkStruct(what: string, value: unknown): asserts value is AnyStruct {
  if (isStruct(value)) return
  throw refused(what, value, 'no struct: pass what struct() returned')
}

/** The byte address at which an object of `size` bytes can lie, as its alignment wants. */
export function checkPlace(
  what: string,
  address: number,
  { reserved, byteLength }: Pick<Memory, 'reserved' | 'byteLength'>,
  { name, size, align }: Pick<Struct, 'name' | 'size' | 'align'>,
): void {
  const isWhole = Number.isInteger(address) && address % align === 0
  if (isWhole && address >= reserved && address + size <= byteLength) return
  throw new ArgumentError(
    `${what}: there is no ${name} of ${size} bytes, aligned to ${align}, at ${shown(address)}`,
    { address, size, align },
  )
}

/** The number of a possible CPU. */
export function checkCpu(cpu: number, possible: number): number {
  if (Number.isInteger(cpu) && cpu >= 0 && cpu < possible) return cpu
  throw new ArgumentError(`CPU ${shown(cpu)} is not possible: this machine has CPUs 0 to ${possible - 1}`, {
    cpu,
  })
}
/** CPU numbers, one or several, each once and possible. */
export function checkCpus(cpus: number | Iterable<number>, possible: number): readonly number[] {
  const list = typeof cpus === 'number' ? [cpus] : listOf(cpus)
  for (const cpu of list) checkCpu(cpu, possible)
  return list
}
function listOf(cpus: Iterable<number>): readonly number[] {
  try {
    if (typeof cpus === 'object' && (cpus as unknown) !== null) return [...new Set(cpus)]
  } catch (error) {
    throw new ArgumentError(`cpus: ${shown(cpus)} cannot be listed`, { cpus }, { cause: error })
  }
  throw refused('cpus', cpus, 'neither a CPU number nor a list of them')
}
