/** The words of this layer that all threads share. The protocols are in the files named beside them. */
import { aligned, array, atomic, i32, locked, owner, published, racy, struct, u32 } from '../layout/index.js'
import { SpinlockWords } from '../sync/layouts.js'

/** Block sizes: 2^0 to 2^10 pages, 4 KiB to 4 MiB. */
export const ORDERS = 11
export const MAX_ORDER = ORDERS - 1
/** Free single pages that a CPU keeps for itself, at most. */
export const PAGE_STACK = 32
/** Caches of a machine, size classes included. */
export const MAX_CACHES = 256

/** One per page of the machine. page-map.ts */
export const PageDescriptor = struct('PageDescriptor', {
  /** Kind, order, whether the block is known to be zero, cache. Of the zone's lock, or of the holder of the block. */
  state: racy(i32),
  /** Of the first page of an allocated block: its ownership; see ownership.ts. */
  tag: racy(i32),
  /** Pages: the neighbours in a list of free blocks, or 0. For pages of a slab, `next` is its colour. */
  next: racy(i32),
  previous: locked(i32, 'zone'),
})

/** One per NUMA node. zone.ts */
export const ZoneWords = struct(
  'ZoneWords',
  {
    lock: SpinlockWords,
    /** Pages from `frontier` to `limit` are the zone's and were never touched; they are zero. */
    frontier: locked(u32, 'zone'),
    limit: locked(u32, 'zone'),
    /** First page of the span that was taken last from boot memory. */
    span: locked(u32, 'zone'),
    /** No page of the zone lies below `low`, or at or above `high`. */
    low: locked(u32, 'zone'),
    high: locked(u32, 'zone'),
    /** Pages taken from boot memory, and those of them that are free here (not in a CPU's stack). */
    pages: locked(u32, 'zone'),
    free: locked(u32, 'zone'),
    /** Number of deaths after which blocks of the dead were last looked for. */
    swept: locked(i32, 'zone'),
    /** First free block of each order, or 0. */
    lists: array(locked(u32, 'zone'), ORDERS),
  },
  { align: 64 },
)

/** One per possible CPU. */
export const HeapCpu = struct(
  'HeapCpu',
  {
    /** The last stay whose stacks and magazines are in order after its end, as in an owner token; 0 for none. */
    ended: atomic(i32),
    /** 1 once the CPU has used the heap in its present stay. */
    used: owner(i32),
    /** Free single pages: how many, and which. page-stack.ts */
    pageCount: aligned(owner(i32), 'cacheline'),
    pages: array(owner(i32), PAGE_STACK),
  },
  { align: 64 },
)

/** The named object 'percpu.alloc': this, a ZoneWords per node, a HeapCpu per CPU, a PageDescriptor per page. */
export const HeapRoot = struct(
  'HeapRoot',
  {
    /** Bytes of the debug mode's red zones, or 0. */
    debug: published(u32),
    /** Counts ended stays that had used the heap. */
    deaths: aligned(atomic(i32), 'cacheline'),
    /** The list of caches. */
    lock: aligned(SpinlockWords, 'cacheline'),
    /** First page of each cache's block, or 0. cache-table.ts */
    caches: aligned(array(atomic(i32), MAX_CACHES), 'cacheline'),
  },
  { align: 64 },
)
