import { fillBytes, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { checkRange, shown } from '../machine/check.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { cpuOf } from '../machine/token.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { DoubleFreeError, ForeignAddressError } from './errors.js'
import { MAX_ORDER } from './layouts.js'
import type { Owner } from './owner.js'
import {
  addressOf,
  BLOCK,
  CLEAN,
  FREE,
  KIND,
  LARGE,
  NONE,
  orderOf,
  USED,
  usedState,
  type PageMap,
} from './page-map.js'
import { PageStack } from './page-stack.js'
import { checkPageRequest, noPageRequest, type PageRequest } from './request.js'
import { isAllocated, isPersistent, isQueued, mayFree, PERSISTENT, writeTag } from './tag.js'
import type { ZoneReport } from './zone.js'
import { Zones } from './zones.js'
import { showAs } from '../inspect.js'

/**
 * The page allocator, `machine.heap.pages`: blocks of 2^0 to 2^10 pages of 4 KiB, for all threads.
 *
 *     alloc ──▶ the CPU's stack (single pages) ──▶ the zone of its node ──▶ the other zones,
 *                                                   │                       in cyclic order
 *                                                   └─▶ boot memory, a span at a time
 *
 * A block lies at a multiple of its size. It is in flight, and freed with the thread that took it,
 * until it is made persistent. Calls are allowed anywhere, in sections and with locks held. A
 * caller's section that is taken back does not take back what was allocated or freed in it.
 *
 * After a death no page is lost, and none is in two places. What the dead CPU had in flight is free
 * at once, unless another CPU has the lock of its zone at that moment: then the next CPU that takes
 * the lock frees it. The same goes for the pages in the dead CPU's stack, which otherwise wait for
 * the next thread of that CPU number.
 *
 * Cost: a single page from the stack some tens of ns, without a lock; else a lock and some splits
 * or merges, below a microsecond. Pages are not moved. The stacks of other CPUs, of at most 32
 * pages, are not drawn upon.
 */
export class PageAllocator {
  static {
    showAs(this, ({ zones }) => ({ zones: zones.list.length }))
  }

  /** Bytes of a page. */
  readonly pageBytes = PAGE_BYTES
  /** The largest order. */
  readonly maxOrder = MAX_ORDER
  /** @internal */
  readonly zones: Zones
  /** @internal */
  readonly stack: PageStack
  readonly #owner: Owner
  readonly #memory: Memory
  readonly #pageMap: PageMap

  /** @internal */
  constructor(owner: Owner) {
    this.#owner = owner
    this.#memory = owner.memory
    this.#pageMap = owner.pageMap
    this.zones = new Zones(owner)
    this.stack = new PageStack(owner, this.zones)
  }

  /**
   * Takes a block of 2^order pages, order 0 to 10. It is in flight.
   *
   * @returns its byte address, a multiple of its size. On large machines it may be above 2^32.
   * @throws OutOfMemoryError if no zone has such a block; ArgumentError; LockTimeoutError if
   *   another thread died with a zone locked and cannot be cleaned up after meanwhile;
   *   OfflineError.
   */
  alloc(order: number, request: PageRequest = noPageRequest): number {
    let address = this.tryAlloc(order, request)
    if (address === undefined && this.#owner.relieve()) address = this.tryAlloc(order, request)
    if (address !== undefined) return address
    throw new OutOfMemoryError(
      `no zone has a free block of ${PAGE_BYTES << order} bytes: boot with more \`memory\``,
      { order, bytes: PAGE_BYTES << order },
    )
  }

  /**
   * As {@link alloc}, and undefined if no zone has such a block.
   *
   * @throws ArgumentError; LockTimeoutError; OfflineError.
   */
  tryAlloc(order: number, request: PageRequest = noPageRequest): number | undefined {
    if (request !== noPageRequest) checkPageRequest(request, this.zones.list.length)
    const { node, zero = false } = request
    checkOrder(order)
    this.#owner.use()
    if (order > 0 || node !== undefined) return this.#tryAllocBlock(order, node, zero)
    let taken = this.stack.take()
    if (taken === 0) {
      if (!this.stack.refill()) return undefined
      taken = this.stack.take()
    }
    const address = addressOf(taken >>> 1)
    if (zero && (taken & 1) === 0) fillBytes(this.#memory, address, PAGE_BYTES, 0)
    return address
  }

  /**
   * Gives back a block that was taken with this order. Any CPU may, if the block is persistent. The
   * caller sees to it that nobody still reads it.
   *
   * @throws DoubleFreeError; ForeignAddressError, also if it is in flight with another CPU;
   *   ArgumentError; LockTimeoutError; OfflineError. Nothing is changed then.
   */
  free(address: number, order: number): void {
    checkOrder(order)
    const page = this.#check(address, order)
    this.#owner.use()
    if (order > 0) this.zones.give(page)
    else {
      this.stack.makeRoom()
      this.stack.push(page)
    }
  }

  /**
   * From now on the block outlives the thread that took it. With a `section`, that holds from its
   * commit on: pass the section that links the block. Without one, call it before others can find
   * the block.
   *
   * @throws ForeignAddressError unless the block is in flight with this CPU, or persistent already;
   *   OfflineError; with a section SectionError, JournalFullError, ArgumentError for one of another
   *   machine.
   */
  persist(address: number, section?: SectionWriter): void {
    this.#setTag(address, this.#owner.token | PERSISTENT, section)
  }

  /**
   * The opposite of {@link persist}: the block is in flight with this CPU, to be freed. With a
   * `section`, pass the one that unlinks the block.
   *
   * @throws ForeignAddressError unless the block is persistent, or in flight with this CPU already;
   *   OfflineError; with a section SectionError, JournalFullError, ArgumentError for one of another
   *   machine.
   */
  adopt(address: number, section?: SectionWriter): void {
    this.#owner.use()
    this.#setTag(address, this.#owner.token, section)
  }

  /** @internal Whether a block begins there that is persistent. For verifiers. */
  isPersistent(address: number): boolean {
    const page = this.#pageMap.pageAt(address)
    if (page === undefined) return false
    return (this.#pageMap.state(page) & KIND) === USED && isPersistent(this.#pageMap.tag(page))
  }

  /** What each zone has. A snapshot: exact while nobody else allocates. @throws OfflineError. */
  report(): readonly ZoneReport[] {
    return this.zones.list.map((zone) => zone.report())
  }

  /**
   * Gives the pages that this CPU keeps for itself back to their zones.
   *
   * @throws LockTimeoutError; OfflineError.
   */
  trim(): void {
    this.stack.spill(this.stack.count)
  }

  /** @internal Marks a block as one of `heap.alloc`. */
  markLarge(page: number): void {
    this.#pageMap.setState(page, this.#pageMap.state(page) | LARGE)
  }

  /**
   * @internal Frees a block of `heap.alloc`. Until it is free it is listed as one, or in flight.
   */
  freeLarge(page: number): void {
    this.#checkOwner(page, addressOf(page))
    this.#owner.use()
    if (orderOf(this.#pageMap.state(page)) > 0) {
      this.zones.give(page)
      return
    }
    this.stack.makeRoom()
    // In flight before it is no large block any more: it may have been persistent. Mutant:
    // alloc/large-still-persistent.
    this.#pageMap.setTag(page, this.#owner.token)
    this.#pageMap.setState(page, USED)
    this.stack.push(page)
  }

  /** @internal For the reaper: the block is linked, so it is persistent. */
  persistLinked(page: number): void {
    const { token } = this.#owner
    if (this.#pageMap.tag(page) === token) this.#pageMap.setTag(page, token | PERSISTENT)
  }

  #tryAllocBlock(order: number, node: number | undefined, zero: boolean): number | undefined {
    const zones = this.zones.from(node)
    let page = this.zones.takeFrom(zones, order)
    if (page === 0 && this.stack.count > 0) {
      // The pages that this CPU keeps for itself may make such a block.
      this.trim()
      page = this.zones.takeFrom(zones, order)
    }
    if (page === 0) return undefined
    const state = this.#pageMap.state(page)
    if ((state & CLEAN) !== 0) this.#pageMap.setState(page, state & ~CLEAN)
    else if (zero) fillBytes(this.#memory, addressOf(page), PAGE_BYTES << order, 0)
    return addressOf(page)
  }

  #setTag(address: number, value: number, section: SectionWriter | undefined): void {
    const page = this.#page(address)
    const found = this.#pageMap.tag(page)
    const isBlock = (this.#pageMap.state(page) & KIND) === USED
    if (isBlock && isQueued(found)) throw aboutToBeFreed(address)
    if (!isBlock || (found !== this.#owner.token && !isPersistent(found))) {
      const owner = isAllocated(found) ? `: CPU ${cpuOf(found)} took them` : ''
      throw new ForeignAddressError(
        `the pages at ${address} are neither in flight with this CPU nor persistent${owner}`,
        { address },
      )
    }
    writeTag(this.#memory, this.#pageMap.tagWord(page), value, section)
  }

  #check(address: number, order: number): number {
    const page = this.#page(address)
    const state = this.#pageMap.state(page)
    const kind = state & KIND
    if (kind === FREE || (kind === USED && !isAllocated(this.#pageMap.tag(page))))
      throw new DoubleFreeError(`the pages at ${address} are free already`, { address, order })
    if ((state & (BLOCK | LARGE)) === usedState(order)) {
      this.#checkOwner(page, address)
      return page
    }
    throw new ForeignAddressError(
      (state & (KIND | LARGE)) === USED
        ? `the block at ${address} was taken with order ${orderOf(state)}, not ${order}`
        : `no block of pages that the heap handed out starts at ${address}`,
      { address, order, found: kind === NONE ? undefined : orderOf(state) },
    )
  }

  /** Whether this CPU may free an allocated block. Mutant: alloc/frees-of-others. */
  #checkOwner(page: number, address: number): void {
    const tag = this.#pageMap.tag(page)
    if (isQueued(tag)) throw aboutToBeFreed(address)
    if (mayFree(tag, this.#owner.token)) return
    throw new ForeignAddressError(
      `the pages at ${address} are in flight with CPU ${cpuOf(tag)}: what others are to free, that CPU makes persistent`,
      { address, cpu: cpuOf(tag) },
    )
  }

  #page(address: number): number {
    const page = this.#pageMap.pageAt(address)
    if (page !== undefined) return page
    throw new ForeignAddressError(`no page of this machine starts at ${shown(address)}`, { address })
  }
}

function aboutToBeFreed(address: number): DoubleFreeError {
  return new DoubleFreeError(`the pages at ${address} are about to be freed already`, { address })
}
function checkOrder(order: number): void {
  checkRange('order', order, 0, MAX_ORDER)
}
