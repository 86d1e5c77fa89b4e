/**
 * The words of page tables that all threads share.
 *
 *     root    one a machine: the lock, counts of references to pages, and of rounds
 *     note    one a CPU: what it is about to write, what it is to free, what it has pinned
 *     space   a SpaceTable, and a SpaceCpu for each CPU, in whatever has the space
 *
 * Tables are pages of the heap; their entries are atomic words (entry.ts), written under the lock
 * of the root, and read by anybody at any time.
 */
import { aligned, array, atomic, i32, locked, owner, struct, u32 } from '../layout/index.js'
import { MASK_WORDS } from '../machine/limits.js'
import { SpinlockLayout } from '../sync/layouts.js'

/** Words that are written as a whole: redo-log.ts. A copy of a table needs the most. */
export const LOG_ENTRIES = 1040
/** What waits for a round, to be given up after it: gather.ts. */
export const GATHER_ENTRIES = 1032
/**
 * In the place of a changer that has not awaited its round: somebody is to. No token has all bits.
 */
export const OWED = -1
/** Pages that a CPU can have pinned at one time: pins.ts. */
export const MAX_PINS = 32

/**
 * Behind it lie the counts, {@link FrameWords}: a word for each page of the memory, then a word for
 * each block of 1024 pages.
 */
export const PagingRoot = struct(
  'PagingRoot',
  {
    /** Of all changes of tables, areas and counts. */
    lock: SpinlockLayout,
    /** The number that a space got last. */
    spaces: locked(u32, 'paging'),
    /** How many rounds have begun. Wraps around: rounds.ts. */
    rounds: aligned(atomic(i32), 'cacheline'),
  },
  { align: 64 },
)

/** The tables of a space. All zero: there is none yet. */
export const SpaceTable = struct(
  'SpaceTable',
  {
    /** The edge of the root: entry.ts. */
    root: atomic(i32),
    /**
     * Token of the CPU that changes what is there, 0, or {@link OWED}: changes.ts. Writers of holes
     * wait.
     */
    changer: atomic(i32),
    /** Counts rounds of this space; wraps around. rounds.ts */
    generation: atomic(i32),
    /** 1: somebody waits for the end of a counted walk. walk.ts */
    drain: atomic(i32),
    /** CPUs that may be walking the space, a bit each. */
    users: array(atomic(i32), MASK_WORDS),
    /**
     * Pages [from, to) that are being unmapped; both 0: none. The changer's, and no one else's.
     * settling.ts
     */
    leavingFrom: owner(u32),
    leavingTo: owner(u32),
    /** The round of which the pages below are, and no others, to be forgotten; shootdown.ts. */
    shotRound: atomic(i32),
    /** Pages [from, to). */
    shotFrom: atomic(i32),
    shotTo: atomic(i32),
  },
  { align: 64 },
)

/** Of one CPU in a space. */
export const SpaceCpu = struct(
  'SpaceCpu',
  {
    /** Counts the beginnings and ends of walks: odd inside one. walk.ts */
    walks: atomic(i32),
    /** The generation for which the CPU has forgotten all translations. rounds.ts */
    seen: atomic(i32),
  },
  { align: 64 },
)

export const PagingNote = struct(
  'PagingNote',
  {
    /** Word index of the lock that it has, or is about to take, or 0. layer-lock.ts */
    lock: owner(u32),
    /** The journal of layer-lock.ts, which is never used here. */
    journal: owner(u32),
    /** How many of the writes below are to be made; 0: none. redo-log.ts */
    length: owner(u32),
    /** How many of `gather` there are. gather.ts */
    gathered: locked(u32, 'paging'),
    /** Two words for each page that is pinned: pins.ts. */
    pins: array(atomic(i32), 2 * MAX_PINS),
    gather: array(locked(i32, 'paging'), GATHER_ENTRIES),
    words: array(owner(u32), LOG_ENTRIES),
    values: array(owner(i32), LOG_ENTRIES),
  },
  { align: 64 },
)
