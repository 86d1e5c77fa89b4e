/**
 * The words of this layer that all threads share. The protocols are in the files named beside them.
 */
import { aligned, array, atomic, i32, owner, published, racy, struct, u32, u64 } from '../layout/index.js'
import { MASK_WORDS, MAX_CPUS } from '../machine/limits.js'

/** Most locks that a CPU can hold or wait for at one time. */
export const MAX_HELD_LOCKS = 32
/** One more than these, for the queue whose waiters the CPU is ringing. */
export const HELD_LOCK_ENTRIES = MAX_HELD_LOCKS + 1
/** Words that a section can change, unless `boot` is told otherwise. */
export const JOURNAL_ENTRIES = 512
export const MAX_JOURNAL_ENTRIES = 2 ** 20

/** Layers above that have locks of their own, with a journal each. layer-lock.ts */
export const LAYER_LOCKS = 5
/** Words that a section under such a lock can change. */
export const LAYER_JOURNAL_ENTRIES = 128

/** Can be embedded in structs of users. All zero: free. mutex-words.ts */
export const MutexLayout = struct('MutexLayout', {
  /** 0, or the owner's token (machine/token.ts), and flags. */
  owner: atomic(i32),
  /** CPUs that wait, a bit each. */
  waiters: array(atomic(i32), MASK_WORDS),
  /** Those of them that lost the lock to another CPU once. */
  impatient: array(atomic(i32), MASK_WORDS),
})

/** All zero: not completed. completion.ts */
export const CompletionLayout = struct('CompletionLayout', {
  /** Completions that nobody has waited for yet, or -1 for all that ever come. */
  done: atomic(i32),
  waiters: array(atomic(i32), MASK_WORDS),
})

/** All zero. condition.ts */
export const ConditionLayout = struct('ConditionLayout', {
  /** Counts notifications. */
  signals: atomic(i32),
  waiters: array(atomic(i32), MASK_WORDS),
})

/** semaphore.ts */
export const SemaphoreLayout = struct('SemaphoreLayout', {
  /** Permits free, and which operation of which CPU made it so. */
  value: atomic(u64),
  waiters: array(atomic(i32), MASK_WORDS),
  /** Per CPU: its last operation that is known to have succeeded. */
  done: array(atomic(i32), MAX_CPUS),
  /** Permits that there are, free or held. */
  total: published(u32),
})

/** All zero. seqlock.ts */
export const SeqlockLayout = struct('SeqlockLayout', {
  /** Odd while a writer is at work. */
  sequence: atomic(i32),
  mutex: MutexLayout,
})

/** A lock that the CPU holds, waits for, or is just giving back. held-locks.ts */
export const HeldLockEntry = struct('HeldLockEntry', {
  /** Word index, or 0. Written by the CPU, and by its reaper; watchers look at it at any time. */
  word: racy(u32),
  /** What lies there. */
  kind: racy(u32),
  /**
   * For semaphores: number of the last operation begun; `before` and `change` at index
   * `operation & 1` belong to it.
   */
  operation: owner(u32),
  before: owner(array(i32, 2)),
  change: owner(array(i32, 2)),
})

/** An entry of the undo journal. */
export const JournalEntry = struct('JournalEntry', {
  /** Index of the 32-bit word. */
  word: owner(u32),
  /** What it held before. */
  old: owner(i32),
})

/** All zero: free. layer-lock.ts */
export const SpinlockLayout = struct('SpinlockLayout', {
  /** 0, or the owner's token (machine/token.ts). */
  owner: atomic(i32),
})

/** What a CPU does under the locks of one layer. layer-lock.ts */
export const LayerRecord = struct('LayerRecord', {
  /** Word index of the spinlock that it holds or is about to take, or 0. */
  lock: owner(u32),
  /** Entries in use. journal.ts */
  length: owner(u32),
  entries: array(JournalEntry, LAYER_JOURNAL_ENTRIES),
})

/** One a CPU; its undo journal lies behind it. */
export const SyncCpu = struct(
  'SyncCpu',
  {
    heldLocks: array(HeldLockEntry, HELD_LOCK_ENTRIES),
    /** Entries in use. journal.ts */
    journalLength: aligned(owner(u32), 'cacheline'),
    layers: array(LayerRecord, LAYER_LOCKS),
  },
  { align: 64 },
)

/**
 * The named object 'percpu.sync': this, and then a {@link SyncCpu} with its journal for each
 * possible CPU.
 */
export const SyncRoot = struct(
  'SyncRoot',
  {
    /** Entries of each journal. */
    journalEntries: published(u32),
  },
  { align: 64 },
)
