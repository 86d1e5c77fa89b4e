/**
 * The page allocator: blocks of 2^0 to 2^10 pages of 4 KiB, for all threads at once.
 *
 *     allocate ──▶ the CPU's stack (single pages) ──▶ the zone of its node ──▶ the other zones, in cyclic order
 *                                                        └─▶ boot memory, a span at a time
 *
 * A block lies at a multiple of its size. It is in flight, freed with the thread that took it, until it is persistent (tag.ts). May
 * be called anywhere, in sections and with locks held: it has a layer lock (sync/layer-lock.ts), and its changes are not taken back
 * with the caller's section.
 *
 * After a death: no page is lost, none is in two places. What the dead CPU had in flight is free at once, unless the lock of a zone is
 * another CPU's at that moment; then it is freed by whoever takes that lock next. The stack's pages go back to their zones, or else
 * wait for the next thread of that CPU number.
 *
 * Cost: a single page from the stack some tens of ns, no lock; otherwise a lock and some splits or merges, below a microsecond.
 * What it does not do: move or reclaim pages; take back other CPUs' stacks (at most 32 pages each, less on small machines).
 */
import { fillBytes, load32, store32 } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { cpuOf } from '../machine/token.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import type { Owner } from './owner.js'
import { DoubleFreeError, ForeignAddressError } from './errors.js'
import { MAX_ORDER } from './layouts.js'
import { isAllocated, isPersistent, PERSISTENT } from './tag.js'
import {
  addressOf,
  BLOCK,
  CLEAN,
  FREE,
  KIND,
  LARGE,
  NONE,
  ORDER_SHIFT,
  orderOf,
  pageAt,
  state,
  tag,
  USED,
} from './page-map.js'
import { PageStack } from './page-stack.js'
import { checkPageRequest, noPageRequest, type PageRequest } from './request.js'
import { Zone, type ZoneReport } from './zone.js'

export class PageAllocator {
  /** Bytes of a page. */
  readonly pageBytes = PAGE_BYTES
  /** The largest order. */
  readonly maxOrder = MAX_ORDER
  readonly #owner: Owner
  readonly #zones: readonly Zone[]
  readonly #stack: PageStack
  #hasUsed = false
  #failsAfter = 0
  #failures = 0

  /** @internal Made by the layer; `machine.pages`. */
  constructor(owner: Owner) {
    this.#owner = owner
    const { memory, map } = owner
    this.#zones = Array.from({ length: map.nodes }, (_, node) => new Zone(memory, map, node))
    this.#stack = new PageStack(owner)
  }

  /**
   * Takes a block of 2^order pages.
   *
   * @returns its byte address, a multiple of its size (above 2^32 on large machines).
   * @throws OutOfMemoryError if no zone has such a block; ArgumentError; LockTimeoutError if another CPU died with a zone locked and cannot be cleaned up after meanwhile.
   */
  alloc(order: number, request: PageRequest = noPageRequest): number {
    const address = this.tryAlloc(order, request)
    if (address !== undefined) return address
    throw new OutOfMemoryError(
      `no zone has a free block of ${PAGE_BYTES << order} bytes: boot with more \`memory\``,
      { order, bytes: PAGE_BYTES << order },
    )
  }

  /** As {@link alloc}; undefined if no zone has such a block. @throws ArgumentError; LockTimeoutError. */
  tryAlloc(order: number, request: PageRequest = noPageRequest): number | undefined {
    if (request !== noPageRequest) checkPageRequest(request)
    const { node, zero = false } = request
    if (!Number.isInteger(order) || order < 0 || order > MAX_ORDER) throw badOrder(order)
    if (this.#failures > 0 && this.#fails()) return undefined
    if (!this.#hasUsed) this.#use()
    if (order > 0 || node !== undefined) return this.#allocateBlock(order, node, zero)
    if (this.#stack.count === 0 && !this.#refill()) return undefined
    const taken = this.#stack.take()
    const address = addressOf(taken >>> 1)
    if (zero && (taken & 1) === 0) fillBytes(this.#owner.memory, address, PAGE_BYTES, 0)
    return address
  }

  /**
   * Gives back a block taken with this order; any CPU may if it is persistent. The caller sees to it that nobody still reads it.
   *
   * @throws DoubleFreeError, ForeignAddressError; LockTimeoutError. Nothing is changed then.
   */
  free(address: number, order: number): void {
    if (!Number.isInteger(order) || order < 0 || order > MAX_ORDER) throw badOrder(order)
    const page = this.#check(address, order)
    if (!this.#hasUsed) this.#use()
    if (order > 0) {
      this.#freeBlock(page)
      return
    }
    this.#makeRoom()
    this.#stack.push(page)
  }

  /**
   * From now on the block outlives the thread that took it. Through a `section`, when that is committed: keep it in the section that
   * links it.
   *
   * @throws ForeignAddressError unless it is this CPU's in flight, or persistent already.
   */
  persist(address: number, section?: SectionWriter): void {
    this.#setTag(address, this.#owner.token | PERSISTENT, section)
  }

  /** The opposite: the block is this CPU's in flight again, to be freed. Through a `section`, the one that unlinks it. */
  adopt(address: number, section?: SectionWriter): void {
    // A thread that never took a page may have one in flight from here on.
    if (!this.#hasUsed) this.#use()
    this.#setTag(address, this.#owner.token, section)
  }

  /** What each zone has. A snapshot; exact while nobody else allocates. */
  report(): readonly ZoneReport[] {
    return this.#zones.map((zone) => zone.report())
  }

  /** Gives the pages that this CPU keeps for itself back to their zones. Returns how many could not be, to a reaper. */
  trim(): number {
    this.#spill(this.#stack.count)
    return this.#stack.count
  }

  /** @internal For the layer, the verifier and the objects. */
  get zones(): readonly Zone[] {
    return this.#zones
  }
  /** @internal */
  get stack(): PageStack {
    return this.#stack
  }

  /** @internal Frees a slab without objects, once `unlink` has made it this CPU's in flight. */
  freeSlab(page: number, unlink: () => void): void {
    const zone = this.#zoneOf(page)
    // First the lock: if it cannot be had, the slab stays one.
    if (!this.#lock(zone)) return
    try {
      unlink()
      zone.clearSlab(page)
      this.#give(zone, page)
    } finally {
      this.#owner.pageLock.unlock()
    }
  }

  /** @internal Frees a block of `alloc`. Until it is free it is listed as one, or in flight. */
  freeLarge(page: number): void {
    const { memory, map, token } = this.#owner
    if (!this.#hasUsed) this.#use()
    if (orderOf(this.#state(page)) > 0) {
      this.#freeBlock(page)
      return
    }
    this.#makeRoom()
    // In flight before it is no large block any more: it may have been kept. Mutant: alloc/large-still-persistent.
    store32(memory.i32, map.descriptor(page) + tag, token)
    store32(memory.i32, map.descriptor(page) + state, USED)
    this.#stack.push(page)
  }

  /** @internal For the reaper: the block is linked, so it is persistent. */
  persistLinked(page: number): void {
    const { memory, map, token } = this.#owner
    const word = map.descriptor(page) + tag
    if (load32(memory.i32, word) === token) store32(memory.i32, word, token | PERSISTENT)
  }

  /** @internal For tests: so many calls of `allocate`, after so many others, find nothing. */
  failAfter(calls: number, failures = 1): void {
    this.#failsAfter = calls
    this.#failures = failures
  }

  /** @internal For the reaper: what the dead CPU had just taken from boot memory and made a zone's. */
  persistSpans(): void {
    for (const zone of this.#zones) zone.persistSpanOfDead(this.#owner.memblock)
  }

  /** @internal For the reaper: frees what the dead had in flight, in the zones whose locks are free. */
  sweep(): void {
    const { pageLock } = this.#owner
    for (const zone of this.#zones) {
      if (!this.#lock(zone)) continue
      try {
        this.#sweepZone(zone)
      } finally {
        pageLock.unlock()
      }
    }
  }

  #fails(): boolean {
    if (this.#failsAfter-- > 0) return false
    this.#failures--
    return true
  }

  #use(): void {
    this.#owner.use()
    this.#hasUsed = true
  }

  #allocateBlock(order: number, node: number | undefined, zero: boolean): number | undefined {
    const { memory, map, token, pageLock } = this.#owner
    for (const zone of this.#order(node)) {
      if (!this.#lock(zone)) continue
      let page
      try {
        page = this.#take(zone, order, token)
      } finally {
        pageLock.unlock()
      }
      if (page === 0) continue
      const word = map.descriptor(page) + state
      const found = load32(memory.i32, word)
      if ((found & CLEAN) !== 0) store32(memory.i32, word, found & ~CLEAN)
      else if (zero) fillBytes(memory, addressOf(page), PAGE_BYTES << order, 0)
      return addressOf(page)
    }
    if (this.#stack.count === 0) return undefined
    // What this CPU keeps for itself may make one.
    this.trim()
    return this.#allocateBlock(order, node, zero)
  }

  #freeBlock(page: number): void {
    const zone = this.#zoneOf(page)
    if (!this.#lock(zone)) return
    try {
      this.#give(zone, page)
    } finally {
      this.#owner.pageLock.unlock()
    }
  }

  /** Puts a block into its zone, whose lock is held. */
  #give(zone: Zone, page: number): void {
    const order = orderOf(this.#state(page))
    this.#owner.pageLock.section((section) => {
      section.write32(this.#owner.map.descriptor(page) + tag, 0)
      zone.give(section, page, order)
    })
  }

  /** Room for a page in the stack. */
  #makeRoom(): void {
    if (this.#stack.count >= this.#stack.capacity) this.#spill(this.#stack.capacity >>> 1)
  }

  /** Half a stack of pages from the first zone that has any. False if none has. */
  #refill(): boolean {
    const { pageLock } = this.#owner
    for (const zone of this.#order(undefined)) {
      if (!this.#lock(zone)) continue
      try {
        for (let i = Math.ceil(this.#stack.capacity / 2); i > 0; i--) if (this.#take(zone, 0, 0) === 0) break
      } finally {
        pageLock.unlock()
      }
      if (this.#stack.count > 0) return true
    }
    return false
  }

  /** Gives pages of the stack back to their zones; a reaper leaves those whose zone is locked. */
  #spill(pages: number): void {
    const { pageLock } = this.#owner
    const { countWord } = this.#stack
    let zone: Zone | undefined
    try {
      for (; pages > 0; pages--) {
        const page = this.#stack.peek()
        const own = this.#zoneOf(page)
        if (own !== zone) {
          if (zone) pageLock.unlock()
          zone = undefined
          if (!this.#lock(own)) return
          zone = own
        }
        const count = this.#stack.count - 1
        pageLock.section((section) => {
          section.write32(countWord, count)
          own.give(section, page, 0)
        })
      }
    } finally {
      if (zone) pageLock.unlock()
    }
  }

  /** Takes a block of a zone whose lock is held: with owner 0 into the stack. */
  #take(zone: Zone, order: number, owner: number): number {
    const { pageLock, memblock } = this.#owner
    for (;;) {
      const page = pageLock.section((section) => {
        const taken = zone.take(section, order, owner)
        if (taken !== 0 && owner === 0) {
          this.#stack.prepare(taken)
          section.write32(this.#stack.countWord, this.#stack.count + 1)
        }
        return taken
      })
      if (page !== 0) return page
      if (pageLock.section((section) => zone.carve(section))) continue
      const span = zone.findSpan(memblock, order)
      if (!span) return 0
      zone.persistSpan(memblock)
      pageLock.section((section) => zone.addSpan(section, span.page, span.pages))
      // In the lists first, then persistent. Mutant: alloc/span-not-persistent.
      zone.persistSpan(memblock)
    }
  }

  /** Takes the lock of a zone; what the dead had in flight there is free afterwards. False: only for reapers. */
  #lock(zone: Zone): boolean {
    return this.#owner.lock(this.#owner.pageLock, zone.lock, () => {
      if (zone.swept !== this.#owner.deaths) this.#sweepZone(zone)
    })
  }

  #sweepZone(zone: Zone): void {
    const { deaths } = this.#owner
    for (const page of zone.select(this.#owner.orphanTest())) {
      zone.clearSlab(page)
      this.#give(zone, page)
    }
    // After the last of them: a walk that is interrupted is begun again.
    zone.setSwept(deaths)
  }

  #setTag(address: number, value: number, section: SectionWriter | undefined): void {
    const { memory, map, token } = this.#owner
    const page = this.#page(address)
    const word = map.descriptor(page) + tag
    const found = load32(memory.i32, word)
    if ((this.#state(page) & KIND) !== USED || (found !== token && !isPersistent(found)))
      throw new ForeignAddressError(
        `the pages at ${address} are neither this CPU's in flight nor persistent${ownerText(found)}`,
        {
          address,
        },
      )
    if (section) section.write32(word, value)
    else store32(memory.i32, word, value)
  }

  #check(address: number, order: number): number {
    const page = this.#page(address)
    const found = this.#state(page)
    const owner = load32(this.#owner.memory.i32, this.#owner.map.descriptor(page) + tag)
    if ((found & KIND) === FREE || ((found & KIND) === USED && !isAllocated(owner)))
      throw new DoubleFreeError(`the pages at ${address} are free already`, { address, order })
    if ((found & (BLOCK | LARGE)) === (USED | (order << ORDER_SHIFT))) return page
    throw new ForeignAddressError(
      (found & (KIND | LARGE)) === USED
        ? `the block at ${address} was taken with order ${orderOf(found)}, not ${order}`
        : `no block of pages that the heap handed out starts at ${address}`,
      { address, order, found: (found & KIND) === NONE ? undefined : orderOf(found) },
    )
  }

  #page(address: number): number {
    const page = pageAt(address, this.#owner.map)
    if (page !== undefined) return page
    throw new ForeignAddressError(`no page of this machine starts at ${address}`, { address })
  }
  #state(page: number): number {
    return load32(this.#owner.memory.i32, this.#owner.map.descriptor(page) + state)
  }
  #zoneOf(page: number): Zone {
    const zone = this.#zones[this.#owner.map.nodeOf(page)]
    if (!zone) throw new RangeError(`page ${page} is in no zone`)
    return zone
  }
  /** The zones, from the wanted node on. */
  #order(node: number | undefined): readonly Zone[] {
    const from = node ?? this.#owner.node
    if (!(Number.isInteger(from) && from >= 0 && from < this.#zones.length))
      throw new ArgumentError(`node: ${from} is not a node below ${this.#zones.length}`, { node: from })
    return [...this.#zones.slice(from), ...this.#zones.slice(0, from)]
  }
}

function badOrder(order: number): ArgumentError {
  return new ArgumentError(`order: ${shown(order)} is not a whole number from 0 to ${MAX_ORDER}`, { order })
}
function ownerText(found: number): string {
  return isAllocated(found) ? `: CPU ${cpuOf(found)} took them` : ''
}
