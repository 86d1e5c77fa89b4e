/**
 * The words of lists of callbacks. Each CPU has one for each kind of grace period that it frees
 * things after: for sched RCU in the layer's own memory, for a domain in per-CPU memory. A list
 * that is all zero is empty. Both ends are on lines of their own: the CPU queues at one, and
 * whoever has the lock runs at the other. callback-list.ts
 */
import { aligned, array, atomic, i32, locked, owner, published, racy, struct, u32 } from '../layout/index.js'
import { SpinlockLayout } from '../sync/layouts.js'

/** Words of a block. A power of two: a position is the number of a word in all blocks. */
export const BLOCK_WORDS = 1024
/** Words at the head of each block that hold no entry. */
export const BLOCK_HEAD = 2

/** What is to be freed: the CPU's end of the list, and the other one. */
export const CallbackList = struct(
  'CallbackList',
  {
    /** Position behind the last entry. Changed by the CPU, and by its reaper. */
    tail: atomic(i32),
    /** Block of that position, or of the one before it; by reference, 0 for none. */
    tailBlock: owner(i32),
    /** The first block that there was. */
    first: published(i32),
    /** What was queued so far, in units of 8 bytes; wraps around. */
    queued: racy(i32),
    /** Functions queued so far, and run or lost so far. By the CPU, and by its reaper. */
    functionsTail: atomic(i32),
    functionsHead: atomic(i32),
    /** Functions that have returned, of all incarnations. The others before the head are lost. */
    functionsRun: racy(i32),
    /** The CPU's incarnation while it looks after lists of this kind: they stay until then. */
    working: atomic(i32),

    /** Of whoever runs what is due. */
    lock: aligned(SpinlockLayout, 'cacheline'),
    /** Position of the entry that is freed next. */
    head: locked(i32, 'callbacks'),
    /** Block of that position, or of the one before it. */
    headBlock: locked(i32, 'callbacks'),
    /** segcblist.ts */
    done: locked(i32, 'callbacks'),
    wait: locked(i32, 'callbacks'),
    nextReady: locked(i32, 'callbacks'),
    waitCookie: locked(i32, 'callbacks'),
    nextReadyCookie: locked(i32, 'callbacks'),
    /** A copy of `head`, for others. */
    passed: atomic(i32),
    /** What was freed so far, in units of 8 bytes; wraps around. */
    freed: racy(i32),
  },
  { align: 64, separateLines: [['tail', 'lock']] },
)

/**
 * A page of entries, from the heap. An entry is 0 if there is none, or not any more; the address of
 * an object in units of 8 bytes; or minus a pointer to per-CPU memory, minus 1.
 */
export const CallbackBlock = struct('CallbackBlock', {
  /** Reference of the block behind it, or 0. Before `tail` is behind that one's first word. */
  next: published(i32),
  /** Position of its first word. */
  base: published(i32),
  /** Written once before `tail`. Of per-CPU memory, it is 0 once that is free: percpu/free.ts. */
  entries: array(racy(i32), BLOCK_WORDS - BLOCK_HEAD),
})

/** What a CPU says to its reaper; a line each. */
export const RcuCpu = struct(
  'RcuCpu',
  {
    /** 1 if it has, or runs, callbacks. */
    used: owner(i32),
  },
  { align: 64 },
)

/**
 * The named object 'percpu.rcu': this, then an {@link RcuCpu} for each possible CPU, then a
 * {@link CallbackList} for each of them.
 */
export const RcuRoot = struct(
  'RcuRoot',
  {
    /** 1 if callbacks may wait that nobody runs: for a CPU that comes online. */
    leftOver: atomic(i32),
    /** The marks of pressure.ts: callbacks, and units of 8 bytes. */
    highCallbacks: published(u32),
    highUnits: published(u32),
    fullCallbacks: published(u32),
    fullUnits: published(u32),
  },
  { align: 64 },
)
