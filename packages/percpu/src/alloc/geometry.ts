/**
 * How objects lie in slabs: pure arithmetic.
 *
 *     slab   SlabLayout │ tag tag … │ (debug word …) │ colour │ object │ object │ … │ rest
 *            0            64                            first    first + colour + stride
 *
 * The tags lie apart from the objects: the tags of a batch share a line or two, and free objects
 * are not touched. The rest becomes colours. Slabs begin their objects at different lines, so that
 * the same fields of many objects do not compete for the same lines of the processor's cache.
 * (Bonwick, "The slab allocator: an object-caching kernel memory allocator", USENIX 1994.)
 */
import { PAGE_BYTES, powerOfTwoBelow, roundUp } from '../arithmetic.js'
import { SlabLayout } from './layouts.js'

/**
 * Bytes of the objects of `alloc`: four classes a doubling, so that at most a fifth of an object is
 * unused from 64 bytes on.
 */
export const SIZE_CLASSES: readonly number[] = [
  8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280,
  1536, 1792, 2048,
]
export const MAX_CLASS = 2048
/** Bytes of the largest object of a named cache. */
export const MAX_OBJECT = 2 ** 16
const LINE = 64
/** Objects of a slab that are enough, and the fewest worth having. */
const ENOUGH = 128
const FEWEST = 4
const MAX_SLAB_ORDER = 3
/** What fits in the state of a page. */
const MAX_COLOURS = 1024

export interface Geometry {
  /** Bytes that a user may write, and their alignment. */
  readonly size: number
  readonly align: number
  /** Bytes from one object to the next. */
  readonly stride: number
  readonly order: number
  readonly objects: number
  /** Where the user's part of the first object begins, without colour. */
  readonly first: number
  readonly colours: number
  readonly colourStep: number
  /** Objects that a CPU may keep in its magazine. */
  readonly capacity: number
}

/** `debug`: bytes of red zone around each object, at least; 0 for none. */
export function geometryOf(
  size: number,
  align: number,
  machine: { readonly pages: number; readonly cpus: number; readonly debug: number },
): Geometry {
  const front = machine.debug === 0 ? 0 : Math.max(machine.debug, align)
  const stride = roundUp(front + size + machine.debug, Math.max(align, 8))
  const tagBytes = machine.debug === 0 ? 4 : 8
  const lineAlign = Math.max(LINE, align)
  // A slab is to be a small part of a small machine.
  const most = Math.max(0, Math.min(MAX_SLAB_ORDER, Math.floor(Math.log2(machine.pages / 512))))
  for (let order = 0; ; order++) {
    const bytes = PAGE_BYTES << order
    let objects = Math.floor((bytes - SlabLayout.stride) / (stride + tagBytes))
    let begin = roundUp(SlabLayout.stride + objects * tagBytes, lineAlign)
    while (objects > 0 && begin + objects * stride > bytes)
      begin = roundUp(SlabLayout.stride + --objects * tagBytes, lineAlign)
    if (objects < ENOUGH && (order < most || objects < FEWEST)) continue
    const rest = bytes - begin - objects * stride
    const colours = Math.min(MAX_COLOURS, 1 + Math.floor(Math.min(rest, stride - 1) / lineAlign))
    const capacity = capacityOf(stride, machine)
    return {
      size,
      align,
      stride,
      order,
      objects,
      first: begin + front,
      colours,
      colourStep: lineAlign,
      capacity,
    }
  }
}

/** A 64th of the machine in all magazines of a cache at most, and no more than is useful. */
function capacityOf(
  stride: number,
  { pages, cpus }: { readonly pages: number; readonly cpus: number },
): number {
  const useful = stride <= 256 ? 64 : stride <= 1024 ? 32 : 16
  const fair = (pages * PAGE_BYTES) / 64 / cpus / stride
  return Math.max(4, Math.min(useful, powerOfTwoBelow(Math.max(1, fair))))
}

/**
 * The alignment that a size class gives: the largest power of two that divides it, up to a line.
 */
export function classAlign(size: number): number {
  return Math.min(LINE, size & -size)
}

/** For each size in units of 8 bytes, the first class that holds it, for an alignment. */
export function classTable(align: number): Uint8Array {
  const table = new Uint8Array(MAX_CLASS / 8 + 1)
  let units = 0
  for (const [number, size] of SIZE_CLASSES.entries()) {
    if (classAlign(size) < align) continue
    table.fill(number, units, size / 8 + 1)
    units = size / 8 + 1
  }
  return table
}

/**
 * Two numbers that divide by `divisor`, for values below `limit`:
 * `Math.imul(value, factor) >>> shift`. `divisor` and `limit`: the strides and sizes of slabs, in
 * units of 8 bytes. (Granlund and Montgomery, "Division by invariant integers using
 * multiplication", 1994.)
 *
 * Exact: factor × divisor is 2^shift + error, with error < divisor. So value × factor / 2^shift is
 * the quotient plus value × error / (divisor × 2^shift). That surplus is less than 1 / divisor, as
 * value × error < 2^shift, and the product stays below 2^32.
 */
export function reciprocal(divisor: number, limit: number): [factor: number, shift: number] {
  let shift = 30
  while (Math.ceil(2 ** shift / divisor) * limit >= 2 ** 32) shift--
  return [Math.ceil(2 ** shift / divisor), shift]
}
