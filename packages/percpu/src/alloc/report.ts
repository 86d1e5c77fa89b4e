/**
 * What is allocated, and of what the heap consists: walks over the page map and the tags, without a
 * lock. While others allocate and free, they may miss what changes, or still list it.
 *
 * A slab may go back to its zone while it is looked at, and become anything. All its objects were
 * free then: what was found in a block that is no slab any more is thrown away.
 */
import { load32 } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { cpuOf, incarnationOf } from '../machine/token.js'
import type { CacheTable } from './cache-table.js'
import type { HeapCorruptionError } from './errors.js'
import type { Owner } from './owner.js'
import {
  addressOf,
  cacheOf,
  KIND,
  LARGE,
  OF_CACHE,
  orderOf,
  SLAB,
  slabState,
  TAIL,
  USED,
} from './page-map.js'

import type { SlabCache } from './slab-cache.js'
import { TAGS } from './slots.js'
import { isAllocated, isPersistent } from './tag.js'
import type { ZoneReport } from './zone.js'
import type { Zones } from './zones.js'

/** Something that is allocated. */
export interface Allocation {
  /** Its byte address. */
  readonly address: number
  /** Bytes that may be written. */
  readonly size: number
  /** Name of the cache; undefined for a large block. */
  readonly cache: string | undefined
  /** The CPU and its incarnation that took it, or made it persistent or adopted it since. */
  readonly cpu: number
  readonly incarnation: number
  /** Whether it outlives that incarnation. */
  readonly persistent: boolean
  /** In debug mode, if it was given one. */
  readonly label: string | undefined
}

/** How much of a cache, or of a size class, is used. */
export interface CacheReport {
  readonly name: string
  /** Bytes of an object. */
  readonly size: number
  /** Objects allocated. */
  readonly allocated: number
  /** Free objects, in slabs and in all magazines. */
  readonly free: number
  /** Bytes of its slabs. */
  readonly bytes: number
}
/** How much of the heap is used. */
export interface HeapReport {
  /** One a NUMA node. */
  readonly zones: readonly ZoneReport[]
  /** The size classes that are in use, and all named caches. */
  readonly caches: readonly CacheReport[]
}

/** What is walked over. */
export interface HeapParts {
  readonly owner: Owner
  readonly zones: Zones
  readonly caches: CacheTable
}

export function reportHeap(parts: HeapParts): HeapReport {
  const counts = new Map<SlabCache, { slabs: number; allocated: number }>()
  for (const [page, cache] of slabs(parts)) {
    const { length } = allocatedIn(parts, page, cache)
    if (!isSlab(parts, page, cache)) continue
    const count = counts.get(cache) ?? { slabs: 0, allocated: 0 }
    counts.set(cache, count)
    count.slabs++
    count.allocated += length
  }
  const caches = parts.caches.all().map((cache): CacheReport => {
    const { slabs = 0, allocated = 0 } = counts.get(cache) ?? {}
    const { order, objects } = cache.geometry
    const bytes = slabs * (PAGE_BYTES << order)
    return { name: cache.name, size: cache.size, allocated, free: slabs * objects - allocated, bytes }
  })
  return { zones: parts.zones.list.map((zone) => zone.report()), caches }
}

/** @throws HeapCorruptionError in debug mode, if something was written outside an object. */
export function listAllocations(parts: HeapParts): Allocation[] {
  const all: Allocation[] = []
  for (const [page, cache] of slabs(parts)) all.push(...describeSlab(parts, page, cache))
  const { pageMap } = parts.owner
  for (const zone of parts.zones.list) {
    for (const page of zone.select(() => true)) {
      const [state, tag] = [pageMap.state(page), pageMap.tag(page)]
      if ((state & (KIND | LARGE)) !== (USED | LARGE) || !isAllocated(tag)) continue
      all.push(describe(tag, addressOf(page), PAGE_BYTES << orderOf(state), undefined, undefined))
    }
  }
  return all
}

/** The allocated objects of a slab. */
function describeSlab(parts: HeapParts, page: number, cache: SlabCache): Allocation[] {
  const { debug } = parts.caches
  const all: Allocation[] = []
  let fault: HeapCorruptionError | undefined
  for (const { word, address, tag } of allocatedIn(parts, page, cache)) {
    fault ??= debug?.fault(cache, address, word, tag)
    const label = debug?.label(cache, word)
    all.push(describe(tag, address, debug?.size(cache, word) ?? cache.size, cache.name, label))
  }
  if (!isSlab(parts, page, cache)) return []
  if (fault) throw fault
  return all
}

function describe(
  tag: number,
  address: number,
  size: number,
  cache: string | undefined,
  label: string | undefined,
): Allocation {
  const [cpu, incarnation, persistent] = [cpuOf(tag), incarnationOf(tag), isPersistent(tag)]
  return { address, size, cache, cpu, incarnation, persistent, label }
}

/** The slabs that belong to their caches, by their first pages. */
function* slabs({ owner, zones, caches }: HeapParts): Generator<readonly [page: number, cache: SlabCache]> {
  for (const zone of zones.list) {
    for (const page of zone.select(isPersistent)) {
      const state = owner.pageMap.state(page)
      if ((state & (KIND | TAIL)) !== SLAB) continue
      const cache = caches.at(cacheOf(state))
      if (cache) yield [page, cache]
    }
  }
}

/** Whether a block is still a slab of this cache. */
function isSlab({ owner: { pageMap } }: HeapParts, page: number, cache: SlabCache): boolean {
  const isOne = (pageMap.state(page) & (OF_CACHE | TAIL)) === slabState(0, cache.index, 0)
  return isOne && isPersistent(pageMap.tag(page))
}

interface AllocatedObject {
  /** Word index of its tag. */
  readonly word: number
  readonly address: number
  readonly tag: number
}

function allocatedIn({ owner }: HeapParts, page: number, cache: SlabCache): AllocatedObject[] {
  const found: AllocatedObject[] = []
  const tags = addressOf(page) / 4 + TAGS
  for (let slot = 0; slot < cache.geometry.objects; slot++) {
    const tag = load32(owner.memory.i32, tags + slot)
    if (isAllocated(tag)) found.push({ word: tags + slot, address: cache.addressIn(page, slot), tag })
  }
  return found
}
