/** Where things are in a map: its words, its buckets, and which bucket a hash has. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { roundUp } from '../../arithmetic.js'
import type { Clock } from '../../machine/clock.js'
import { BLOCK_BUCKETS, BLOCK_SHIFT, FIRST_BUCKETS, MapBucket, MapCpu, MapRoot } from './map-layout.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, loadAtomic32, loadF64, loadU32, store32 } = mem
const blockBuckets = BLOCK_BUCKETS
const blockShift = BLOCK_SHIFT
const firstShift = 31 - Math.clz32(FIRST_BUCKETS)
/** Blocks before the first one that has the largest size, less one. */
const smallBlocks = blockShift - firstShift
const bucketShift = 31 - Math.clz32(MapBucket.stride / 4)

/** Hot: plain fields. Word indices, all of them. */
export interface MapTable {
  readonly memory: Memory
  /** Of its MapRoot. */
  readonly root: number
  /** The number of buckets, how often some were merged, and how many have a lock. */
  readonly buckets: number
  readonly merges: number
  readonly made: number
  /** What `merges` said when this thread has looked last: reader.ts. */
  seenMerges: number
  /** The first word of the directory, and how many there are. */
  readonly directory: number
  readonly blocks: number
  /** For each of these blocks, how often its first bucket was made. */
  readonly entered: number
  /** CPU 0's MapCpu; the others' follow. */
  readonly counts: number
  readonly cpus: number
  readonly seed0: number
  readonly seed1: number
  /** 1 if values lie at an even word, as some structs want; else 0. */
  readonly pad: number
  /** Whether entries have what lifetime.ts says. */
  readonly isCache: boolean
  /** Entries that it holds at most, and ms for which they live; 0: no limit. */
  readonly capacity: number
  readonly ttl: number
  /** Units of 8 bytes that its entries take at most; 0: no limit, and they are not counted. */
  readonly capacityUnits: number
  /** Where evict.ts goes on. */
  readonly hand: number
  /** The mask of those that watch. */
  readonly watchers: number
  readonly clock: Clock
}

/** Words of the directory of a map in a memory of so many bytes. */
export function directoryWords(byteLength: number): number {
  return smallBlocks + 1 + Math.ceil(byteLength / (BLOCK_BUCKETS * MapBucket.stride))
}

/** Bytes of a map's named object, and where its parts lie in it. */
export function mapShape(
  cpus: number,
  blocks: number,
): { counts: number; directory: number; first: number; bytes: number } {
  const counts = MapRoot.stride
  const directory = counts + cpus * MapCpu.stride
  const first = directory + roundUp(blocks * 8, MapBucket.stride)
  return { counts, directory, first, bytes: first + FIRST_BUCKETS * MapBucket.stride }
}

/** Makes a map at a byte address, where all is 0. No other thread knows it yet. */
export function initialiseTable({ i32 }: Memory, address: number, cpus: number, blocks: number): void {
  const { words } = MapRoot
  const { directory, first } = mapShape(cpus, blocks)
  store32(i32, address / 4 + words.blocks, blocks)
  store32(i32, (address + directory) / 4, (address + first) / 8)
  // atomic: nobody else knows it.
  mem.storeAtomic32(i32, address / 4 + words.buckets, FIRST_BUCKETS)
  store32(i32, address / 4 + words.made, FIRST_BUCKETS)
}

/** The map at a byte address. `pad`: of MapTable. */
export function openTable(
  memory: Memory,
  address: number,
  cpus: number,
  pad: number,
  clock: Clock,
): MapTable {
  const { words } = MapRoot
  const root = address / 4
  const blocks = load32(memory.i32, root + words.blocks)
  const shape = mapShape(cpus, blocks)
  const capacity = loadU32(memory.u32, root + words.capacity)
  const ttl = loadF64(memory.f64, (address + MapRoot.offsets.ttl) / 8)
  const capacityUnits = loadU32(memory.u32, root + words.capacityUnits)
  return {
    memory,
    root,
    buckets: root + words.buckets,
    merges: root + words.merges,
    made: root + words.made,
    // atomic: what is read of the map is read after this.
    seenMerges: loadAtomic32(memory.i32, root + words.merges),
    directory: root + shape.directory / 4,
    blocks,
    entered: root + shape.directory / 4 + blocks,
    counts: root + shape.counts / 4,
    cpus,
    seed0: load32(memory.i32, root + words.seed),
    seed1: load32(memory.i32, root + words.seed + 1),
    pad,
    isCache: capacity !== 0 || ttl !== 0 || capacityUnits !== 0,
    capacity,
    ttl,
    capacityUnits,
    hand: root + words.hand,
    watchers: root + words.watchers,
    clock,
  }
}

/** Which of `count` buckets a hash has. */
export function bucketOf(count: number, hash: number): number {
  const mask = -1 >>> Math.clz32(count - 1)
  const index = hash & mask
  return index < count ? index : index & (mask >>> 1)
}
/** The bucket that is split to make this one, which is none of the first. */
export function parentOf(index: number): number {
  return index & ~highestBit(index)
}
/** The bit of their hashes in which the entries of a bucket and of its parent differ. */
export function highestBit(index: number): number {
  return 1 << (31 - Math.clz32(index))
}
/** How many of its lowest bits all hashes have in common that have the same bucket as this one. */
export function bitsOf(count: number, hash: number): number {
  const bits = 32 - Math.clz32(count - 1)
  return (hash & (-1 >>> (32 - bits))) < count ? bits : bits - 1
}

/** In which block of buckets a bucket is, as an index of the directory. */
export function blockOf(index: number): number {
  return index < blockBuckets ? 32 - Math.clz32(index >>> firstShift) : smallBlocks + (index >>> blockShift)
}
/** The first bucket of a block. */
export function firstOf(block: number): number {
  if (block > smallBlocks) return (block - smallBlocks) << blockShift
  return block === 0 ? 0 : 1 << (block + firstShift - 1)
}
/** Buckets of a block. */
export function bucketsIn(block: number): number {
  return block > smallBlocks ? blockBuckets : Math.max(FIRST_BUCKETS, firstOf(block))
}

/**
 * Word index of a bucket. The number of buckets, by which it is known to be there, was read before:
 * so its block may be read plainly.
 */
export function bucketWord(table: MapTable, index: number): number {
  const block = blockOf(index)
  const base = load32(table.memory.i32, table.directory + block) * 2
  return base + ((index - firstOf(block)) << bucketShift)
}

/** How many entries there are. A snapshot, exact if nobody writes. */
export function countEntries(table: MapTable): number {
  return sumOf(table, MapCpu.words.entries)
}
/** How many units of 8 bytes the entries take of a map in which they are limited. As above. */
export function countUnits(table: MapTable): number {
  return sumOf(table, MapCpu.words.units)
}
function sumOf({ memory, counts, cpus }: MapTable, word: number): number {
  const stride = MapCpu.stride / 4
  let sum = 0
  for (let cpu = 0; cpu < cpus; cpu++) sum = (sum + load32(memory.i32, counts + cpu * stride + word)) | 0
  return sum
}
