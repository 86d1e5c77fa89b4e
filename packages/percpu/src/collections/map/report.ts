/** A map as watchers see it, and the check of all its words. */
import { load32, loadAtomic32, type I32View } from '#mem'
import { isPersistent } from '../../alloc/tag.js'
import { shown } from '../../machine/check.js'
import { keyBytesOf, readKey } from './entry.js'
import { MapCorruptionError } from '../errors.js'
import { hashWords, tagOf } from './hash.js'
import { MapBucket, SLOTS } from './map-layout.js'
import type { WriterParts } from './parts.js'
import { isEntryOf, loadBuckets } from './reader.js'
import { Scratch } from '../scratch.js'
import { bucketOf, bucketWord, countEntries, countUnits, type MapTable } from './table.js'
import { sumTallies, type MapTallies } from './tally.js'

const { tags, slots, next } = MapBucket.words

/** How full a map is, and what was looked up in it. */
export interface MapReport extends MapTallies {
  readonly name: string
  readonly entries: number
  readonly buckets: number
  /** Bytes of its buckets, without their overflow blocks. */
  readonly bucketBytes: number
  /** Bytes that its entries take, of a map with a capacity in bytes; else undefined. */
  readonly entryBytes: number | undefined
}

export function describeMap(name: string, table: MapTable): MapReport {
  const entries = countEntries(table)
  const buckets = loadBuckets(table)
  const bucketBytes = buckets * MapBucket.stride
  const entryBytes = table.capacityUnits === 0 ? undefined : countUnits(table) * 8
  return { name, entries, buckets, bucketBytes, entryBytes, ...sumTallies(table) }
}

/** `isQuiet`: nobody writes meanwhile. @throws MapCorruptionError; LockTimeoutError. */
export function verifyMap(name: string, table: MapTable, parts: WriterParts, isQuiet: boolean): void {
  const faults: string[] = []
  let entries = 0
  const sum = { units: 0 }
  for (let index = 0; index < loadBuckets(table); index++) {
    const bucket = bucketWord(table, index)
    parts.lock.lock(bucket)
    try {
      entries += checkBucket(table, parts, index, faults, sum)
    } finally {
      parts.lock.unlock()
    }
  }
  const counted = countEntries(table)
  if (isQuiet && entries !== counted) faults.push(`there are ${entries} entries, and ${counted} are counted`)
  if (isQuiet && table.capacityUnits !== 0 && sum.units !== countUnits(table))
    faults.push(`entries take ${sum.units} units, and ${countUnits(table)} are counted`)
  if (faults.length === 0) return
  throw new MapCorruptionError(`the map ${shown(name)} is corrupt: ${faults.join('; ')}`, { name, faults })
}

/** Checks a bucket whose lock is held; returns the number of its entries, and adds their units. */
function checkBucket(
  table: MapTable,
  { heap }: WriterParts,
  index: number,
  faults: string[],
  sum: { units: number },
): number {
  const { i32 } = table.memory
  const keys = new Set<string>()
  let entries = 0
  const check = (reference: number, tag: number, where: string): void => {
    const fault = faultOf(table, index, reference, tag, keys)
    if (fault !== undefined) faults.push(`${where}: ${fault}`)
    else if (!isPersistent(load32(i32, heap.tags.wordOf(reference * 8))))
      faults.push(`${where}: its entry is free`)
    else if (table.capacityUnits !== 0) sum.units += heap.tags.bytesOf(reference * 8) >>> 3
  }
  for (let block = bucketWord(table, index), depth = 0; block !== 0; depth++) {
    for (let slot = 0; slot < SLOTS; slot++) {
      // atomic: the lock is held.
      const reference = loadAtomic32(i32, block + slots + slot)
      const tag = tagIn(i32, block, slot)
      if (reference === 0 && tag === 0) continue
      entries++
      check(reference, tag, `bucket ${index}, block ${depth}, slot ${slot}`)
    }
    // atomic: the lock is held.
    block = loadAtomic32(i32, block + next) * 2
  }
  return entries
}

function tagIn(i32: I32View, block: number, slot: number): number {
  // atomic: the lock is held.
  return (loadAtomic32(i32, block + tags + (slot >>> 2)) >>> ((slot & 3) * 8)) & 0xff
}

const scratch = new Scratch(4096 + 64)

function faultOf(
  table: MapTable,
  index: number,
  reference: number,
  tag: number,
  keys: Set<string>,
): string | undefined {
  if (reference === 0) return 'a tag without an entry'
  const { memory } = table
  const entry = reference * 2
  if (keyBytesOf(memory.i32, entry) > 4095) return 'a key that is too long'
  readKey(memory, entry, scratch)
  scratch.end(scratch.length)
  const hash = hashWords(scratch.words, scratch.length, table.seed0, table.seed1)
  if (load32(memory.i32, entry) !== hash) return 'an entry with another hash than its key'
  if (!isEntryOf(memory.i32, entry, scratch, hash)) return 'a key that nobody finds: its last word has more'
  if (tag !== tagOf(hash)) return `tag ${tag} instead of ${tagOf(hash)}`
  if (bucketOf(loadBuckets(table), hash) !== index) return 'an entry of another bucket'
  const key = scratch.bytes.subarray(0, scratch.length).join()
  if (keys.has(key)) return 'a key for the second time'
  keys.add(key)
  return undefined
}
