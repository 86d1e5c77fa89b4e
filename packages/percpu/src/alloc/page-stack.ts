/**
 * The free single pages that a CPU keeps for itself. (After the kernel's per-CPU page lists.)
 *
 *     HeapCpu:  pageCount │ page │ page │ …        the last one is taken first
 *
 * Pushing and taking are plain stores of one CPU, without a lock, on lines of its own. A page in
 * the stack is free, whatever its tag says:
 *
 *     take   the tag names this CPU, then the count goes down
 *            killed between: still in the stack
 *     push   entry, then the count goes up, then the tag says free
 *            killed between: already in the stack
 *
 * So the reaper clears the tags of the pages in the stack, and no page is lost or there twice. (Why
 * plain stores are enough: sync/journal.ts.) Refilling and spilling change the count in the same
 * section as the zone's lists.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { HeapCpu, PAGE_STACK } from './layouts.js'
import type { Owner } from './owner.js'
import { CLEAN, type PageMap } from './page-map.js'
import type { Zone } from './zone.js'
import type { Zones } from './zones.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

/** Its fields are plain: the compiler knows more of those than of private ones. */
export class PageStack {
  readonly capacity: number
  /** Word index of the count; the entries follow. */
  readonly at: number
  readonly token: number
  readonly memory: Memory
  readonly pageMap: PageMap
  readonly #owner: Owner
  readonly #zones: Zones

  constructor(owner: Owner, zones: Zones) {
    this.#owner = owner
    this.#zones = zones
    this.token = owner.token
    this.memory = owner.memory
    this.pageMap = owner.pageMap
    this.at = owner.record + HeapCpu.words.pageCount
    this.capacity = stackCapacity(owner.map)
  }

  get count(): number {
    return load32(this.memory.i32, this.at)
  }

  /**
   * Takes a page, which is in flight from then on. Returns page × 2, + 1 if the page is all zero; 0
   * if the stack is empty.
   */
  take(): number {
    const { i32 } = this.memory
    const count = load32(i32, this.at)
    if (count === 0) return 0
    const page = load32(i32, this.at + count)
    const state = this.pageMap.state(page)
    const isClean = (state & CLEAN) !== 0
    if (isClean) this.pageMap.setState(page, state & ~CLEAN)
    // The tag before the count. Mutant: alloc/page-count-first.
    this.pageMap.setTag(page, this.token)
    store32(i32, this.at, count - 1)
    return page * 2 + (isClean ? 1 : 0)
  }

  /** Gives a page back. There must be room. */
  push(page: number): void {
    const { i32 } = this.memory
    const count = load32(i32, this.at) + 1
    store32(i32, this.at + count, page)
    // The count before the tag. Mutant: alloc/page-tag-first.
    store32(i32, this.at, count)
    this.pageMap.setTag(page, 0)
  }

  /** Makes room for a page. @throws LockTimeoutError. */
  makeRoom(): void {
    if (this.count >= this.capacity) this.spill(this.capacity >>> 1)
  }

  /** Fills half of an empty stack from the first zone that has pages. False if none has. */
  refill(): boolean {
    for (const zone of this.#zones.from()) {
      if (!this.#zones.lock(zone)) continue
      try {
        while (this.count < this.capacity / 2 && this.#takeFrom(zone));
      } finally {
        this.#zones.unlock()
      }
      if (this.count > 0) return true
    }
    return false
  }

  /** Gives so many pages back to their zones. A reaper leaves those whose zone is locked. */
  spill(pages: number): void {
    const { i32 } = this.memory
    let zone: Zone | undefined
    try {
      for (; pages > 0; pages--) {
        const count = this.count
        const page = load32(i32, this.at + count)
        const own = this.#zones.of(page)
        if (own !== zone) {
          if (zone) this.#zones.unlock()
          zone = undefined
          if (!this.#zones.lock(own)) return
          zone = own
        }
        this.#owner.pageLock.section((section) => {
          section.write32(this.at, count - 1)
          own.give(section, page, 0)
        })
      }
    } finally {
      if (zone) this.#zones.unlock()
    }
  }

  /** For the reaper: what is in the stack is free. */
  clearTags(): void {
    const { i32 } = this.memory
    for (let i = this.count; i > 0; i--) this.pageMap.setTag(load32(i32, this.at + i), 0)
  }

  /** One page of a zone whose lock is held, free, into the stack. */
  #takeFrom(zone: Zone): boolean {
    const { i32 } = this.memory
    const page = this.#zones.take(zone, 0, 0, (section, taken) => {
      const count = this.count + 1
      store32(i32, this.at + count, taken)
      section.write32(this.at, count)
    })
    return page !== 0
  }
}

/** Pages that the stack of each CPU holds at most: fewer on small machines. */
export function stackCapacity({ pages, cpus }: Owner['map']): number {
  return Math.max(2, Math.min(PAGE_STACK, Math.floor(pages / (16 * cpus))))
}
