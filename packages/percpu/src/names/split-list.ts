/**
 * The names of one space: a hash table whose readers take no lock, and which grows without moving
 * anything. (Shalev and Shavit, "Split-ordered lists: lock-free extensible hash tables", J. ACM
 * 2006; here its writers have a lock.)
 *
 *     list       bucket 0 ─▶ entry ─▶ bucket 2 ─▶ entry ─▶ entry ─▶ bucket 1 ─▶ entry ─▶ 0
 *     key          000…       00…1      010…       01…1      01…1     100…       1…1
 *
 * All names are one list, in the order of their hashes read backwards. A bucket is a node in it,
 * where searches begin: that of the lowest bits of the hash. With twice the buckets, each is cut in
 * two by a new node in its middle. That node is put in when a name is first added behind it; until
 * then searches begin at the bucket that was cut.
 *
 * Rules. The list is changed under the lock of the names, one atomic store for each change. So a
 * reader finds it whole at any moment, and a writer that dies leaves it whole. An entry that was
 * taken out keeps its `next`. It is freed after a grace period: a reader that stands on it goes on.
 *
 * Progress: readers are wait-free. Cost: some steps, whatever the number of names.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { FIRST_BUCKETS, NameBucket, NameEntry, NameSpaceTable, SEGMENTS } from './layouts.js'

const { loadAtomic32, loadU32, load32, storeAtomic32, storeU32 } = mem
const { buckets: bucketsField, count: countField, segments, first } = NameSpaceTable.words
const { next: nextField, key: keyField } = NameEntry.words
const readyField = NameBucket.words.ready
/** In units of 8 bytes, as references are. */
const BUCKET_STRIDE = NameBucket.stride / 8

export class SplitList {
  readonly #memory: Memory
  /** Word index of the NameSpaceTable. */
  readonly #table: number

  constructor(memory: Memory, table: number) {
    this.#memory = memory
    this.#table = table
  }

  /** The first entry with this hash that is `wanted`, by reference; 0 if there is none. */
  find(hash: number, wanted: (entry: number) => boolean): number {
    const key = keyOf(hash)
    for (let node = this.#next(this.#start(hash)); node !== 0; node = this.#next(node)) {
      const found = this.#key(node)
      if (found > key) return 0
      if (found === key && wanted(node)) return node
    }
    return 0
  }

  /** All entries, by reference. */
  *entries(): Generator<number> {
    for (let node = this.#next(this.#first); node !== 0; node = this.#next(node))
      if ((this.#key(node) & 1) === 1) yield node
  }

  /** The segments that there are, by reference. */
  segments(): readonly number[] {
    const words = Array.from({ length: SEGMENTS }, (_, segment) => this.#table + segments + segment)
    return words.map((word) => load32(this.#memory.i32, word)).filter((segment) => segment !== 0)
  }

  /** About how many entries there are. */
  get count(): number {
    return load32(this.#memory.i32, this.#table + countField)
  }
  get buckets(): number {
    // B(names.buckets) pairs with A in setBuckets: the segments of so many buckets may be read.
    // Mutant: names/buckets-before-segment.
    return loadAtomic32(this.#memory.i32, this.#table + bucketsField) || 1
  }

  /** Puts the entry in, which is complete but for its link. The lock is held. */
  link(entry: number, hash: number): void {
    this.#prepare(hash & (this.buckets - 1))
    const key = keyOf(hash)
    storeU32(this.#memory.u32, entry * 2 + keyField, key)
    this.#setCount(this.count + 1)
    this.#insert(this.#start(hash), entry, key)
  }
  /** Takes the entry out, if it is in. Returns whether it was. The lock is held. */
  unlink(entry: number): boolean {
    const key = this.#key(entry)
    let before = this.#start(reversed(key))
    for (let node = this.#next(before); node !== entry; node = this.#next(before)) {
      if (node === 0 || this.#key(node) > key) return false
      before = node
    }
    this.#setCount(Math.max(0, this.count - 1))
    this.#setNext(before, this.#next(entry))
    return true
  }
  /** Whether the entry is in. */
  has(entry: number): boolean {
    return this.find(reversed(this.#key(entry)), (node) => node === entry) !== 0
  }

  /** Word index of the reference to the segment that {@link setBuckets} needs, and its buckets. */
  segmentFor(buckets: number): { readonly word: number; readonly buckets: number } {
    const segment = segmentOf(buckets - 1)
    return { word: this.#table + segments + segment, buckets: buckets - firstOf(segment) }
  }
  /** From now on there are so many buckets, whose segments are there. The lock is held. */
  setBuckets(buckets: number): void {
    // A(names.buckets) publishes the segment, all zero; pairs with B in buckets: searches may begin
    // at its buckets. Mutant: names/buckets-before-segment.
    storeAtomic32(this.#memory.i32, this.#table + bucketsField, buckets)
  }

  /** The bucket where a search for this hash begins, by reference. */
  #start(hash: number): number {
    for (let bucket = hash & (this.buckets - 1); bucket !== 0; bucket = parentOf(bucket)) {
      const node = this.#bucket(bucket)
      // D(names.ready) pairs with C in #prepare: the bucket is in the list, and what is behind it
      // may be searched from there. Mutant: names/ready-before-link.
      if (loadAtomic32(this.#memory.i32, node * 2 + readyField) === 1) return node
    }
    return this.#first
  }

  /** Puts the bucket into the list, and first the one that it is cut from. */
  #prepare(bucket: number): void {
    if (bucket === 0) return
    const node = this.#bucket(bucket)
    // atomic: changed under the lock.
    if (loadAtomic32(this.#memory.i32, node * 2 + readyField) === 1) return
    const parent = parentOf(bucket)
    this.#prepare(parent)
    const key = reversed(bucket)
    // A thread that died here may have put it in already, and others may read it.
    if (this.#key(node) !== key) storeU32(this.#memory.u32, node * 2 + keyField, key)
    this.#insert(parent === 0 ? this.#first : this.#bucket(parent), node, key)
    // C(names.ready) after it is in the list; pairs with D in #start: searches may begin here.
    // Mutant: names/ready-before-link.
    storeAtomic32(this.#memory.i32, node * 2 + readyField, 1)
  }

  /** Puts a node before the first one with a larger key, unless it is there: a thread died then. */
  #insert(from: number, node: number, key: number): void {
    let before = from
    let behind = this.#next(before)
    while (behind !== 0 && behind !== node && this.#key(behind) <= key) {
      before = behind
      behind = this.#next(before)
    }
    if (behind === node) return
    this.#setNext(node, behind)
    this.#setNext(before, node)
  }

  get #first(): number {
    return (this.#table + first) / 2
  }
  #bucket(bucket: number): number {
    const segment = segmentOf(bucket)
    const start = load32(this.#memory.i32, this.#table + segments + segment)
    return start + (bucket - firstOf(segment)) * BUCKET_STRIDE
  }
  #next(node: number): number {
    // F(names.next) pairs with E in #setNext: the node may be read. Mutant: names/link-first.
    return loadAtomic32(this.#memory.i32, node * 2 + nextField)
  }
  #setNext(node: number, next: number): void {
    // E(names.next) publishes what is behind; pairs with F in #next: it is everybody's to read, and
    // what is not behind any more may be freed after a grace period. Mutant: names/link-first.
    storeAtomic32(this.#memory.i32, node * 2 + nextField, next)
  }
  #key(node: number): number {
    return loadU32(this.#memory.u32, node * 2 + keyField)
  }
  #setCount(count: number): void {
    mem.store32(this.#memory.i32, this.#table + countField, count)
  }
}

/** The key of entries with this hash: behind that of any bucket which their searches begin at. */
function keyOf(hash: number): number {
  return (reversed(hash) | 1) >>> 0
}
/** The bucket that was cut in two for this one: without its highest bit. */
function parentOf(bucket: number): number {
  return bucket & ~(1 << (31 - Math.clz32(bucket)))
}
function segmentOf(bucket: number): number {
  return bucket < FIRST_BUCKETS ? 0 : 32 - Math.clz32(bucket / FIRST_BUCKETS)
}
/** The first bucket of a segment. */
function firstOf(segment: number): number {
  return segment === 0 ? 0 : FIRST_BUCKETS << (segment - 1)
}

/** The 32 bits, the lowest first. */
function reversed(bits: number): number {
  let word = bits
  word = ((word >>> 1) & 0x55555555) | ((word & 0x55555555) << 1)
  word = ((word >>> 2) & 0x33333333) | ((word & 0x33333333) << 2)
  word = ((word >>> 4) & 0x0f0f0f0f) | ((word & 0x0f0f0f0f) << 4)
  word = ((word >>> 8) & 0x00ff00ff) | ((word & 0x00ff00ff) << 8)
  return ((word >>> 16) | (word << 16)) >>> 0
}
