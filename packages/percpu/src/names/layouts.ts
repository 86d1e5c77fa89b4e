/**
 * The words of the tables of names.
 *
 *     list.order     along `next`, keys never fall: buckets have even keys, entries odd ones
 *     list.bucket    bucket b with `ready` = 1 is in the list; so is `first`, the bucket 0
 *     names.linked   an entry in a list is persistent, but for one that a CPU's note names
 *     table.size     `buckets` is 1, or 64 × 2^k; the segments of all of them are there
 */
import { aligned, array, atomic, i32, locked, owner, pad, published, struct, u32 } from '../layout/index.js'
import { SpinlockLayout } from '../sync/layouts.js'

/** Name spaces that there is room for. */
export const MAX_SPACES = 24
/** Buckets of the first segment. Each further one has as many as all before it. */
export const FIRST_BUCKETS = 64
export const SEGMENTS = 14
/** 2^19: the last segment is a block of 4 MiB, the largest of the heap. */
export const MAX_BUCKETS = FIRST_BUCKETS * 2 ** (SEGMENTS - 1)

/** A bucket: where a search of the list may begin. split-list.ts */
export const NameBucket = struct('NameBucket', {
  /** Address / 8 of the node behind, or 0. */
  next: atomic(i32),
  /** The bucket's number, bits reversed. */
  key: published(u32),
  /** 1 once it is in the list. */
  ready: atomic(i32),
  _reserved: pad(4),
})

/** Before the object, behind name and type. */
export const NameEntry = struct(
  'NameEntry',
  {
    next: atomic(i32),
    /** The hash of the name, bits reversed, and 1. */
    key: published(u32),
    serial: published(u32),
    /** Bytes. */
    nameLength: published(u32),
    /** Bytes, and a flag. entry.ts */
    typeLength: published(u32),
    layoutHash: published(u32),
    /** Bytes of all: text, entry and object. */
    bytes: published(u32),
    /** Bytes from the first one to the entry. */
    before: published(u32),
  },
  { size: 32 },
)

/** One name space. */
export const NameSpaceTable = struct(
  'NameSpaceTable',
  {
    first: NameBucket,
    /** A power of two. */
    buckets: atomic(i32),
    /** About: a thread that dies may leave it off by one. */
    count: locked(i32, 'names'),
    /** Addresses / 8. */
    segments: array(published(i32), SEGMENTS),
    _reserved: pad(48),
  },
  { size: 128, align: 64 },
)

/** For each CPU: what it is about to link or to unlink. names.ts */
export const NamesCpu = struct(
  'NamesCpu',
  {
    /** Address / 8 of the entry, or 0. */
    entry: owner(i32),
    /** {@link LINKING}, {@link UNLINKING} or {@link UNLINKED}. */
    state: owner(i32),
    /** Number of the name space. */
    space: owner(i32),
    /** 1 if the block is one of boot memory. */
    isLarge: owner(i32),
    /** Address / 8 of the block. */
    block: owner(i32),
  },
  { align: 64 },
)
export const LINKING = 1
export const UNLINKING = 2
/** Set by the reaper: it has no name any more, and is to be freed. */
export const UNLINKED = 3

export const NamesRoot = struct(
  'NamesRoot',
  {
    lock: SpinlockLayout,
    /** How many were made; wraps at 2^32. */
    serials: locked(u32, 'names'),
    spaces: aligned(array(NameSpaceTable, MAX_SPACES), 'cacheline'),
  },
  { align: 64 },
)
