/**
 * Sizes and offsets: everything that follows from the number of CPUs and the size of a unit.
 *
 *     unit     unitBytes, in granules of 4 bytes; its pages are blocks of 1024 granules
 *     pointer  index of a chunk × granules of a unit + granule: the same for all CPUs
 *     record   head │ hints of each block │ allocated │ bounds, one bit more │ owned │ populated
 *
 * A slot holds the chunks whose longest run has a size of the same order:
 *
 *     0: full    1, 2 …: by size    sidelined    free: wholly free    depopulate
 *
 * Pointers are below 2^31. The pointer 0 is never given: granule 0 of chunk 0 belongs to the static
 * variables. So 0 stands for none.
 */
import { MAX_ORDER } from '../alloc/layouts.js'
import { PAGE_BYTES, roundUp } from '../arithmetic.js'
import { PercpuBlock, PercpuChunk, PercpuSlot } from './layouts.js'

export const GRANULE = 4
/** Granules of a page. */
export const BLOCK = PAGE_BYTES / GRANULE
const BLOCK_WORDS = PercpuBlock.stride / 4
export const SLOT_WORDS = PercpuSlot.stride / 4
/** Bytes. */
export const MIN_UNIT = PAGE_BYTES
export const MAX_UNIT = 2 ** 22
/** Bytes of the largest block of pages. */
export const MAX_BLOCK_BYTES = PAGE_BYTES << MAX_ORDER
/** How many pages of a unit are kept populated and empty: fewer are too few, more are too many. */
export const EMPTY_PAGES_LOW = 2
export const EMPTY_PAGES_HIGH = 4
/**
 * A chunk of a lower slot in which a request found no room moves to slot 0, so that the next small
 * request does not look at it again.
 */
export const FAIL_THRESHOLD = 3

const HEAD_WORDS = PercpuChunk.stride / 4
const SLOT_SHIFT = 5
const GRANULE_SHIFT = Math.log2(GRANULE)
const BLOCK_SHIFT = Math.log2(BLOCK)

/** What a machine is booted with, and all else here follows from. */
export interface Shape {
  readonly cpus: number
  readonly unitBytes: number
  readonly staticBytes: number
  readonly reservedBytes: number
  /** The most chunks there can be. */
  readonly capacity: number
  /** Whether units are mapped page by page. */
  readonly isMapped: boolean
}

export class Geometry implements Shape {
  readonly cpus: number
  readonly unitBytes: number
  readonly staticBytes: number
  readonly reservedBytes: number
  readonly capacity: number
  readonly isMapped: boolean
  /** Of a unit. */
  readonly granules: number
  readonly pages: number
  /** Base-2 logarithm of the granules of a unit. */
  readonly shift: number
  /** Where bitmaps lie in a record: words behind its beginning. */
  readonly allocated: number
  readonly bounds: number
  readonly owned: number
  readonly populated: number
  /** Words of a record, and the order of the block of pages that it takes. */
  readonly recordWords: number
  readonly recordOrder: number
  /** km: order of the block of pages that all units of a chunk take. */
  readonly chunkOrder: number
  /** Numbers of slots, and how many slots there are. */
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
    this.allocated = this.block(0, this.pages)
    this.bounds = this.allocated + this.granules / 32
    this.owned = this.bounds + this.granules / 32 + 1
    this.populated = this.owned + this.granules / 32
    this.recordWords = this.populated + roundUp(this.pages, 32) / 32
    this.recordOrder = orderOf(this.recordWords * 4)
    this.chunkOrder = orderOf(cpus * unitBytes)
    this.sidelined = slotOfBytes(unitBytes) + 1
    this.free = this.sidelined + 1
    this.depopulate = this.free + 1
    this.slots = this.depopulate + 1
  }

  /** Word index of the hints of a page of a chunk. */
  block(chunk: number, page: number): number {
    return chunk + HEAD_WORDS + page * BLOCK_WORDS
  }

  /** vm: the number that a page of a unit of the chunk with this index has in the page tables. */
  pageNumber(index: number, cpu: number, page: number): number {
    return (index * this.cpus + cpu) * this.pages + page
  }
  /** The index of the chunk of a page with this number. */
  indexOfPage(number: number): number {
    return Math.floor(number / (this.cpus * this.pages))
  }

  /** The slot of a chunk whose longest run has so many granules; a search for them begins there. */
  slotOf(granules: number): number {
    return granules === this.granules ? this.free : slotOfBytes(granules * GRANULE)
  }

  /** The pointer to a granule of the chunk with this index, the index of a pointer, its granule. */
  pointerTo(index: number, granule: number): number {
    return (index << this.shift) | granule
  }
  indexOf(pointer: number): number {
    return pointer >>> this.shift
  }
  granuleOf(pointer: number): number {
    return pointer & (this.granules - 1)
  }
}

/**
 * Granules that hold so many bytes. Shifted: an engine takes the constants of a module for
 * variables, and would divide.
 */
export function granulesOf(bytes: number): number {
  return (bytes + GRANULE - 1) >>> GRANULE_SHIFT
}
/** The page of a unit that a granule is in. */
export function pageOf(granule: number): number {
  return granule >>> BLOCK_SHIFT
}

/** A slot for each power of two of bytes; those below 16 share slot 1. */
function slotOfBytes(bytes: number): number {
  return Math.max(32 - Math.clz32(bytes) - SLOT_SHIFT + 2, 1)
}

/** The smallest block of pages that holds so many bytes: 2^order pages. */
function orderOf(bytes: number): number {
  return Math.max(0, Math.ceil(Math.log2(bytes / PAGE_BYTES)))
}
