/** How a machine is booted with regard to per-CPU memory, and the sizes that follow. */
import { isPowerOfTwo, PAGE_BYTES, powerOfTwoBelow, roundUp } from '../arithmetic.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { ArgumentError } from '../errors.js'
import { parseSize } from '../machine/size.js'
import { Geometry, GRANULE, MAX_BLOCK_BYTES, MAX_UNIT, MIN_UNIT } from './geometry.js'
import { PercpuStatistics } from './layouts.js'

/** How per-CPU memory is set up, given to {@link boot}. */
export interface PercpuOptions {
  /**
   * Bytes of a unit, and so the most that one copy can have: a power of two from 4 KiB to 4 MiB, or
   * text such as `'64 KiB'`. Default 32 KiB, or less if the units of all CPUs would then take more
   * than a 16th of the memory. Without MMU these units are one block of at most 4 MiB.
   */
  readonly unit?: number | string
  /**
   * Bytes of the reserved part of each unit of the first chunk, for the library's own layers: a
   * multiple of 64 up to about half a unit. Default a quarter of a unit.
   */
  readonly reserved?: number | string
}

const DEFAULT_UNIT = 2 ** 15
/** There are 2^31 pointers, and each granule of a unit takes one. */
const POINTERS = 2 ** 31

/** The sizes for a machine. @throws ArgumentError for a size that it cannot have. */
export function planGeometry({ map, memory }: CpuTable, { unit, reserved }: PercpuOptions): Geometry {
  const isMapped = map.mmu && map.cpus > 1
  const most = isMapped ? MAX_UNIT : Math.min(MAX_UNIT, powerOfTwoBelow(MAX_BLOCK_BYTES / map.cpus))
  const unitBytes =
    unit === undefined ? defaultUnit(map.cpus, memory.byteLength, most) : parseSize(unit, 'percpu.unit')
  if (!(unitBytes >= MIN_UNIT && unitBytes <= most && isPowerOfTwo(unitBytes))) {
    throw new ArgumentError(`percpu.unit: ${unitBytes} is not a power of two from ${MIN_UNIT} to ${most}`, {
      unit: unitBytes,
      most,
    })
  }
  const staticBytes = roundUp(PercpuStatistics.size, 64)
  const reservedBytes = reserved === undefined ? unitBytes / 4 : parseSize(reserved, 'percpu.reserved')
  if (!(reservedBytes >= 64 && reservedBytes % 64 === 0 && staticBytes + reservedBytes <= unitBytes / 2)) {
    throw new ArgumentError(
      `percpu.reserved: ${reservedBytes} is not a multiple of 64 from 64 to ${unitBytes / 2 - staticBytes}`,
      { reserved: reservedBytes },
    )
  }
  const capacity = Math.min(
    POINTERS / (unitBytes / GRANULE),
    16 + Math.ceil(memory.byteLength / (2 * PAGE_BYTES)),
  )
  return new Geometry({ cpus: map.cpus, unitBytes, staticBytes, reservedBytes, capacity, isMapped })
}

function defaultUnit(cpus: number, memory: number, most: number): number {
  const fair = powerOfTwoBelow(memory / 16 / cpus)
  return Math.max(MIN_UNIT, Math.min(DEFAULT_UNIT, fair, most))
}
