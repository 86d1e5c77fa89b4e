/**
 * The zones of a machine, with their locks: taking blocks from a zone and giving them back, as an
 * owner. Whoever takes the lock of a zone frees the orphans there first (owner.ts).
 */
import type { SectionWriter } from '../sync/layer-lock.js'
import type { Owner } from './owner.js'
import { orderOf } from './page-map.js'
import { Zone } from './zone.js'

export class Zones {
  readonly list: readonly Zone[]
  readonly #owner: Owner

  constructor(owner: Owner) {
    this.#owner = owner
    this.list = Array.from({ length: owner.map.nodes }, (_, node) => new Zone(owner, node))
  }

  /** The zone that a page belongs to. */
  of(page: number): Zone {
    const zone = this.list[this.#owner.map.nodeOf(page)]
    if (!zone) throw new RangeError(`page ${page} is in no zone`)
    return zone
  }

  /** The zones, from that of a node on; by default from the owner's. */
  from(node = this.#owner.node): readonly Zone[] {
    return [...this.list.slice(node), ...this.list.slice(0, node)]
  }

  /** Takes the lock of a zone. False: only for reapers. @throws LockTimeoutError. */
  lock(zone: Zone): boolean {
    return this.#owner.lock(this.#owner.pageLock, zone.lock, () => {
      if (zone.swept !== this.#owner.deaths) this.#freeOrphans(zone)
    })
  }
  /** Releases the one that is held. */
  unlock(): void {
    this.#owner.pageLock.unlock()
  }

  /**
   * Takes a block of a zone whose lock is held; 0 if there is none. `also` runs in the same
   * section, with the block's first page.
   */
  take(
    zone: Zone,
    order: number,
    tag: number,
    also?: (section: SectionWriter, page: number) => void,
  ): number {
    const { pageLock, memblock } = this.#owner
    for (;;) {
      const page = pageLock.section((section) => {
        const taken = zone.take(section, order, tag)
        if (taken !== 0) also?.(section, taken)
        return taken
      })
      if (page !== 0) return page
      if (pageLock.section((section) => zone.carve(section))) continue
      const span = zone.findSpan(memblock, order)
      if (!span) return 0
      zone.persistSpan(memblock)
      pageLock.section((section) => zone.addSpan(section, span.page, span.pages))
      // In the zone first, then persistent. Mutant: alloc/span-not-persistent.
      zone.persistSpan(memblock)
    }
  }

  /**
   * Takes a block from the first of these zones that has one, as the owner's in flight; 0 if none
   * has.
   */
  takeFrom(zones: readonly Zone[], order: number): number {
    for (const zone of zones) {
      if (!this.lock(zone)) continue
      try {
        const page = this.take(zone, order, this.#owner.token)
        if (page !== 0) return page
      } finally {
        this.unlock()
      }
    }
    return 0
  }

  /** Gives a block back. A reaper leaves it where it is if its zone is locked. */
  give(page: number): void {
    const zone = this.of(page)
    if (!this.lock(zone)) return
    try {
      this.#give(zone, page)
    } finally {
      this.unlock()
    }
  }

  /**
   * As {@link give}, for a slab without objects, once `unlink` has made it the owner's in flight.
   */
  giveSlab(page: number, unlink: () => void): void {
    const zone = this.of(page)
    // The lock first: if it cannot be had, the block remains a slab.
    if (!this.lock(zone)) return
    try {
      unlink()
      zone.clearSlab(page)
      this.#give(zone, page)
    } finally {
      this.unlock()
    }
  }

  /**
   * For the reaper: the dead CPU may just have taken spans from boot memory and made them a zone's.
   */
  persistSpans(): void {
    for (const zone of this.list) zone.persistSpanOfDead(this.#owner.memblock)
  }

  /** For the reaper: frees orphans, in the zones whose locks are free. */
  sweep(): void {
    for (const zone of this.list) {
      if (!this.lock(zone)) continue
      try {
        this.#freeOrphans(zone)
      } finally {
        this.unlock()
      }
    }
  }

  #freeOrphans(zone: Zone): void {
    const { deaths } = this.#owner
    for (const page of zone.select(this.#owner.orphanTest())) {
      zone.clearSlab(page)
      this.#give(zone, page)
    }
    zone.setSwept(deaths)
  }

  #give(zone: Zone, page: number): void {
    const { pageMap, pageLock } = this.#owner
    const order = orderOf(pageMap.state(page))
    pageLock.section((section) => {
      section.write32(pageMap.tagWord(page), 0)
      zone.give(section, page, order)
    })
  }
}
