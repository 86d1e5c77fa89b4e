/**
 * The words of this layer that all threads share, and the equations that hold of them. The
 * protocols are in the files named beside the layouts.
 *
 * `heap.verify` checks every equation, and names it by its letter and number. Equations marked with
 * a star (*) speak of words that a CPU writes without a lock. They hold of other CPUs' words while
 * these CPUs are quiet, and of the calling one's at any time. The others hold whenever the lock is
 * held.
 */
import { hashNumbers } from '../arithmetic.js'
import {
  aligned,
  array,
  atomic,
  i32,
  locked,
  owner,
  published,
  racy,
  struct,
  u32,
  u8,
} from '../layout/index.js'
import { SpinlockLayout } from '../sync/layouts.js'

/** Block sizes: 2^0 to 2^10 pages, 4 KiB to 4 MiB. */
export const ORDERS = 11
export const MAX_ORDER = ORDERS - 1
/** Free single pages that a CPU keeps for itself, at most. */
export const PAGE_STACK = 32
/** Caches of a machine, size classes included. */
export const MAX_CACHES = 256
export const CACHE_NAME_BYTES = 40
/** Labels of objects in debug mode. */
export const MAX_ALLOC_LABELS = 255

/**
 * One per page of the machine. page-map.ts
 *
 *     D1    a block starts at a multiple of its size, and its order is below ORDERS
 *     D2 *  the further pages of a block are NONE, of a slab SLAB | TAIL
 *     D3 *  a tag in flight names an incarnation that is online, has announced `used`, and is not
 *           `ended`; the same holds for the tags of objects
 */
export const PageDescriptor = struct('PageDescriptor', {
  /**
   * Kind, order, whether the block is known to be zero, cache. Of the zone's lock, or of the
   * block's holder.
   */
  state: racy(i32),
  /** Of the first page of an allocated block: tag.ts. */
  tag: racy(i32),
  /** Pages: the neighbours in a list of free blocks, or 0. */
  next: locked(i32, 'zone'),
  previous: locked(i32, 'zone'),
})

/**
 * One per NUMA node. zone.ts
 *
 *     Z1    first page of the node ≤ low ≤ frontier ≤ limit ≤ high ≤ first page of the next node
 *     Z2    free = Σ 2^order of its FREE blocks
 *     Z3    pages = Σ 2^order of all its blocks + limit − frontier
 *     Z4    lists[order] links the FREE blocks of that order, each once, and
 *           previous(next(block)) = block
 *     Z5    the buddy of a FREE block is no FREE block of the same order
 *     Z6 *  Σ pages of all zones × 4096 = bytes of the boot memory regions of pages, all persistent
 */
export const ZoneLayout = struct(
  'ZoneLayout',
  {
    lock: SpinlockLayout,
    // Racy words are written under the lock, and also read without it, by reports.
    /** Pages from `frontier` to `limit` are the zone's and were never touched; they are zero. */
    frontier: racy(u32),
    limit: racy(u32),
    /** First page of the span that was taken last from boot memory. Reapers read it unlocked. */
    span: racy(u32),
    /** No page of the zone lies below `low`, or at or above `high`. */
    low: racy(u32),
    high: racy(u32),
    /** Pages taken from boot memory. */
    pages: racy(u32),
    /** Of these, pages in the lists; those in a CPU's stack do not count. */
    free: racy(u32),
    /** The `deaths` after which orphans were last freed here. owner.ts */
    swept: locked(i32, 'zone'),
    /** First free block of each order, or 0. */
    lists: array(locked(u32, 'zone'), ORDERS),
  },
  { align: 64 },
)

/**
 * One per possible CPU. owner.ts, page-stack.ts
 *
 *     P1 *  0 ≤ pageCount ≤ capacity of the stack
 *     P2 *  a page is in a stack, and in one only ⇔ it is a USED block of order 0 with a tag ≤ 0
 */
export const HeapCpu = struct(
  'HeapCpu',
  {
    /** The last incarnation whose stack and magazines are in order after its end; 0 for none. */
    ended: atomic(i32),
    /** 1 once the CPU has used the heap in its present incarnation. */
    used: owner(i32),
    /** Free single pages: how many, and which. */
    pageCount: aligned(owner(i32), 'cacheline'),
    pages: array(owner(i32), PAGE_STACK),
  },
  { align: 64 },
)

/**
 * Begins the block of pages of a cache; a magazine per possible CPU follows. cache-table.ts
 *
 *     C1    the words of the geometry are geometryOf(size, align), and colour < colours
 *     C2    slabs = number of slabs in both lists, each once, and previous(next(slab)) = slab
 *     C3    empty = number of its slabs with free = objects
 *     C4    a slab is in the list `full` ⇔ its free = 0
 *     C5 *  a slab is in a list ⇔ it is a persistent SLAB block of this cache and its order
 *     C6 *  the cache's own block is persistent
 */
export const CacheLayout = struct(
  'CacheLayout',
  {
    /** Bytes that a user may write, their alignment, and the bytes from one object to the next. */
    size: published(u32),
    align: published(u32),
    stride: published(u32),
    /** Order of a slab, objects in it, where the first begins. geometry.ts */
    order: published(u32),
    objects: published(u32),
    first: published(u32),
    /** Number of colours, and bytes from one to the next. */
    colours: published(u32),
    colourStep: published(u32),
    /** Entries of each CPU's magazine. */
    capacity: published(u32),
    /** Layout hash of the struct that the cache is for, or 0. */
    layoutHash: published(u32),
    nameLength: published(u32),
    name: published(array(u8, CACHE_NAME_BYTES)),
    lock: aligned(SpinlockLayout, 'cacheline'),
    /** First slab with free objects, first without; page numbers, or 0. slabs.ts */
    partial: locked(u32, 'cache'),
    full: locked(u32, 'cache'),
    slabs: locked(u32, 'cache'),
    /** Slabs all of whose objects are free. */
    empty: locked(u32, 'cache'),
    /** That of the next slab. */
    colour: locked(u32, 'cache'),
    /** The `deaths` after which orphans were last freed here. owner.ts */
    swept: locked(i32, 'cache'),
  },
  { align: 64 },
)

/**
 * Begins the magazine of a CPU; the free objects follow, as references. magazine.ts
 *
 *     M1 *  0 ≤ count ≤ capacity
 *     M2 *  each entry is an object of a slab of the cache, with a tag ≤ 0
 */
export const MagazineLayout = struct('MagazineLayout', { count: owner(i32) })

/**
 * Begins a slab; a tag for each object follows, and in debug mode a debug word for each. slabs.ts
 *
 *     S1    free = length of the list + objects − fresh, and each index in the list is below fresh
 *     S2    the tags of the objects in the list are below 0, those from fresh on are 0
 *     S3 *  each object is in one place: free in its slab, in one magazine, or allocated (tag > 0)
 *     S4    in debug mode: red zones are red, free objects in the slab hold poison
 */
export const SlabLayout = struct(
  'SlabLayout',
  {
    next: locked(u32, 'cache'),
    previous: locked(u32, 'cache'),
    /**
     * Free objects that are in no magazine: how many, and the index of the first in their list, or
     * -1.
     */
    free: locked(i32, 'cache'),
    list: locked(i32, 'cache'),
    /** Objects from this index on were never handed out; they are free, and not in the list. */
    fresh: locked(i32, 'cache'),
  },
  { align: 64 },
)

/**
 * The named object 'percpu.alloc' begins with it. heap-map.ts
 *
 *     R1    0 ≤ labels ≤ MAX_ALLOC_LABELS
 */
export const HeapRoot = struct(
  'HeapRoot',
  {
    /** Bytes of the debug mode's red zones, or 0. */
    debug: published(u32),
    /** Labels in use, of {@link MAX_ALLOC_LABELS}. */
    labels: atomic(i32),
    /** Counts the ends of incarnations that left orphans, modulo 2^32. owner.ts */
    deaths: aligned(atomic(i32), 'cacheline'),
    /** The list of caches. */
    lock: aligned(SpinlockLayout, 'cacheline'),
    /** First page of each cache's block, or 0. cache-table.ts */
    caches: aligned(array(atomic(i32), MAX_CACHES), 'cacheline'),
  },
  { align: 64 },
)

const structs = [HeapRoot, ZoneLayout, HeapCpu, PageDescriptor, CacheLayout, MagazineLayout, SlabLayout]
/** One number for all of the above: threads with other layouts do not open the heap. */
export const heapHash: number = hashNumbers(structs.map(({ hash }) => hash))
