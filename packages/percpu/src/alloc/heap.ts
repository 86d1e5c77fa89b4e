/**
 * The heap: memory of any size for all threads, from the caches of the size classes, or for large blocks straight from pages.
 *
 *     1 … 2048 bytes    the next larger size class, at a multiple of 8; `align` up to 64
 *     … 4 MiB           2^order pages, at a multiple of their size
 *
 * An address alone tells what lies there: the descriptor of its page names the cache, or says that a large block starts.
 */
import { store32, type Memory } from '#mem'
import * as mem from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { ArgumentError } from '../errors.js'
import { OutOfMemoryError } from '../machine/errors.js'
import type { Struct } from '../layout/index.js'
import { checkObject, shown } from '../machine/check.js'
import type { Memblock } from '../bootmem/memblock.js'
import { cpuOf, incarnationOf } from '../machine/token.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { PAGE_REF_SHIFT } from './address.js'
import type { Owner } from './owner.js'
import type { Cache } from './cache.js'
import { CacheTable } from './cache-table.js'
import { DoubleFreeError, ForeignAddressError, type HeapCorruptionError } from './errors.js'
import { classTable, MAX_CLASS } from './geometry.js'
import { MAX_ORDER } from './layouts.js'
import { give, take, type Magazine } from './magazine.js'
import { isAllocated, isPersistent } from './tag.js'
import {
  addressOf,
  CACHE_SHIFT,
  descriptorWords,
  FREE,
  KIND,
  LARGE,
  OF_CACHE,
  orderOf,
  SLAB,
  state,
  tag,
  TAIL,
  USED,
} from './page-map.js'
import type { PageAllocator } from './pages.js'
import { allocationNames, checkRequest, type AllocationRequest } from './request.js'
import { TAGS } from './slabs.js'
import type { ZoneReport } from './zone.js'

/** Something that is allocated. */
export interface Allocation {
  readonly address: number
  /** Bytes that may be written. */
  readonly size: number
  /** Name of the cache, or undefined for a large block. */
  readonly cache: string | undefined
  /** Which incarnation of which CPU took it. */
  readonly cpu: number
  readonly incarnation: number
  /** Whether it outlives that incarnation. */
  readonly persistent: boolean
  /** In debug mode, if it was given one. */
  readonly label: string | undefined
}

export interface CacheReport {
  readonly name: string
  readonly size: number
  /** Objects allocated, and free ones in slabs and all magazines. */
  readonly allocated: number
  readonly free: number
  /** Bytes of its slabs. */
  readonly bytes: number
}
export interface HeapReport {
  readonly zones: readonly ZoneReport[]
  readonly caches: readonly CacheReport[]
}

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32 } = mem
const pageRefShift = PAGE_REF_SHIFT
const descriptorShift = Math.log2(descriptorWords)
const cacheShift = CACHE_SHIFT
const ofCache = OF_CACHE

/** What the usual ways read, in one object with plain fields: the compiler knows more of those than of private ones. */
interface Hot {
  readonly memory: Memory
  /** The magazines of the size classes, for each number of bytes, and of all caches in use; none in debug mode. */
  readonly classes: (Magazine | undefined)[]
  readonly magazines: readonly (Magazine | undefined)[]
  /** Word index of the state of page 0, and the number of pages. */
  readonly pageMap: number
  readonly pages: number
}

/** Of the largest block. */
const MAX_ALIGN = PAGE_BYTES << MAX_ORDER
const classTables = [8, 16, 32, 64].map(classTable)

export class Heap {
  readonly #owner: Owner
  readonly #memory: Memory
  /** Blocks of pages. */
  readonly pages: PageAllocator
  readonly #table: CacheTable
  readonly #hot: Hot
  readonly #pageMap: number
  readonly #pageEnd: number

  /** Regions of boot memory: few, and larger than the largest block of pages. */
  readonly memblock: Memblock

  /** @internal Made by the layer. */
  constructor(owner: Owner, pages: PageAllocator, memblock: Memblock) {
    this.memblock = memblock
    this.#owner = owner
    this.#memory = owner.memory
    this.pages = pages
    this.#table = new CacheTable(owner, pages)
    this.#pageMap = owner.map.pageMap
    this.#pageEnd = owner.map.pages
    this.#hot = {
      memory: owner.memory,
      classes: new Array<undefined>(MAX_CLASS + 1).fill(undefined),
      magazines: this.#table.magazines,
      pageMap: owner.map.pageMap + state,
      pages: owner.map.pages,
    }
  }

  alloc(bytes: number, request?: AllocationRequest): number {
    if (request === undefined && bytes > 0 && bytes <= MAX_CLASS) {
      // None for a number that is not whole.
      const magazine = this.#hot.classes[bytes]
      const address = magazine === undefined ? 0 : take(magazine)
      if (address !== 0) return address
    }
    return this.#allocSpecial(bytes, request)
  }

  free(address: number): void {
    const hot = this.#hot
    const reference = address / 8
    const page = reference >> pageRefShift
    if ((reference | 0) !== reference || page <= 0 || page >= hot.pages) throw foreign(address)
    const found = load32(hot.memory.i32, hot.pageMap + (page << descriptorShift))
    const magazine = hot.magazines[(found & ofCache) >>> cacheShift]
    if (magazine === undefined || !give(magazine, reference, found)) this.#freeSpecial(address)
  }

  persist(address: number, section?: SectionWriter): void {
    const cache = this.#cacheOf(address)
    if (cache) cache.persist(address, section)
    else this.pages.persist(this.#large(address), section)
  }

  adopt(address: number, section?: SectionWriter): void {
    const cache = this.#cacheOf(address)
    if (cache) cache.adopt(address, section)
    else this.pages.adopt(this.#large(address), section)
  }

  cache(name: string, layout: Pick<Struct, 'size' | 'align' | 'hash'>): Cache {
    checkObject('layout', layout)
    const { size, align, hash } = layout
    if (!Number.isInteger(hash)) throw new ArgumentError('layout: this is no struct', { layout })
    return this.#table.named(name, { size, align: Math.max(8, align), hash })
  }

  /** Gives this CPU's magazines and pages back, and slabs without objects. */
  trim(): void {
    for (const cache of this.#table.all()) cache.trim()
    this.pages.trim()
  }

  report(): HeapReport {
    const counts = new Map<number, { slabs: number; allocated: number }>()
    for (const [page, index] of this.#slabs()) {
      const { length } = this.#allocatedIn(page, this.#table.at(index))
      if (!this.#isSlab(page, index)) continue
      const count = counts.get(index) ?? { slabs: 0, allocated: 0 }
      counts.set(index, count)
      count.slabs++
      count.allocated += length
    }
    const caches = this.#table.all().map((cache): CacheReport => {
      const { slabs, allocated } = counts.get(cache.index) ?? { slabs: 0, allocated: 0 }
      const { order, objects } = cache.geometry
      const bytes = slabs * (PAGE_BYTES << order)
      return { name: cache.name, size: cache.size, allocated, free: slabs * objects - allocated, bytes }
    })
    return { zones: this.pages.report(), caches }
  }

  /** @throws HeapCorruptionError in debug mode, if something was written outside an object. */
  allocations(): Allocation[] {
    const all: Allocation[] = []
    for (const [page, index] of this.#slabs()) {
      const cache = this.#table.at(index)
      if (cache) all.push(...this.#describeSlab(page, cache))
    }
    for (const zone of this.pages.zones) {
      for (const page of zone.select(() => true)) {
        const at = this.#pageMap + page * 4
        const found = load32(this.#memory.i32, at + state)
        const owner = load32(this.#memory.i32, at + tag)
        if ((found & (KIND | LARGE)) !== (USED | LARGE) || !isAllocated(owner)) continue
        all.push(describe(owner, addressOf(page), PAGE_BYTES << orderOf(found), undefined, undefined))
      }
    }
    return all
  }

  #allocSpecial(bytes: number, request: AllocationRequest = {}): number {
    checkRequest('alloc', request, allocationNames)
    const { align = 8 } = request
    if (!Number.isInteger(bytes) || bytes < 1)
      throw new ArgumentError(`bytes: ${shown(bytes)} is not a whole number from 1 on`, { bytes })
    if (!Number.isInteger(align) || align < 1 || align > MAX_ALIGN || (align & (align - 1)) !== 0)
      throw new ArgumentError(`align: ${shown(align)} is not a power of two up to 4 MiB`, { align })
    if (bytes > MAX_CLASS || align > 64) return this.#allocLarge(bytes, align, request)
    const units = (bytes + 7) >>> 3
    const table = classTables[Math.max(0, Math.log2(align) - 3)]
    const cache = this.#table.sizeClass(table?.[units] ?? 0)
    if (align <= 8 && !this.#table.debug) this.#hot.classes.fill(cache.magazine, units * 8 - 7, units * 8 + 1)
    return cache.allocateBytes(bytes, request)
  }

  #allocLarge(bytes: number, align: number, { zero = false, persist = false }: AllocationRequest): number {
    const order = Math.max(0, Math.ceil(Math.log2(Math.max(bytes, align) / PAGE_BYTES)))
    const address = order > MAX_ORDER ? undefined : this.pages.tryAlloc(order, { zero })
    if (address === undefined) {
      const why =
        order > MAX_ORDER
          ? 'the largest block has 4 MiB; take larger ones from `memblock`'
          : 'boot with more `memory`'
      throw new OutOfMemoryError(`no room for ${bytes} bytes: ${why}`, { bytes, align })
    }
    const word = this.#pageMap + (address / PAGE_BYTES) * 4 + state
    store32(this.#memory.i32, word, load32(this.#memory.i32, word) | LARGE)
    if (persist) this.pages.persist(address)
    return address
  }

  /** A full magazine, a cache that this thread has not used, a large block, a wrong address, or debug mode. */
  #freeSpecial(address: number): void {
    const cache = this.#cacheOf(address)
    if (cache !== undefined) cache.free(address)
    else this.pages.freeLarge(this.#large(address) / PAGE_BYTES)
  }

  /** @throws unless a large block starts there. */
  #large(address: number): number {
    const page = address / PAGE_BYTES
    const found = load32(this.#memory.i32, this.#pageMap + page * 4 + state)
    const isBlock = Number.isInteger(page) && (found & KIND) === USED
    if (isBlock && (found & LARGE) !== 0) return address
    const isFree = isBlock && !isAllocated(load32(this.#memory.i32, this.#pageMap + page * 4 + tag))
    if (isFree || (Number.isInteger(page) && (found & KIND) === FREE))
      throw new DoubleFreeError(`the block at ${address} is free already`, { address })
    throw foreign(address)
  }

  #cacheOf(address: number): Cache | undefined {
    const page = Math.floor(address / PAGE_BYTES)
    if (!(page > 0 && page < this.#pageEnd)) throw foreign(address)
    const found = load32(this.#memory.i32, this.#pageMap + page * 4 + state)
    return (found & KIND) === SLAB ? this.#table.at((found & OF_CACHE) >>> CACHE_SHIFT) : undefined
  }

  /** The allocated objects of a slab; none if it ceased to be one meanwhile, as then they were none. */
  #describeSlab(page: number, cache: Cache): Allocation[] {
    const { debug } = this.#table
    const all: Allocation[] = []
    let fault: HeapCorruptionError | undefined
    for (const [word, address, owner] of this.#allocatedIn(page, cache)) {
      fault ??= debug?.fault(cache, address, word, owner)
      const label = debug?.label(cache, word)
      all.push(describe(owner, address, debug?.size(cache, word) ?? cache.size, cache.name, label))
    }
    if (!this.#isSlab(page, cache.index)) return []
    if (fault) throw fault
    return all
  }

  #isSlab(page: number, cache: number): boolean {
    const at = this.#owner.map.descriptor(page)
    const found = load32(this.#memory.i32, at + state)
    const isOne = (found & (OF_CACHE | TAIL)) === (SLAB | (cache << CACHE_SHIFT))
    return isOne && isPersistent(load32(this.#memory.i32, at + tag))
  }

  /** Slabs that belong to their caches, first page and number of the cache. */
  *#slabs(): Generator<readonly [page: number, cache: number]> {
    for (const zone of this.pages.zones) {
      for (const page of zone.select(isPersistent)) {
        const found = load32(this.#memory.i32, this.#owner.map.descriptor(page) + state)
        if ((found & (KIND | TAIL)) === SLAB) yield [page, (found & OF_CACHE) >>> CACHE_SHIFT]
      }
    }
  }

  /** The allocated objects of a slab: word index of the tag, address, and the tag. */
  #allocatedIn(page: number, cache: Cache | undefined): (readonly [number, number, number])[] {
    const found: (readonly [number, number, number])[] = []
    const tags = (page * PAGE_BYTES) / 4 + TAGS
    for (let i = 0; cache && i < cache.geometry.objects; i++) {
      const owner = load32(this.#memory.i32, tags + i)
      if (isAllocated(owner)) found.push([tags + i, cache.addressIn(page, i), owner])
    }
    return found
  }
}

function describe(
  owner: number,
  address: number,
  size: number,
  cache: string | undefined,
  label: string | undefined,
): Allocation {
  return {
    address,
    size,
    cache,
    cpu: cpuOf(owner),
    incarnation: incarnationOf(owner),
    persistent: isPersistent(owner),
    label,
  }
}
function foreign(address: number): ForeignAddressError {
  return new ForeignAddressError(`nothing that the heap handed out starts at ${address}`, { address })
}
