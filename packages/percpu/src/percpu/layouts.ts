/**
 * The words of this layer that all threads share, and the equations that hold of them whenever the
 * lock of the allocator is free and no operation is announced (operation.ts). verify.ts checks all
 * of them, by the names that they have here. The offsets of what lies behind a chunk's head are in
 * geometry.ts.
 *
 * A granule is 4 bytes of a unit, a block is a page of 1024 granules, and a run is a row of free
 * granules, as long as possible.
 */
import {
  aligned,
  array,
  atomic,
  f64,
  i32,
  locked,
  owner,
  published,
  racy,
  struct,
  u32,
} from '../layout/index.js'
import { MASK_WORDS } from '../machine/limits.js'
import { MutexLayout, SpinlockLayout } from '../sync/layouts.js'

/**
 * Hints of a block: what a search must know to pass it by. hints.ts
 *
 *     block.firstFree  firstFree = first free granule of the block, or 1024
 *     block.left       left = length of the run that begins at granule 0, or 0
 *     block.right      right = length of the run that ends at granule 1024, or 0
 *     block.contig     contig = length of the longest run, or 0; one of that length begins at
 *                      contigStart
 *     block.scan       scan = 0, or the length of the longest run that begins before contigStart;
 *                      one of that length begins at scanStart
 *
 * Those of the chunk as a whole; `left`, `right` and `scan` are not used. chunk.ts
 *
 *     whole.firstFree  firstFree = first free granule of the unit, or the number of granules
 *     whole.contig     longest run of a block, longest row of free blocks <= contig <= longest run;
 *                      the granules from contigStart to contigStart + contig are free
 *
 * Where units are mapped page by page, a run of the chunk lies in one block or begins with one
 * (chunk.ts). Elsewhere it goes on from block to block.
 */
export const PercpuBlock = struct(
  'PercpuBlock',
  {
    contig: i32,
    contigStart: i32,
    scan: i32,
    scanStart: i32,
    left: i32,
    right: i32,
    firstFree: i32,
    _reserved: i32,
  },
  { kind: 'locked', lock: 'percpu' },
)

/**
 * Head of a chunk's record. Behind it lie the hints of its blocks, and bitmaps: `allocated`,
 * `bounds` and `owned` with a bit for each granule, `populated` with a bit for each page.
 *
 *     chunk.index      the registry has the record at `index`
 *     chunk.flags      immutable = it is one of the two chunks made at boot; reserved = it is the
 *                      second of them; isolated only if neither
 *     chunk.extent     0 <= start < end <= granules; all granules outside [start, end) are
 *                      allocated
 *     chunk.free       freeGranules = granules − |allocated|
 *     chunk.populated  populated = |populated|
 *     chunk.empty      empty = number of blocks that are populated and wholly free
 *     chunk.in-use     a block that is not wholly free is populated
 *     chunk.bounds     a bound is set at each i in [start, end] where one of the granules i − 1 and
 *                      i is allocated and the other is free; past both ends they count as free
 *     chunk.owned      owned is set only at the start of allocations: those that belong to a named
 *                      object or to an SRCU domain. They are not freed by their pointer
 *     chunk.mapped     each unit has memory for a block if that is populated, and only then
 *     chunk.pages      no page of the memory belongs to two units, or to a unit and a table; the
 *                      reserved chunk has the units of the first one
 */
export const PercpuChunk = struct('PercpuChunk', {
  /** Neighbours in the list of its slot: word indices of records, or 0. */
  next: locked(i32, 'percpu'),
  previous: locked(i32, 'percpu'),
  slot: locked(i32, 'percpu'),
  /** Index in the registry. */
  index: published(i32),
  /** km: number of the page with which its memory begins. */
  base: published(i32),
  /** {@link CHUNK_IMMUTABLE}, {@link CHUNK_ISOLATED}, {@link CHUNK_RESERVED}. */
  flags: locked(i32, 'percpu'),
  freeGranules: locked(i32, 'percpu'),
  populated: locked(i32, 'percpu'),
  empty: locked(i32, 'percpu'),
  /** The granules that are its own: those below `start`, and from `end` on, are another chunk's. */
  start: published(i32),
  end: published(i32),
  _reserved: array(locked(i32, 'percpu'), 5),
  whole: PercpuBlock,
})
/** Made at boot and never unmade. */
export const CHUNK_IMMUTABLE = 1
/** Nothing is allocated from it while another chunk will do, and trimming takes its empty pages. */
export const CHUNK_ISOLATED = 2
/** The reserved part of the first chunk: in no slot. */
export const CHUNK_RESERVED = 4

/** The first variables of each unit of the first chunk: what the CPU did. Each wraps at 2^32. */
export const PercpuStatistics = struct('PercpuStatistics', {
  allocations: owner(i32),
  frees: owner(i32),
  failures: owner(i32),
  _reserved: owner(i32),
})

/**
 * The named object 'percpu.percpu'. Behind it lie the registry, the slots, and the records of the
 * two chunks made at boot.
 *
 *     root.chunks      chunks = number of records in the registry
 *     root.registered  chunks <= registered <= capacity; the registry is 0 from `registered` on
 *     root.populated   populatedPages = sum of `populated` of all chunks but the reserved one
 *     root.empty       emptyPages = sum of `empty` of all chunks but the reserved and isolated ones
 *     root.slots       bit i of slotsInUse = the list of slot i is not empty
 *
 * Of the page tables, where units are mapped (tables.ts):
 *
 *     table.entry      each entry is 0, or leads to a page of the memory, which may be written to;
 *                      if that is no table, the entry belongs to a chunk of the registry
 *     table.kept       what it leads to is persistent, but for what boot made
 *     table.empty      each table leads somewhere
 *     table.count      tables = number of tables
 */
export const PercpuRoot = struct(
  'PercpuRoot',
  {
    unitBytes: published(u32),
    staticBytes: published(u32),
    reservedBytes: published(u32),
    /** The most chunks there can be. */
    capacity: published(u32),
    /** 1 where units are mapped page by page. */
    isMapped: published(u32),
    /** The edge of the root of the page tables, or 0. tables.ts */
    edge: atomic(i32),

    lock: aligned(SpinlockLayout, 'cacheline'),
    /** What is being done to which granules or pages of which chunk; 0 for nothing. operation.ts */
    operation: locked(i32, 'percpu'),
    operationChunk: locked(i32, 'percpu'),
    operationStart: locked(i32, 'percpu'),
    operationLength: locked(i32, 'percpu'),
    /**
     * Index of the word to which the allocation under way is to be published, or which is cleared
     * by the free under way.
     */
    operationInto: locked(i32, 'percpu'),
    emptyPages: locked(i32, 'percpu'),
    populatedPages: locked(i32, 'percpu'),
    chunks: locked(i32, 'percpu'),
    slotsInUse: locked(i32, 'percpu'),
    registered: locked(i32, 'percpu'),
    /** 1 after a request that must not wait found no room: the next trim populates more pages. */
    nowaitFailed: locked(i32, 'percpu'),
    /** How often pages were flushed (mapping.ts). Wraps at 2^32. */
    flushes: locked(i32, 'percpu'),
    /** Page tables. */
    tables: locked(i32, 'percpu'),
  },
  { align: 64 },
)

/**
 * The list of the chunks of one slot: records by word index, or 0. slots.ts
 *
 *     slot.list   next and previous of neighbours lead to each other; first and last end the list
 *     slot.member each chunk but the reserved one is in one list, that of its `slot`
 *     slot.size   isolated chunks are in slot sidelined or depopulate. The others are in the slot
 *                 of whole.contig, or in slot 0 if a small request found no room in them
 */
export const PercpuSlot = struct('PercpuSlot', {
  first: locked(i32, 'percpu'),
  last: locked(i32, 'percpu'),
})

/** A named allocation. The other named objects begin with the same word. named.ts */
export const PercpuName = struct('PercpuName', {
  /** 0 until the memory is there. */
  pointer: atomic(i32),
})

/** A counter; each CPU's part is one i32. counter.ts */
export const PercpuCounterLayout = struct('PercpuCounterLayout', {
  pointer: atomic(i32),
  lock: SpinlockLayout,
  batch: published(u32),
  /** The sum, without the CPUs' parts: high × 2^32 + low. */
  low: locked(u32, 'counter'),
  high: locked(i32, 'counter'),
  /** A copy of the sum, to be read without the lock. */
  estimate: racy(f64),
})

/** A reference count; each CPU's part is one i32. ref.ts */
export const PercpuRefLayout = struct('PercpuRefLayout', {
  pointer: atomic(i32),
  /** Count × 8, and flags. */
  state: atomic(i32),
  /** What its users look at: 0 while each CPU counts for itself, else 1. */
  mode: racy(i32),
  /**
   * References given back that nobody had, as the last change of the mode found them. 0 again once
   * a change succeeds.
   */
  missing: atomic(i32),
  /** Of whoever changes the mode. */
  mutex: MutexLayout,
  waiters: array(atomic(i32), MASK_WORDS),
})

/** A lock for many readers; each CPU's part is a {@link PercpuReaders}. rwsem.ts */
export const PercpuRwSemaphoreLayout = struct('PercpuRwSemaphoreLayout', {
  pointer: atomic(i32),
  /** How far writers have come in making readers go the slow way. */
  state: atomic(i32),
  /** What readers look at: 0 while there is no writer. */
  mode: racy(i32),
  /** Of the writer, and for a moment of a reader that goes the slow way. */
  mutex: MutexLayout,
  /** Counts writers; wraps at 2^32. */
  writes: locked(i32, 'mutex'),
  /** 1 while there is a writer, and after it died. */
  writing: locked(i32, 'mutex'),
  waiters: array(atomic(i32), MASK_WORDS),
})
/** Readers of one CPU: entered − left, modulo 2^32. */
export const PercpuReaders = struct('PercpuReaders', {
  /** Plain; summed after a grace period. */
  entered: racy(i32),
  /** In the presence of a writer. */
  left: atomic(i32),
})
