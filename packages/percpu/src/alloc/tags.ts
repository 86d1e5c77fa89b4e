/**
 * Tags by address: for layers above, which free what was queued until a grace period has ended.
 *
 *     queue   the entry of the list, then the tag says queued, then the list is longer by one
 *     run     the tag says in flight, then the list is shorter by one, then it is freed
 *
 * A reaper looks at tags in the dead CPU's place, before this layer frees what is in flight.
 */
import * as mem from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { shown } from '../machine/check.js'
import { cpuOf } from '../machine/token.js'
import { PAGE_REF_SHIFT } from './address.js'
import type { CacheTable } from './cache-table.js'
import { DoubleFreeError, ForeignAddressError } from './errors.js'
import type { Magazine } from './magazine.js'
import type { Owner } from './owner.js'
import {
  CACHE_SHIFT,
  cacheOf,
  DESCRIPTOR_SHIFT,
  KIND,
  LARGE,
  OF_CACHE,
  orderOf,
  SLAB,
  USED,
} from './page-map.js'
import { locate } from './slots.js'
import { isAllocated, isInFlight, isPersistent, isQueued, PERSISTENT, QUEUED } from './tag.js'

const { load32, store32 } = mem
const pageRefShift = PAGE_REF_SHIFT
const descriptorShift = DESCRIPTOR_SHIFT
const cacheShift = CACHE_SHIFT
const ofCache = OF_CACHE

export class Tags {
  readonly #owner: Owner
  readonly #table: CacheTable
  readonly #memory: mem.Memory
  readonly #magazines: readonly (Magazine | undefined)[]
  readonly #states: number
  readonly #pages: number

  constructor(owner: Owner, table: CacheTable) {
    this.#owner = owner
    this.#table = table
    this.#memory = owner.memory
    this.#magazines = table.magazines
    this.#states = owner.pageMap.states
    this.#pages = owner.map.pages
  }

  /** The CPU whose things these tags are, with its incarnation: what its tags in flight say. */
  get token(): number {
    return this.#owner.token
  }
  /** To be called before {@link adopt}: a reaper looks for what is in flight only then. */
  use(): void {
    this.#owner.use()
  }

  /**
   * Word index of the tag of what starts at an address: an object, or a large block, allocated or
   * not.
   *
   * @throws ForeignAddressError if nothing does.
   */
  wordOf(address: number): number {
    if (typeof address !== 'number') throw foreign(address)
    const reference = address / 8
    const page = reference >> pageRefShift
    if ((reference | 0) !== reference || page <= 0 || page >= this.#pages) throw foreign(address)
    const state = load32(this.#memory.i32, this.#states + (page << descriptorShift))
    const magazine = this.#magazines[(state & ofCache) >>> cacheShift]
    const word = magazine === undefined ? 0 : locate(magazine, reference, state)
    return word === 0 ? this.#wordOfOther(address, page, state) : word
  }
  /** Bytes of what starts at an address; of an object, with what separates it from the next one. */
  bytesOf(address: number): number {
    const page = Math.floor(address / PAGE_BYTES)
    const state = load32(this.#memory.i32, this.#states + (page << descriptorShift))
    const magazine = this.#magazines[(state & ofCache) >>> cacheShift]
    if (magazine !== undefined && (state & ofCache) === magazine.ofCache) return magazine.stride * 8
    if ((state & KIND) !== SLAB) return PAGE_BYTES << orderOf(state)
    return this.#table.at(cacheOf(state))?.geometry.stride ?? 0
  }

  /**
   * Word index of the tag of what is to be queued.
   *
   * @throws DoubleFreeError if it is free, or queued already; ForeignAddressError if it is in
   *   flight with another CPU.
   */
  checkQueueable(address: number): number {
    const word = this.wordOf(address)
    const tag = load32(this.#memory.i32, word)
    if (!isAllocated(tag) || isQueued(tag))
      throw new DoubleFreeError(`what starts at ${address} is free already, or about to be freed`, {
        address,
      })
    if (isInFlight(tag) && tag !== this.#owner.token)
      throw new ForeignAddressError(`what starts at ${address} is in flight with CPU ${cpuOf(tag)}`, {
        address,
        cpu: cpuOf(tag),
      })
    return word
  }
  /** It is persistent, and linked by the list that its entry is in. */
  queue(word: number): void {
    store32(this.#memory.i32, word, this.#owner.token | QUEUED)
  }

  /**
   * What was queued is in flight, to be freed. Returns the word index of its tag.
   *
   * @throws DoubleFreeError if somebody freed it meanwhile; ForeignAddressError.
   */
  adopt(address: number): number {
    const word = this.wordOf(address)
    if (!isQueued(load32(this.#memory.i32, word)))
      throw new DoubleFreeError(`what starts at ${address} was freed while it was queued to be freed`, {
        address,
      })
    store32(this.#memory.i32, word, this.#owner.token)
    return word
  }

  isInFlight(address: number): boolean {
    return load32(this.#memory.i32, this.wordOf(address)) === this.#owner.token
  }
  /** And not queued to be freed. */
  isPersistent(address: number): boolean {
    const tag = load32(this.#memory.i32, this.wordOf(address))
    return isPersistent(tag) && !isQueued(tag)
  }
  /** For a reaper: what was in flight is linked. */
  persist(address: number): void {
    store32(this.#memory.i32, this.wordOf(address), this.#owner.token | PERSISTENT)
  }

  /** In debug mode, of a cache that this thread has not used, or of a large block. */
  #wordOfOther(address: number, page: number, state: number): number {
    if ((state & KIND) === SLAB) {
      const cache = this.#table.at(cacheOf(state))
      if (cache) return cache.locate(address)
    } else if ((state & (KIND | LARGE)) === (USED | LARGE) && page * PAGE_BYTES === address)
      return this.#owner.pageMap.tagWord(page)
    throw foreign(address)
  }
}

function foreign(address: number): ForeignAddressError {
  return new ForeignAddressError(`nothing that the heap handed out starts at ${shown(address)}`, { address })
}
