/**
 * The words of a shared map of ranges.
 *
 *     root ──current──▶ version ──▶ node ──▶ node ──▶ leaf │ boundaries │ values ──▶ block
 *
 * *Boundaries.* The keys from one boundary to the next have the same value, or none. So two ranges
 * side by side share a boundary, and no range is longer in memory than another one. The first
 * boundary is the least key. Two neighbours never have equal values, so ranges side by side with
 * equal values are one range. A map without ranges has no nodes.
 *
 * *A B+tree of immutable nodes.* A change makes new nodes in place of those that differ, and of all
 * above them (path copying), then a new version, and stores its reference in `current`. So whoever
 * has read `current` goes through one version, whatever others write. What the version before had,
 * and this one has not, is chained (rcu/chains.ts), and freed after a grace period of the map's
 * domain. That is of the fast flavour: it waits for synchronous stretches, too.
 *
 *     node      link │ count, level │ who has a value │ keys │ values, or children │ bytes of keys
 *
 * A leaf has level 0. An inner node has the first boundary of each child. A reference is an address
 * in units of 8 bytes.
 *
 * *Memory that is full.* A version with ranges has that with it which takes its place when all of
 * them end, and hands it on to the next one. So to take everything away takes no memory. To take a
 * part away, it has a reserve: reserve.ts.
 *
 * *Death.* Each CPU has a note. It says completely what the CPU is about to do, before it does it:
 * notes.ts. The reaper does it in its place. So each change happens wholly or not at all.
 *
 * Who may write. `current`, and the links: who has the map's lock; or its reaper. Links of what is
 * queued to be freed: rcu/chains.ts. A CPU's note: that CPU.
 */
import { aligned, array, atomic, i32, locked, owner, published, struct, u32 } from '../../layout/index.js'
import { SpinlockLayout } from '../../sync/layouts.js'
import { CollectionHead } from '../presence.js'

/** A map's named object. */
export const RangeRoot = struct(
  'RangeRoot',
  {
    collection: CollectionHead,
    /** What the map was made for: options.ts. */
    keys: published(u32),
    values: published(u32),
    /** Of its writers. */
    lock: SpinlockLayout,
    /** Reference of the version that there is; 0 if nothing was ever written. */
    current: aligned(atomic(i32), 'cacheline'),
  },
  { align: 64 },
)

/** One version of a map. */
export const RangeVersion = struct(
  'RangeVersion',
  {
    /** To what else is new, or is freed together with it. */
    link: locked(i32, 'rangeMap'),
    /** Reference of the topmost node, or 0, and its level. */
    node: published(i32),
    level: published(u32),
    /** How many ranges there are. */
    size: published(u32),
    /** Counts versions; wraps around. */
    number: published(u32),
    /**
     * Reference of a version without ranges, which nobody has filled yet: it takes this one's place
     * when all ranges end. 0 in a version that has none.
     */
    empty: published(i32),
    /** Reference of what is kept for when memory is full, or 0: reserve.ts. 0 without ranges. */
    reserve: published(i32),
    /** 1 if the references of the pages of an index follow: index-pages.ts. */
    index: published(u32),
  },
  { align: 64 },
)

/** Begins what is kept for when memory is full: reserve.ts. The references follow. */
export const RangeReserve = struct('RangeReserve', {
  /** As that of a version. */
  link: locked(i32, 'rangeMap'),
  /** How many objects there are, and bytes of each. */
  count: published(u32),
  bytes: published(u32),
})

/** Begins a node. */
export const RangeNode = struct('RangeNode', {
  /** As that of a version. */
  link: locked(i32, 'rangeMap'),
  /** How many keys it has, and above {@link COUNT_BITS} its level. */
  head: published(u32),
  /** Of a leaf: a bit for each boundary that has a value. */
  present: array(published(u32), 2),
})
export const COUNT_BITS = 8

/** Begins a value that does not fit a leaf; its bytes follow. */
export const RangeBlock = struct('RangeBlock', {
  /** As that of a version. */
  link: locked(i32, 'rangeMap'),
  bytes: published(u32),
})

/** What the CPU is about to do: notes.ts. */
export const RangeNote = struct(
  'RangeNote',
  {
    /** Word index of the lock that it has, or is about to take, or 0. layer-lock.ts */
    lock: owner(u32),
    /** The journal of layer-lock.ts, which is never used here. */
    journal: owner(u32),
    /** One of the constants of notes.ts. The others are valid as long as it is not 0. */
    operation: owner(i32),
    /** Word index of `current`, and its new value. */
    word: owner(i32),
    value: owner(i32),
    /** Entry of the chain that is to be freed, or 0. */
    old: owner(i32),
    /** Word index of the CPU's list of what is to be freed, and where that ended before. */
    list: owner(i32),
    position: owner(i32),
  },
  { align: 64, maxSize: 64 },
)
