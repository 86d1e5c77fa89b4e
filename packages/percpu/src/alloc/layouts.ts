/** The words of this layer that all threads share. The protocols are in the files named beside them. */
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
export const ALLOC_LABEL_BYTES = 44
/** Labels of objects in debug mode. */
export const MAX_ALLOC_LABELS = 255

/** One per page of the machine. page-map.ts */
export const PageDescriptor = struct('PageDescriptor', {
  /** Kind, order, whether the block is known to be zero, cache. Of the zone's lock, or of the holder of the block. */
  state: racy(i32),
  /** Of the first page of an allocated block: its ownership; see tag.ts. */
  tag: racy(i32),
  /** Pages: the neighbours in a list of free blocks, or 0. */
  next: locked(i32, 'zone'),
  previous: locked(i32, 'zone'),
})

/** One per NUMA node. zone.ts */
export const ZoneLayout = struct(
  'ZoneLayout',
  {
    lock: SpinlockLayout,
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
    /** The last incarnation whose stacks and magazines are in order after its end, as in a token; 0 for none. */
    ended: atomic(i32),
    /** 1 once the CPU has used the heap in its present incarnation. */
    used: owner(i32),
    /** Free single pages: how many, and which. page-stack.ts */
    pageCount: aligned(owner(i32), 'cacheline'),
    pages: array(owner(i32), PAGE_STACK),
  },
  { align: 64 },
)

/** Begins the block of pages of a cache; a magazine per possible CPU follows. cache-table.ts */
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
    colour: locked(u32, 'cache'),
    /** Number of deaths after which objects of the dead were last looked for. */
    swept: locked(i32, 'cache'),
  },
  { align: 64 },
)

/** Begins the magazine of a CPU; the free objects follow, as references. cache.ts */
export const MagazineLayout = struct('MagazineLayout', { count: owner(i32) })

/** Begins a slab; a tag for each object follows, and in debug mode a label for each. slabs.ts */
export const SlabLayout = struct(
  'SlabLayout',
  {
    next: locked(u32, 'cache'),
    previous: locked(u32, 'cache'),
    /** Free objects that are in no magazine: how many, and the index of the first in their list, or -1. */
    free: locked(i32, 'cache'),
    list: locked(i32, 'cache'),
    /** Objects from this index on were never handed out; they are free, and not in the list. */
    fresh: locked(i32, 'cache'),
  },
  { align: 64 },
)

/** In debug mode, behind the page map: what objects are labelled with. labels.ts */
export const AllocLabel = struct('AllocLabel', {
  length: published(u32),
  text: published(array(u8, ALLOC_LABEL_BYTES)),
})

/** The named object 'percpu.alloc': this, a ZoneLayout per node, a HeapCpu per CPU, a PageDescriptor per page. */
export const HeapRoot = struct(
  'HeapRoot',
  {
    /** Bytes of the debug mode's red zones, or 0. */
    debug: published(u32),
    /** Labels in use, of {@link MAX_ALLOC_LABELS}. */
    labels: atomic(i32),
    /** Counts the ends of incarnations after which something was left to be freed by others. */
    deaths: aligned(atomic(i32), 'cacheline'),
    /** The list of caches. */
    lock: aligned(SpinlockLayout, 'cacheline'),
    /** First page of each cache's block, or 0. cache-table.ts */
    caches: aligned(array(atomic(i32), MAX_CACHES), 'cacheline'),
  },
  { align: 64 },
)

const structs = [
  HeapRoot,
  ZoneLayout,
  HeapCpu,
  PageDescriptor,
  CacheLayout,
  MagazineLayout,
  SlabLayout,
  AllocLabel,
]
/** One number for all of the above: threads with other layouts do not open the heap. */
export const heapHash: number = hashNumbers(structs.map(({ hash }) => hash))
