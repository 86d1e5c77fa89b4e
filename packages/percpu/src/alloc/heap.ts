import * as mem from '#mem'
import type { Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { BootRegions } from '../bootmem/memblock.js'
import { ArgumentError } from '../errors.js'
import { fillDraft } from '../layout/draft.js'
import { checkFixed, setFlexibleLength } from '../layout/flexible.js'
import type { Accessor, AnyStruct, Draft, Fields, Kind, Struct } from '../layout/index.js'
import {
  checkFlag,
  checkFunction,
  checkOptions,
  checkPowerOfTwo,
  checkRange,
  checkStruct,
  shown,
} from '../machine/check.js'
import { OutOfMemoryError } from '../machine/errors.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { freeAfter } from './free-after.js'
import { PAGE_REF_SHIFT } from './address.js'
import { Cache } from './cache.js'
import { CacheTable } from './cache-table.js'
import { DoubleFreeError, ForeignAddressError, HeapCorruptionError } from './errors.js'
import { classTable, MAX_CLASS } from './geometry.js'
import { MAX_ORDER } from './layouts.js'
import { give, take, type Magazine } from './magazine.js'
import type { Owner } from './owner.js'
import {
  CACHE_SHIFT,
  cacheOf,
  DESCRIPTOR_SHIFT,
  FREE,
  KIND,
  LARGE,
  OF_CACHE,
  SLAB,
  USED,
} from './page-map.js'
import type { PageAllocator } from './pages.js'
import { listAllocations, reportHeap, type Allocation, type HeapParts, type HeapReport } from './report.js'
import { allocationNames, checkRequest, type AllocationRequest } from './request.js'
import type { SlabCache } from './slab-cache.js'
import { isAllocated } from './tag.js'
import { Tags } from './tags.js'
import { examine } from './verify.js'
import { showAs } from '../inspect.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32 } = mem
const pageRefShift = PAGE_REF_SHIFT
const descriptorShift = DESCRIPTOR_SHIFT
const cacheShift = CACHE_SHIFT
const ofCache = OF_CACHE

/**
 * What the usual ways read, in one object with plain fields: the compiler knows more of those than
 * of private ones.
 */
interface Hot {
  readonly memory: Memory
  /**
   * The magazines of the size classes, for each number of bytes, and of all caches in use; none in
   * debug mode.
   */
  readonly classes: (Magazine | undefined)[]
  readonly magazines: readonly (Magazine | undefined)[]
  /** Word index of the state of page 0, and the number of pages. */
  readonly states: number
  readonly pages: number
}

/** What `heap.verify` takes. */
export interface VerifyOptions {
  /**
   * True: no other thread uses the heap meanwhile. Then the words are checked, too, that other CPUs
   * write without a lock. Default false.
   */
  readonly quiet?: boolean
}

/** Of the largest block. */
const MAX_ALIGN = PAGE_BYTES << MAX_ORDER
/** The size classes for the alignments up to a line. */
const classTables = [8, 16, 32, 64].map(classTable)

/**
 * `machine.heap`: memory of any size for all threads.
 *
 *     1 … 2048 bytes    an object of the next larger size class, at a multiple of 8;
 *                       `align` up to 64
 *     … 4 MiB           a block of 2^order pages, at a multiple of its size
 *
 * What a thread takes is *in flight*: it is freed should the thread die or go offline, until it is
 * made persistent ({@link persist}) or freed. Any thread may be terminated at any instruction: no
 * memory is lost, and none is in two places.
 *
 * An address alone tells what lies there: the descriptor of its page names the cache, or says that
 * a large block starts there. Calls are allowed anywhere, in sections and with locks held.
 */
export class Heap {
  static {
    showAs(this, ({ pages }) => ({ pages: pages.report().length }))
  }

  /** Blocks of pages. */
  readonly pages: PageAllocator
  /** Regions of boot memory: few, and larger than the largest block of pages. */
  readonly memblock: BootRegions
  readonly #owner: Owner
  readonly #table: CacheTable
  readonly #parts: HeapParts
  readonly #hot: Hot
  readonly #blocksOfNames: () => ReadonlySet<number>
  /** @internal */
  readonly tags: Tags
  /** The caches that this thread has looked up, by their numbers. */
  readonly #caches: (Cache | undefined)[] = []

  /** @internal Made by the layer. */
  constructor(
    owner: Owner,
    pages: PageAllocator,
    memblock: BootRegions,
    blocksOfNames: () => ReadonlySet<number>,
  ) {
    this.#blocksOfNames = blocksOfNames
    this.pages = pages
    this.memblock = memblock
    this.#owner = owner
    this.#table = new CacheTable(owner, pages)
    this.#parts = { owner, zones: pages.zones, caches: this.#table }
    this.tags = new Tags(owner, this.#table)
    this.#hot = {
      memory: owner.memory,
      classes: new Array<undefined>(MAX_CLASS + 1).fill(undefined),
      magazines: this.#table.magazines,
      states: owner.pageMap.states,
      pages: owner.map.pages,
    }
  }

  /**
   * Takes memory: 1 byte to 4 MiB. It is in flight. What lies there is not cleared unless
   * `request.zero` asks for it.
   *
   * @returns its byte address, a multiple of 8, or of `request.align`; 0 is no such address.
   *
   * Cost: up to 2048 bytes some ns, without a lock; see "alloc" in docs/benchmarks.md.
   * @throws OutOfMemoryError; ArgumentError; OfflineError; LockTimeoutError if another thread died
   *   in the middle of a change and cannot be cleaned up after meanwhile; in debug mode
   *   HeapCorruptionError.
   */
  alloc(bytes: number, request?: AllocationRequest): number {
    if (request === undefined && typeof bytes === 'number' && bytes > 0 && bytes <= MAX_CLASS) {
      // None for a number that is not whole.
      const magazine = this.#hot.classes[bytes]
      const address = magazine === undefined ? 0 : take(magazine, magazine.token)
      if (address !== 0) return address
    }
    return this.#allocSpecial(bytes, request)
  }

  /**
   * Takes memory for an object of this struct, all of whose words are 0. It is in flight. `length`:
   * elements of its array of run-time length, if it has one. `init` fills it before any other
   * thread can find it; its locked fields have setters there. If `init` throws, the memory is free
   * again.
   *
   * Cost: as for {@link alloc}, a `fill`, and an accessor or two.
   * @throws as {@link alloc}, and what `init` throws.
   */
  create<F extends Fields, K extends Kind>(
    struct: Struct<F, K>,
    length?: number,
    init?: (object: Draft<Struct<F, K>>) => void,
  ): Accessor<Struct<F, K>> {
    const bytes = sizeFor(struct, length)
    if (init !== undefined) checkFunction('init', init)
    const { memory } = this.#owner
    const address = this.alloc(bytes, { align: Math.max(8, struct.align), zero: true })
    try {
      setFlexibleLength(memory, struct, address, length ?? 0)
      if (init !== undefined) fillDraft(struct, memory, address, init)
      return struct.at(memory, address)
    } catch (error) {
      freeAfter(error, () => this.free(address))
    }
  }

  /**
   * Gives memory of {@link alloc}, or an object of a cache, back. Any CPU may, if it is persistent.
   * Memory in flight is its own CPU's to free. The caller sees to it that nobody still reads it,
   * and that no section is open which has made it persistent or adopted it.
   *
   * Cost: as for {@link alloc}.
   * @throws DoubleFreeError, also if it waits to be freed after a grace period;
   *   ForeignAddressError, also if it is in flight with another CPU; OfflineError; LockTimeoutError
   *   as for {@link alloc}; in debug mode HeapCorruptionError. Nothing is changed then.
   */
  free(address: number): void {
    const hot = this.#hot
    if (typeof address !== 'number') throw foreign(address)
    const reference = address / 8
    const page = reference >> pageRefShift
    if ((reference | 0) !== reference || page <= 0 || page >= hot.pages) throw foreign(address)
    const state = load32(hot.memory.i32, hot.states + (page << descriptorShift))
    const magazine = hot.magazines[(state & ofCache) >>> cacheShift]
    if (magazine === undefined || !give(magazine, reference, state)) this.#freeSpecial(address)
  }

  /**
   * From now on what starts at `address` outlives this thread. With a `section`, that holds from
   * its commit on: pass the section that links it. Without one, call it before others can find it.
   *
   * Cost: some tens of ns.
   * @throws ForeignAddressError unless it is in flight with this CPU, or persistent already;
   *   DoubleFreeError if it is free; OfflineError; with a section SectionError, JournalFullError,
   *   ArgumentError for one of another machine.
   */
  persist(address: number, section?: SectionWriter): void {
    const cache = this.#cacheOf(address)
    if (cache) cache.persist(address, section)
    else this.pages.persist(this.#large(address), section)
  }

  /**
   * The opposite of {@link persist}: what starts at `address` is in flight with this CPU, to be
   * freed. With a `section`, pass the one that unlinks it, and free it after that section.
   *
   * Cost: some tens of ns.
   * @throws ForeignAddressError unless it is persistent, or in flight with this CPU already;
   *   DoubleFreeError if it is free; OfflineError; with a section SectionError, JournalFullError,
   *   ArgumentError for one of another machine.
   */
  adopt(address: number, section?: SectionWriter): void {
    const cache = this.#cacheOf(address)
    if (cache) cache.adopt(address, section)
    else this.pages.adopt(this.#large(address), section)
  }

  /**
   * The cache of this name, for objects of this struct, of up to 64 KiB. It is made if need be, and
   * is the same for all threads. Look it up once, not in loops. A machine has room for 231 named
   * caches; they cannot be removed.
   *
   * `name`: 1 to 40 bytes of UTF-8, not beginning with `size-`.
   *
   * @throws CacheMismatchError if the cache exists for objects of another size, alignment or
   *   layout; OutOfMemoryError; ArgumentError; OfflineError; LockTimeoutError as for {@link alloc}.
   */
  cache<S extends AnyStruct>(name: string, struct: S): Cache<S> {
    checkStruct('struct', struct)
    checkFixed(struct)
    const { size, align, hash } = struct
    const slabs = this.#table.named(name, { size, align: Math.max(8, align), hash })
    const known = this.#caches[slabs.index]
    if (known?.struct === struct) return known as Cache<S>
    const cache = new Cache(slabs, struct, this.#owner.memory, this.#table.debug !== undefined)
    this.#caches[slabs.index] = cache
    return cache
  }

  /**
   * What {@link alloc}, {@link create} and caches gave and nobody freed, and whose it is; in debug
   * mode with labels. What has a name is listed elsewhere, as by `machine.objects`. A snapshot:
   * while others allocate and free, it may miss what they do, or still list it.
   *
   * Cost: in proportion to the pages that the heap has, and to the names.
   * @throws HeapCorruptionError in debug mode, if something was written outside an object;
   *   OfflineError.
   */
  allocations(): Allocation[] {
    const named = this.#blocksOfNames()
    return listAllocations(this.#parts).filter(({ address }) => !named.has(address))
  }

  /**
   * Of what the heap consists: its zones, and its caches. A snapshot as for {@link allocations}.
   *
   * Cost: in proportion to the pages that the heap has.
   * @throws OfflineError.
   */
  report(): HeapReport {
    return reportHeap(this.#parts)
  }

  /**
   * Checks every word of the heap against all others; docs/alloc.md and the comments of layouts.ts
   * say what must hold. In debug mode also the red zones of all objects, and the poison of free
   * ones.
   *
   * It takes the locks of the zones and caches, one after the other, and reports no fault that is
   * none while other threads work. With `quiet` it also checks what other CPUs keep for themselves.
   * That includes whether memory was lost. Then no other thread may use the heap meanwhile, and
   * every thread that ended must have been cleaned up after.
   *
   * Cost: in proportion to the objects that there is room for; some ns each.
   * @throws HeapCorruptionError, with all that is wrong in `details.faults`; ArgumentError;
   *   LockTimeoutError as for {@link alloc}; OfflineError.
   */
  verify(options: VerifyOptions = {}): void {
    checkOptions('heap.verify', options, { quiet: true })
    checkFlag('quiet', options.quiet)
    const { faults } = examine(this.#parts, options.quiet === true)
    if (faults.length === 0) return
    throw new HeapCorruptionError(`the heap is corrupt: ${faults.join('; ')}`, { faults })
  }

  /**
   * Gives what this CPU keeps for itself back to all: free objects, free pages, and the pages of
   * slabs without objects.
   *
   * Cost: some µs for each cache.
   * @throws LockTimeoutError as for {@link alloc}; OfflineError.
   */
  trim(): void {
    for (const cache of this.#table.all()) cache.trim()
    this.pages.trim()
  }

  #allocSpecial(bytes: number, request: AllocationRequest = {}): number {
    checkRequest('heap.alloc', request, allocationNames)
    const { align = 8 } = request
    checkRange('bytes', bytes, 1, Number.MAX_SAFE_INTEGER)
    checkPowerOfTwo('align', align, 1, MAX_ALIGN)
    if (bytes > MAX_CLASS || align > 64) return this.#allocLarge(bytes, align, request)
    const units = (bytes + 7) >>> 3
    const table = classTables[Math.max(0, Math.log2(align) - 3)]
    const cache = this.#table.sizeClass(table?.[units] ?? 0)
    const { classes } = this.#hot
    if (classes[bytes] === undefined && align <= 8 && !this.#table.debug)
      classes.fill(cache.magazine, units * 8 - 7, units * 8 + 1)
    return cache.alloc(bytes, request)
  }

  #allocLarge(bytes: number, align: number, { zero = false, persist = false }: AllocationRequest): number {
    const order = Math.max(0, Math.ceil(Math.log2(Math.max(bytes, align) / PAGE_BYTES)))
    let address = order > MAX_ORDER ? undefined : this.pages.tryAlloc(order, { zero })
    if (address === undefined && order <= MAX_ORDER && this.#owner.relieve()) {
      // What was freed lies in magazines.
      this.trim()
      address = this.pages.tryAlloc(order, { zero })
    }
    if (address === undefined) {
      const why =
        order > MAX_ORDER
          ? 'the largest block has 4 MiB; take larger ones from `memblock`'
          : 'boot with more `memory`'
      throw new OutOfMemoryError(`no room for ${bytes} bytes: ${why}`, { bytes, align })
    }
    this.pages.markLarge(address / PAGE_BYTES)
    if (persist) this.pages.persist(address)
    return address
  }

  /**
   * A full magazine, a cache that this thread has not used, a large block, a wrong address, or
   * debug mode.
   */
  #freeSpecial(address: number): void {
    const cache = this.#cacheOf(address)
    if (cache !== undefined) cache.free(address)
    else this.pages.freeLarge(this.#large(address) / PAGE_BYTES)
  }

  /** @throws unless a large block starts there. */
  #large(address: number): number {
    const { pageMap } = this.#owner
    const page = pageMap.pageAt(address)
    if (page === undefined) throw foreign(address)
    const state = pageMap.state(page)
    const kind = state & KIND
    if (kind === USED && (state & LARGE) !== 0) return address
    if (kind === FREE || (kind === USED && !isAllocated(pageMap.tag(page))))
      throw new DoubleFreeError(`the block at ${address} is free already`, { address })
    throw foreign(address)
  }

  /** The cache of the object at an address; undefined unless it lies in a slab. */
  #cacheOf(address: number): SlabCache | undefined {
    const page = typeof address === 'number' ? Math.floor(address / PAGE_BYTES) : 0
    if (!(page > 0 && page < this.#owner.map.pages)) throw foreign(address)
    const state = this.#owner.pageMap.state(page)
    return (state & KIND) === SLAB ? this.#table.at(cacheOf(state)) : undefined
  }
}

/** @throws ArgumentError for what is no struct, or a length that it does not take. */
function sizeFor(struct: AnyStruct, length: number | undefined): number {
  checkStruct('struct', struct)
  if (length !== undefined) return struct.sizeFor(length)
  if (!struct.isFlexible) return struct.size
  throw new ArgumentError(`length: ${struct.name} has an array of run-time length: say how long`, {
    struct: struct.name,
  })
}
function foreign(address: number): ForeignAddressError {
  return new ForeignAddressError(`nothing that the heap handed out starts at ${shown(address)}`, { address })
}
