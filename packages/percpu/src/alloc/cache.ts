import type { Memory } from '#mem'
import * as mem from '#mem'
import { fillDraft } from '../layout/draft.js'
import type { AnyStruct, Draft, Struct } from '../layout/index.js'
import { checkFunction } from '../machine/check.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { freeAfter } from './free-after.js'
import { PAGE_REF_SHIFT } from './address.js'
import { give, take, type Magazine } from './magazine.js'
import { DESCRIPTOR_SHIFT } from './page-map.js'
import { checkRequest, objectNames, type ObjectRequest } from './request.js'
import type { SlabCache } from './slab-cache.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32 } = mem
const pageRefShift = PAGE_REF_SHIFT
const descriptorShift = DESCRIPTOR_SHIFT

type DraftOf<S> = S extends Struct<infer F, infer K> ? Draft<Struct<F, K>> : never

/**
 * The objects of one struct, for all threads at once. Made by `machine.heap.cache`.
 *
 * An object is in flight, and freed with the thread that took it, until it is made persistent or
 * freed. Its address is a multiple of the struct's alignment, and of 8.
 *
 * Freeing twice and foreign addresses are found by the object's tag and its page's descriptor. Two
 * threads that free the same object at the very same time may not be noticed: nothing orders their
 * looks at its tag.
 *
 * Cost: alloc and free together about 10 ns, without a lock; a refill, every half magazine, some
 * microseconds. See "alloc" in docs/benchmarks.md.
 */
export class Cache<S extends AnyStruct = AnyStruct> {
  static {
    showAs<Cache>(this, ({ name, struct }) => ({ name, struct: struct.name }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly name: string
  readonly struct: S
  /** @internal This CPU's; undefined in debug mode, in which every object takes the slow way. */
  readonly magazine: Magazine | undefined
  readonly #memory: Memory
  readonly #slabs: SlabCache

  /** @internal */
  constructor(slabs: SlabCache, struct: S, memory: Memory, isDebug: boolean) {
    this.name = slabs.name
    this.struct = struct
    this.magazine = isDebug ? undefined : slabs.magazine
    this.#memory = memory
    this.#slabs = slabs
  }

  /**
   * Takes an object, all of whose words are 0. `init` fills it before any other thread can find it;
   * its locked fields have setters there. If `init` throws, the object is free again; if that
   * fails, the error says why, and its cause is what `init` threw. Beside {@link alloc}, it costs a
   * `fill` and an accessor; with `init`, one more.
   *
   * @throws OutOfMemoryError; ArgumentError; what `init` throws; OfflineError; LockTimeoutError if
   *   another thread died with a lock and cannot be cleaned up after meanwhile; in debug mode
   *   HeapCorruptionError.
   */
  create(init?: (object: DraftOf<S>) => void): ReturnType<S['at']> {
    if (init !== undefined) checkFunction('init', init)
    const { struct } = this
    const address = this.#slabs.alloc(this.#slabs.size, { zero: true })
    if (init !== undefined) {
      try {
        fillDraft(struct, this.#memory, address, init as (object: Draft<AnyStruct>) => void)
      } catch (error) {
        freeAfter(error, () => this.free(address))
      }
    }
    return struct.at(this.#memory, address) as ReturnType<S['at']>
  }

  /**
   * Takes an object and returns its byte address, without an accessor and, unless `request.zero`,
   * without clearing it: for the hottest paths, which keep addresses and write every word anyway.
   *
   * @throws OutOfMemoryError; ArgumentError; OfflineError; LockTimeoutError as for {@link create};
   *   in debug mode HeapCorruptionError.
   */
  alloc(request?: ObjectRequest): number {
    const { magazine } = this
    if (request === undefined && magazine !== undefined) {
      const address = take(magazine, magazine.token)
      if (address !== 0) return address
    }
    if (request !== undefined) checkRequest('cache.alloc', request, objectNames)
    return this.#slabs.alloc(this.#slabs.size, request)
  }

  /**
   * Gives an object of this cache back. Any CPU may, if the object is persistent. One in flight is
   * its own CPU's to free. The caller sees to it that nobody still reads it.
   *
   * @throws DoubleFreeError and ForeignAddressError, as `heap.free`; OfflineError; LockTimeoutError
   *   as for {@link create}; in debug mode HeapCorruptionError. Nothing is changed then.
   */
  free(address: number): void {
    const { magazine } = this
    const reference = typeof address === 'number' ? address / 8 : -1
    const page = reference >> pageRefShift
    if (magazine !== undefined && (reference | 0) === reference && page >= 0 && page < magazine.pages) {
      const state = load32(magazine.memory.i32, magazine.states + (page << descriptorShift))
      if (give(magazine, reference, state)) return
    }
    this.#slabs.free(address)
  }

  /**
   * From now on the object outlives the thread that took it. With a `section`, that holds from its
   * commit on: pass the section that links the object, and the object is linked and persistent, or
   * neither, whenever the thread is killed. Without one, call it before others can find the object.
   *
   * @throws ForeignAddressError unless the object is in flight with this CPU, or persistent
   *   already; DoubleFreeError if it is free; OfflineError; with a section SectionError,
   *   JournalFullError, ArgumentError for one of another machine.
   */
  persist(address: number, section?: SectionWriter): void {
    this.#slabs.persist(address, section)
  }

  /**
   * The opposite of {@link persist}: the object is in flight with this CPU, to be freed. With a
   * `section`, pass the one that unlinks the object, and free the object after it.
   *
   * @throws ForeignAddressError unless the object is persistent, or in flight with this CPU
   *   already; DoubleFreeError if it is free; OfflineError; with a section SectionError,
   *   JournalFullError, ArgumentError for one of another machine.
   */
  adopt(address: number, section?: SectionWriter): void {
    this.#slabs.adopt(address, section)
  }

  /**
   * Gives back what this CPU keeps for itself: the free objects in its magazine. Slabs without
   * objects give their pages back.
   *
   * @throws LockTimeoutError as for {@link create}; OfflineError.
   */
  trim(): void {
    this.#slabs.trim()
  }
}
