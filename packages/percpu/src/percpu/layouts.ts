/**
 * The words of this layer that all threads share. What lies behind a chunk's record is in geometry.ts; the lock is one of
 * sync/layer-lock.ts.
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

/** Hints of a page of a chunk, or of the whole chunk: all in granules. hints.ts */
export const PercpuBlock = struct(
  'PercpuBlock',
  {
    /** Longest free run. */
    contig: i32,
    contigStart: i32,
    /** Longest free run before it, or 0 where that is not known. */
    scan: i32,
    scanStart: i32,
    /** Free run at the start and at the end. */
    left: i32,
    right: i32,
    /** First free granule; the number of granules if there is none. */
    firstFree: i32,
    _reserved: i32,
  },
  { kind: 'locked', lock: 'percpu' },
)

/** Head of a chunk's record. */
export const PercpuChunk = struct('PercpuChunk', {
  /** Neighbours in the slot's list: word indices of records, or 0. */
  next: locked(i32, 'percpu'),
  previous: locked(i32, 'percpu'),
  slot: locked(i32, 'percpu'),
  /** Place in the registry. */
  index: published(i32),
  /** km: number of the page with which its block begins. */
  base: published(i32),
  /** {@link CHUNK_IMMUTABLE} and the like. */
  flags: locked(i32, 'percpu'),
  freeGranules: locked(i32, 'percpu'),
  populated: locked(i32, 'percpu'),
  /** Populated pages that are wholly free. */
  empty: locked(i32, 'percpu'),
  /** Granules of its part of the unit: hidden below and from the end on. */
  start: published(i32),
  end: published(i32),
  _reserved: array(locked(i32, 'percpu'), 5),
  whole: PercpuBlock,
})
export const CHUNK_IMMUTABLE = 1
export const CHUNK_ISOLATED = 2
/** The reserved part of the first chunk: in no slot. */
export const CHUNK_RESERVED = 4

/** The first variables of each unit: what each CPU did. */
export const PercpuStatistics = struct('PercpuStatistics', {
  allocations: owner(i32),
  frees: owner(i32),
  failures: owner(i32),
  _reserved: owner(i32),
})

/** The named object 'percpu.percpu', with its tables behind it. */
export const PercpuRoot = struct(
  'PercpuRoot',
  {
    unitBytes: published(u32),
    staticBytes: published(u32),
    reservedBytes: published(u32),
    /** Most chunks. */
    capacity: published(u32),
    /** 1 where units are mapped page by page. */
    isMapped: published(u32),

    lock: aligned(SpinlockLayout, 'cacheline'),
    /** What is being done to which granules or pages of which chunk; 0 for nothing. operation.ts */
    operation: locked(i32, 'percpu'),
    operationChunk: locked(i32, 'percpu'),
    operationStart: locked(i32, 'percpu'),
    operationLength: locked(i32, 'percpu'),
    /** Word index to which the allocation under way is to be published, or 0. */
    operationInto: locked(i32, 'percpu'),
    /** Over all chunks but the reserved one and isolated ones. */
    emptyPages: locked(i32, 'percpu'),
    /** Over all chunks but the reserved one; pages of a unit. */
    populatedPages: locked(i32, 'percpu'),
    chunks: locked(i32, 'percpu'),
    /** Slots that have chunks, a bit each. */
    slotsInUse: locked(i32, 'percpu'),
    /** Places of the registry from here on were never used. */
    registered: locked(i32, 'percpu'),
    /** 1 after an allocation that must not grow found no room: balance more. */
    nowaitFailed: locked(i32, 'percpu'),
    flushes: locked(i32, 'percpu'),
  },
  { align: 64 },
)

/** A chunk's place in a slot's list: the first and the last of it. */
export const PercpuSlot = struct('PercpuSlot', {
  first: locked(i32, 'percpu'),
  last: locked(i32, 'percpu'),
})

/** A named allocation; also the first words of the objects below. */
export const PercpuName = struct('PercpuName', {
  /** 0 until the memory is there. */
  pointer: atomic(i32),
})

/** A counter; each CPU's copy is one i32. counter.ts */
export const PercpuCounterLayout = struct('PercpuCounterLayout', {
  pointer: atomic(i32),
  lock: SpinlockLayout,
  batch: published(u32),
  /** The sum without the CPUs' own parts: low × 1 + high × 2^32. */
  low: locked(u32, 'counter'),
  high: locked(i32, 'counter'),
  /** A copy of it for those who do not want to wait. */
  estimate: racy(f64),
})

/** A reference count; each CPU's copy is one i32. ref.ts */
export const PercpuRefLayout = struct('PercpuRefLayout', {
  pointer: atomic(i32),
  /** Count × 8 and flags. */
  state: atomic(i32),
  /** What its users look at: 0 while each CPU counts for itself, else 1. */
  mode: racy(i32),
  /** Of whoever changes the mode. */
  mutex: MutexLayout,
  waiters: array(atomic(i32), MASK_WORDS),
})

/** A lock for many readers; each CPU's copy is PercpuReaders. rwsem.ts */
export const PercpuRwSemaphoreLayout = struct('PercpuRwSemaphoreLayout', {
  pointer: atomic(i32),
  /** How far writers have come in making readers go the slow way. */
  state: atomic(i32),
  /** What readers look at: 0 while there is no writer. */
  mode: racy(i32),
  /** Of the writer, and for a moment of a reader that goes the slow way. */
  mutex: MutexLayout,
  /** Counts writers. */
  writes: locked(i32, 'mutex'),
  /** 1 while there is a writer, and after it died. */
  writing: locked(i32, 'mutex'),
  waiters: array(atomic(i32), MASK_WORDS),
})
/** Of one CPU: its readers are the difference. */
export const PercpuReaders = struct('PercpuReaders', {
  /** Plain; summed after a grace period. */
  entered: racy(i32),
  /** In the presence of a writer. */
  left: atomic(i32),
})
