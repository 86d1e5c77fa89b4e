/**
 * Sizes and places: everything that follows from the number of CPUs and the size of a unit.
 *
 *     unit     unitBytes, of granules of 4 bytes; blocks of 1024 granules are its pages
 *     pointer  chunk × granules of a unit + granule: the same for all CPUs, below 2^31, never 0
 *     record   head │ block per page │ allocated: bit per granule │ bounds: one bit more │ populated: bit per page │
 *              vm: page numbers, cpus × pages
 *
 * A slot holds the chunks whose longest free run has a size of the same order:
 *
 *     0 … 1 … size slots … sidelined, free (wholly), to be depopulated
 */
import { PAGE_BYTES } from '../arithmetic.js'
import { PercpuBlock, PercpuChunk, PercpuSlot } from './layouts.js'

export const GRANULE = 4
/** Granules of a page. */
export const BLOCK = PAGE_BYTES / GRANULE
export const HEAD_WORDS = PercpuChunk.stride / 4
export const BLOCK_WORDS = PercpuBlock.stride / 4
export const SLOT_WORDS = PercpuSlot.stride / 4
/** Largest block of pages, as a power of two. */
export const MAX_ORDER = 10
export const MIN_UNIT = PAGE_BYTES
export const MAX_UNIT = 2 ** 22
/** Empty populated pages that balancing keeps. */
export const EMPTY_PAGES_LOW = 2
export const EMPTY_PAGES_HIGH = 4
/** Chunks of these slots that cannot serve a request leave the search, so that it is not repeated. */
export const FAIL_THRESHOLD = 3

const SLOT_SHIFT = 5

export interface Shape {
  readonly cpus: number
  readonly unitBytes: number
  readonly staticBytes: number
  readonly reservedBytes: number
  /** Most chunks. */
  readonly capacity: number
  readonly isMapped: boolean
}

export class Geometry implements Shape {
  readonly cpus: number
  readonly unitBytes: number
  readonly staticBytes: number
  readonly reservedBytes: number
  readonly capacity: number
  readonly isMapped: boolean
  /** Granules, pages of a unit. */
  readonly granules: number
  readonly pages: number
  /** log2 of the granules of a unit. */
  readonly shift: number
  /** Places in a record, in words. */
  readonly blocks = HEAD_WORDS
  readonly allocated: number
  readonly bounds: number
  readonly populated: number
  readonly map: number
  readonly recordWords: number
  readonly recordOrder: number
  /** km: order of a chunk's block. */
  readonly chunkOrder: number
  readonly sidelined: number
  readonly free: number
  readonly depopulate: number
  readonly slots: number

  constructor({ cpus, unitBytes, staticBytes, reservedBytes, capacity, isMapped }: Shape) {
    this.cpus = cpus
    this.unitBytes = unitBytes
    this.staticBytes = staticBytes
    this.reservedBytes = reservedBytes
    this.capacity = capacity
    this.isMapped = isMapped
    this.granules = unitBytes / GRANULE
    this.pages = unitBytes / PAGE_BYTES
    this.shift = Math.log2(this.granules)
    this.allocated = this.blocks + this.pages * BLOCK_WORDS
    this.bounds = this.allocated + this.granules / 32
    this.populated = this.bounds + this.granules / 32 + 1
    this.map = this.populated + Math.ceil(this.pages / 32)
    this.recordWords = this.map + (isMapped ? cpus * this.pages : 0)
    this.recordOrder = orderOf(this.recordWords * 4)
    this.chunkOrder = orderOf(cpus * unitBytes)
    this.sidelined = slotOfBytes(unitBytes) + 1
    this.free = this.sidelined + 1
    this.depopulate = this.free + 1
    this.slots = this.depopulate + 1
  }

  /** Where the search for a run of this many granules begins. */
  slotOf(granules: number): number {
    return granules === this.granules ? this.free : slotOfBytes(granules * GRANULE)
  }
}

const GRANULE_SHIFT = Math.log2(GRANULE)
const BLOCK_SHIFT = Math.log2(BLOCK)

/** Granules that hold so many bytes. Shifted: a compiler takes these constants for variables, and would divide. */
export function granulesOf(bytes: number): number {
  return (bytes + GRANULE - 1) >>> GRANULE_SHIFT
}
/** The page of a unit with this granule. */
export function pageOf(granule: number): number {
  return granule >>> BLOCK_SHIFT
}

function slotOfBytes(bytes: number): number {
  return Math.max(32 - Math.clz32(bytes) - SLOT_SHIFT + 2, 1)
}

/** The smallest block of pages that holds so many bytes. */
export function orderOf(bytes: number): number {
  return Math.max(0, Math.ceil(Math.log2(bytes / PAGE_BYTES)))
}
