/**
 * The caches of a machine: the size classes first, then those with names.
 *
 *     HeapRoot.caches[number] ──▶ block of pages: CacheLayout │ magazine of CPU 0 │ of CPU 1 │ …
 *
 * A cache is made when it is first wanted, and is there for good. Its block is complete before the
 * number of its first page is stored in the table, and made persistent after that. If the thread
 * dies between the two, its reaper makes the blocks in the table persistent.
 */
import { copyIn, copyOut, loadAtomic32, loadU32, storeAtomic32, storeU32 } from '#mem'
import { PAGE_BYTES, powerOfTwoAbove } from '../arithmetic.js'
import { ArgumentError } from '../errors.js'
import { checkStored, refused, shown } from '../machine/check.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { decodeText, encodeText } from '../text.js'
import { Debug } from './debug.js'
import { CacheMismatchError } from './errors.js'
import { classAlign, geometryOf, MAX_OBJECT, SIZE_CLASSES, type Geometry } from './geometry.js'
import { CACHE_NAME_BYTES, CacheLayout, HeapRoot, MAX_CACHES } from './layouts.js'
import { magazineStride, type Magazine } from './magazine.js'
import type { Owner } from './owner.js'
import { addressOf } from './page-map.js'
import type { PageAllocator } from './pages.js'
import { SlabCache } from './slab-cache.js'
import { visible } from '../shown.js'

const { words, offsets } = CacheLayout
/** The words of a cache that are its {@link Geometry}. */
const geometryWords = [
  'size',
  'align',
  'stride',
  'order',
  'objects',
  'first',
  'colours',
  'colourStep',
  'capacity',
] as const

export interface CacheShape {
  readonly size: number
  readonly align: number
  /** Layout hash of the struct, or 0. */
  readonly hash: number
}

export class CacheTable {
  readonly debug: Debug | undefined
  readonly #owner: Owner
  readonly #pages: PageAllocator
  /** Those that this thread has used, by their numbers. */
  readonly #caches: (SlabCache | undefined)[] = []
  /** The magazines of those; none in debug mode. */
  readonly magazines: (Magazine | undefined)[] = new Array<undefined>(MAX_CACHES).fill(undefined)

  constructor(owner: Owner, pages: PageAllocator) {
    this.#owner = owner
    this.#pages = pages
    this.debug = owner.map.debug === 0 ? undefined : new Debug(owner)
  }

  /** The cache with this number, if it exists. */
  at(index: number): SlabCache | undefined {
    return (this.#caches[index] ??= this.#open(index))
  }

  /** The cache of a size class, made if need be. @throws OutOfMemoryError; LockTimeoutError. */
  sizeClass(index: number): SlabCache {
    const size = SIZE_CLASSES[index] ?? 0
    const shape = { size, align: classAlign(size), hash: 0 }
    return this.at(index) ?? this.#existing(this.#create(`size-${size}`, shape, index))
  }

  /**
   * The cache of this name, made if need be.
   *
   * @throws CacheMismatchError if it is for something else; ArgumentError; OutOfMemoryError;
   *   LockTimeoutError.
   */
  named(name: string, shape: CacheShape): SlabCache {
    checkStored('name', name, CACHE_NAME_BYTES)
    if (name.startsWith('size-')) throw refused('name', name, "not free: the library's own begin with size-")
    const index = this.#find(name) ?? this.#create(name, checkShape(shape))
    const cache = this.#existing(index)
    const { size, align } = cache.geometry
    const hash = this.hashOf(cache)
    if (size === shape.size && align === shape.align && hash === shape.hash) return cache
    const isAlike = size === shape.size && align === shape.align
    throw new CacheMismatchError(
      `cache ${shown(name)} is for objects of ${size} bytes aligned to ${align}, ` +
        (isAlike ? 'of another layout' : `not of ${shape.size} aligned to ${shape.align}`),
      { name, expected: shape, found: { size, align, hash } },
    )
  }

  /** All caches that exist. */
  all(): SlabCache[] {
    const all: SlabCache[] = []
    for (let index = 0; index < MAX_CACHES; index++) {
      const cache = this.at(index)
      if (cache) all.push(cache)
    }
    return all
  }

  /**
   * For the reaper: the dead CPU may have put blocks into the table that are not persistent yet.
   */
  persistLinked(): void {
    for (let index = 0; index < MAX_CACHES; index++) {
      const page = this.#page(index)
      if (page !== 0) this.#pages.persistLinked(page)
    }
  }

  /** Layout hash of a cache's struct, or 0. */
  hashOf({ at }: SlabCache): number {
    return loadU32(this.#owner.memory.u32, at + words.layoutHash)
  }

  #existing(index: number): SlabCache {
    const cache = this.at(index)
    if (!cache) throw new RangeError(`there is no cache ${index}`)
    return cache
  }

  #find(name: string): number | undefined {
    for (let index = SIZE_CLASSES.length; index < MAX_CACHES; index++) {
      const cache = this.at(index)
      if (!cache) return undefined
      if (cache.name === name) return index
    }
    return undefined
  }

  /** Makes a cache, unless another thread is faster. Returns its number. */
  #create(name: string, shape: CacheShape, wanted?: number): number {
    const { map, objectLock } = this.#owner
    return objectLock.locked(map.root + HeapRoot.words.lock, () => {
      const found = wanted === undefined ? this.#find(name) : wanted
      if (found !== undefined && this.#page(found) !== 0) return found
      const index = found ?? this.#firstFree(name)
      const geometry = geometryOf(shape.size, shape.align, map)
      const bytes = CacheLayout.stride + map.cpus * magazineStride(geometry.capacity)
      const order = Math.max(0, Math.log2(powerOfTwoAbove(bytes / PAGE_BYTES)))
      const address = this.#pages.tryAlloc(order, { zero: true })
      if (address === undefined)
        throw new OutOfMemoryError(`no room for the magazines of cache '${visible(name)}'`, {
          name,
          size: bytes,
        })
      this.#write(address, name, geometry, shape.hash)
      // G(heap.caches) publishes the cache; pairs with H in #page: it is everybody's to use, and
      // its shape never changes. Mutant: alloc/cache-before-shape.
      storeAtomic32(this.#owner.memory.i32, this.#slot(index), address / PAGE_BYTES)
      // In the table first, then persistent. Mutant: alloc/cache-persistent-first.
      this.#pages.persist(address)
      return index
    })
  }

  #firstFree(name: string): number {
    for (let index = SIZE_CLASSES.length; index < MAX_CACHES; index++)
      if (this.#page(index) === 0) return index
    throw new OutOfMemoryError(`no room for cache ${shown(name)}: all ${MAX_CACHES} are in use`, { name })
  }

  #write(address: number, name: string, geometry: Geometry, hash: number): void {
    const { memory } = this.#owner
    const bytes = encodeText(name)
    for (const field of geometryWords) storeU32(memory.u32, address / 4 + words[field], geometry[field])
    storeU32(memory.u32, address / 4 + words.layoutHash, hash)
    storeU32(memory.u32, address / 4 + words.nameLength, bytes.length)
    copyIn(memory, address + offsets.name, bytes)
  }

  #open(index: number): SlabCache | undefined {
    const { memory } = this.#owner
    const page = this.#page(index)
    if (page === 0) return undefined
    const address = addressOf(page)
    const at = address / 4
    const length = loadU32(memory.u32, at + words.nameLength)
    const name = decodeText(copyOut(memory, address + offsets.name, length))
    const fields = geometryWords.map((field) => [field, loadU32(memory.u32, at + words[field])])
    const geometry = Object.fromEntries(fields) as unknown as Geometry
    if (!this.#owner.isReaper) this.#owner.use()
    const { debug } = this
    const cache = new SlabCache({
      owner: this.#owner,
      pages: this.#pages,
      debug,
      at,
      index,
      name,
      geometry,
    })
    if (!debug) this.magazines[index] = cache.magazine
    return cache
  }

  /** First page of a cache's block; 0 if there is no such cache. */
  #page(index: number): number {
    // H(heap.caches) pairs with G in #create: the shape of the cache may be read. Mutant:
    // alloc/cache-before-shape.
    return loadAtomic32(this.#owner.memory.i32, this.#slot(index))
  }
  #slot(index: number): number {
    return this.#owner.map.root + HeapRoot.words.caches + index
  }
}

function checkShape(shape: CacheShape): CacheShape {
  const { size, align } = shape
  if (!(size > 0 && size <= MAX_OBJECT))
    throw new ArgumentError(`struct: objects of ${size} bytes are larger than ${MAX_OBJECT}`, { size })
  if (align > PAGE_BYTES)
    throw new ArgumentError(`struct: it is aligned to ${align} bytes, more than ${PAGE_BYTES}`, { align })
  return shape
}
