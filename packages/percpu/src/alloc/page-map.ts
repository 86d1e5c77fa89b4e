/**
 * The page map: what each page of the machine is. Each page has a state and a tag (tag.ts).
 *
 *     state of a block's first page:
 *         kind │ TAIL │ order << 4 │ CLEAN │ LARGE │ cache << 12 │ colour << 20
 *
 *     NONE   not the first page of a block, or not the heap's
 *     FREE   in a list of its zone
 *     USED   allocated, or in a CPU's stack: then its tag is 0
 *     SLAB   allocated, and holds objects; the further pages of the block say SLAB | TAIL
 *
 * Who may write. The state and tag of a free block are the zone's, and are written under its lock.
 * Those of an allocated block, its further pages included, are its holder's. The holder may make it
 * a slab, and a slab a block again, but leaves the order alone: a walk by another CPU relies on it.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { Links } from '../sync/intrusive-list.js'
import { DESCRIPTOR_WORDS, type HeapMap } from './heap-map.js'
import { PageDescriptor } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export const NONE = 0
export const FREE = 1
export const USED = 2
export const SLAB = 3
export const KIND = 7
/** With SLAB: not the first page. */
export const TAIL = 8
export const ORDER_SHIFT = 4
/** Kind and order of a block's first page. */
export const BLOCK = 0xff
/** All bytes of the block are known to be zero. */
export const CLEAN = 1 << 8
/** With USED: handed out by `heap.alloc`. */
export const LARGE = 1 << 9
export const CACHE_SHIFT = 12
export const COLOUR_SHIFT = 20
/** Of the page of a slab: that it is one, and the number of its cache. */
export const OF_CACHE = 0xff007

const { state, tag, next, previous } = PageDescriptor.words
/** Words from one page's state to the next one's, as a shift. */
export const DESCRIPTOR_SHIFT = Math.log2(DESCRIPTOR_WORDS)
const descriptorShift = DESCRIPTOR_SHIFT

/** Its fields are plain: the compiler knows more of those than of private ones. */
export class PageMap {
  readonly memory: Memory
  /** Word index of the descriptor of page 0, of its state, and the number of pages. */
  readonly first: number
  readonly states: number
  readonly pages: number
  /** Of free blocks, by their first pages. */
  readonly links: Links

  constructor(memory: Memory, map: HeapMap) {
    this.memory = memory
    this.first = map.descriptors
    this.states = map.descriptors + state
    this.pages = map.pages
    this.links = new Links(memory, {
      next: map.descriptors + next,
      previous: map.descriptors + previous,
      stride: DESCRIPTOR_WORDS,
    })
  }

  /** Word indices of a page's descriptor, for sections. */
  stateWord(page: number): number {
    return this.first + (page << descriptorShift) + state
  }
  tagWord(page: number): number {
    return this.first + (page << descriptorShift) + tag
  }

  state(page: number): number {
    return load32(this.memory.i32, this.stateWord(page))
  }
  tag(page: number): number {
    return load32(this.memory.i32, this.tagWord(page))
  }
  setState(page: number, value: number): void {
    store32(this.memory.i32, this.stateWord(page), value)
  }
  setTag(page: number, value: number): void {
    store32(this.memory.i32, this.tagWord(page), value)
  }

  /** The page that begins at `address`; undefined if none does. */
  pageAt(address: number): number | undefined {
    const page = typeof address === 'number' ? address / PAGE_BYTES : 0
    return (page | 0) === page && page > 0 && page < this.pages ? page : undefined
  }
}

export function addressOf(page: number): number {
  return page * PAGE_BYTES
}
/** The order of a block, from the state of its first page. */
export function orderOf(state: number): number {
  return (state >>> ORDER_SHIFT) & 0xf
}
/** The number of a slab's cache, from the state of a page of it. */
export function cacheOf(state: number): number {
  return (state & OF_CACHE) >>> CACHE_SHIFT
}
/** The state of a page of a slab, but for TAIL. */
export function slabState(order: number, cache: number, colour: number): number {
  return SLAB | (order << ORDER_SHIFT) | (cache << CACHE_SHIFT) | (colour << COLOUR_SHIFT)
}
/** The state of the first page of an allocated block. */
export function usedState(order: number): number {
  return USED | (order << ORDER_SHIFT)
}
