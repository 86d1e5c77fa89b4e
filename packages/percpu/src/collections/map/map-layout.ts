/**
 * The words of a shared map.
 *
 *     root ──directory──▶ buckets, in blocks     a bucket │ lock │ tags │ slots │ next ──▶ overflow
 *                                                                      └──▶ entry │ key │ value
 *
 * *Entries* are immutable blocks of the heap. A slot names one; to replace an entry is to store
 * another one into its slot. The old one is freed after a grace period.
 *
 * *Buckets* are cache lines: 11 slots, and for each slot a tag, 8 bits of its entry's hash or 0. A
 * reader compares four tags at a time, and follows the slots whose tags are equal. A bucket that is
 * full has overflow blocks, which look the same.
 *
 * *Growing* splits one bucket after the other (Litwin, "Linear hashing", VLDB 1980). Of N buckets,
 * with 2^L ≤ N < 2^(L+1), a hash has bucket `hash mod 2^(L+1)`, or `hash mod 2^L` if there is no
 * such bucket yet. Bucket N - 2^L, the parent of bucket N, is split next, with its lock held:
 *
 *     1  what is to move is copied to bucket N, which nobody finds yet, and which is locked
 *     2  N + 1 is stored: from here on it is found there
 *     3  what has moved is taken out of the old bucket; then the new one's lock is free
 *
 * Between 2 and 3 entries are in both buckets. Who had read the old N may find one in the old
 * bucket still. Who finds nothing there reads N again, and looks at the new bucket. So no key is
 * missed. Nothing can be taken out of the new bucket before step 3 is done, so all that the old one
 * names is there.
 *
 * *Shrinking* merges bucket N - 1 into its parent. The locks of both are held, and that of bucket
 * N's parent. So nobody splits meanwhile, nor merges another one.
 *
 *     1  what the bucket has is copied to its parent, which gets its overflow blocks, too
 *     2  `merges` is counted
 *     3  N - 1 is stored: from here on it is found there
 *     4  `merges` is counted once more
 *     5  the bucket is emptied; then its lock is free
 *
 * Who finds a key is done: an entry lies in a slot until its bucket is emptied, and nobody changes
 * what there are two of. Who finds nothing loads `merges`. If it is not what this thread had found
 * there before it loaded N, it looks again. If it is, at most one merge has come to step 3 since,
 * and that one not to step 5:
 *
 *     none       N only grew meanwhile, as above. What an earlier merge has emptied was made again
 *                before N was loaded, or is not looked at.
 *     one        No other N was stored meanwhile. A hash with the same bucket before and after has
 *                its entries there: the last bucket is not empty yet, its parent has the copies.
 *
 * A bucket that was merged is empty until it is made again. A writer that comes too late may have
 * its lock for a moment: it finds then that its hash has another bucket. So that lock is taken, and
 * not overwritten, to make the bucket again; `made` tells those that were never there. Blocks of
 * buckets are freed after a grace period: spares.ts.
 *
 * *Death.* Each CPU has a note. It says completely what the CPU is about to do, before it does it:
 * notes.ts. The reaper does it in its place. So each change happens wholly or not at all.
 *
 * Who may write. Words of a bucket, and of its overflow blocks: who has its lock; or its reaper.
 * `buckets`, `merges`, `made` and the directory: who has the lock of the bucket that is split next,
 * before and afterwards. A CPU's own words: that CPU.
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
} from '../../layout/index.js'
import { MASK_WORDS } from '../../machine/limits.js'
import { SpinlockLayout } from '../../sync/layouts.js'
import { CollectionHead } from '../presence.js'

/** Slots of a bucket: what fits a line. */
export const SLOTS = 11
/** Words of tags. */
export const TAG_WORDS = 3
/** Buckets that a map has at first; a power of two. */
export const FIRST_BUCKETS = 8
/** Buckets of the largest block that there is for them, and their logarithm. */
export const BLOCK_SHIFT = 16
export const BLOCK_BUCKETS = 1 << BLOCK_SHIFT

/** A bucket, or an overflow block of one, whose lock is not used. */
export const MapBucket = struct(
  'MapBucket',
  {
    lock: SpinlockLayout,
    /** Slot 4i + j has byte j of word i. The last byte is 0. */
    tags: array(atomic(i32), TAG_WORDS),
    /** References of entries, or 0. */
    slots: array(atomic(i32), SLOTS),
    /** Reference of an overflow block, or 0. */
    next: atomic(i32),
  },
  { align: 64, size: 64 },
)

/** Begins an entry; its key follows, and its value at a multiple of 4 bytes behind that. */
export const MapEntry = struct('MapEntry', {
  hash: published(i32),
  /** Bytes of the key, {@link KEY_BITS} of them, and above these the bytes of the value. */
  lengths: published(u32),
  /** Differs from that of other entries at this address. */
  stamp: published(i32),
})

/** Behind the value of an entry of a cache: lifetime.ts. */
export const MapLife = struct('MapLife', {
  /** 1: it was looked up since the clock's hand came by. */
  used: racy(u32),
  /** Machine time in ms at which it ends, in two words; 0: never. */
  endLow: published(u32),
  endHigh: published(u32),
})

/** What a map counts, one a CPU. */
export const MapCpu = struct(
  'MapCpu',
  {
    /** Entries that it has inserted less those that it has deleted; the sum of all CPUs counts. */
    entries: racy(i32),
    /** The same of units of 8 bytes that they take, modulo 2^32; only if that is limited. */
    units: racy(i32),
    /** Look-ups of its threads that count them: how many found an entry, and how many none. */
    hits: racy(f64),
    misses: racy(f64),
    /** Entries that it has taken out: of a map that was full, and those whose time was over. */
    evictions: racy(f64),
    expirations: racy(f64),
    /** Changes that it has made, modulo 2^32: watchers.ts. */
    changes: atomic(i32),
  },
  { align: 64 },
)

/**
 * Begins a map's named object. A {@link MapCpu} for each possible CPU follows, then the directory:
 * references of blocks of buckets, and for each how often its first bucket was made, modulo 2^32.
 * Then the first block.
 */
export const MapRoot = struct(
  'MapRoot',
  {
    collection: CollectionHead,
    /** What the map was made for: options.ts. */
    keys: published(u32),
    values: published(u32),
    /** Of the struct that values are, or 0. */
    valueHash: published(u32),
    /** 1 if entries can be held: an SRCU domain of its own looks after what is replaced. */
    hold: published(u32),
    /** Of the hash. */
    seed: array(published(i32), 2),
    /** References in the directory. */
    blocks: published(u32),
    /** Entries that it holds at most, and ms for which they live; 0: no limit. */
    capacity: published(u32),
    ttl: published(f64),
    /** Units of 8 bytes that its entries have at most; 0: no limit. */
    capacityUnits: published(u32),
    /** How many buckets there are. */
    buckets: aligned(atomic(i32), 'cacheline'),
    /** Twice as often as buckets were merged, modulo 2^32; odd in the middle of it. */
    merges: atomic(i32),
    /** The first buckets, whose locks are good: all that there were since their block was made. */
    made: locked(i32, 'bucket that is split next'),
    /** Where evict.ts goes on: a bucket times {@link SLOTS}, and a slot. */
    hand: aligned(racy(i32), 'cacheline'),
    /** CPUs that want to hear of changes. */
    watchers: aligned(array(atomic(i32), MASK_WORDS), 'cacheline'),
  },
  { align: 64 },
)

/** What the CPU is about to do: notes.ts. */
export const MapNote = struct(
  'MapNote',
  {
    /** Word index of the lock that it has, or is about to take, or 0. layer-lock.ts */
    lock: owner(u32),
    /** The journal of layer-lock.ts, which is never used here. */
    journal: owner(u32),
    /** One of the constants of notes.ts. The others are valid as long as it is not 0. */
    operation: owner(i32),
    /** Word index and new value of the word that changes. */
    word: owner(i32),
    value: owner(i32),
    /** Reference of what is to be made persistent, or 0. */
    fresh: owner(i32),
    /** Word index and new value of a word of tags, or 0. */
    tagWord: owner(i32),
    tagValue: owner(i32),
    /** Word index and new value of a CPU's count of entries, or 0 if no entry changes. */
    countWord: owner(i32),
    countValue: owner(i32),
    /** Reference of what is to be freed after a grace period, or 0. */
    old: owner(i32),
    /** Word index of the CPU's list of what is to be freed, and where it ended before. */
    list: owner(i32),
    position: owner(i32),
    /** Counts entries, for their stamps. */
    stamps: owner(i32),
    /** New value of the CPU's count of units, if they are counted. */
    units: owner(i32),
    /** As `lock`, of those that are taken beside it: of the bucket that is split next, */
    nextLock: owner(u32),
    /** and of the last one. */
    childLock: owner(u32),
  },
  { align: 64, maxSize: 128 },
)
