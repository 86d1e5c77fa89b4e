/**
 * The free single pages that a CPU keeps for itself. (After the kernel's per-CPU page lists.)
 *
 *     HeapCpu:  pageCount │ page │ page │ …        the last one is taken first
 *
 * Pushing and taking are plain stores of one CPU; no lock, nobody else's line. What is in the stack is free, whatever its tag says:
 *
 *     take   the tag names this CPU, then the count goes down       killed between: the page is still in the stack
 *     push   entry, then the count goes up, then the tag says free  killed between: the page is in the stack already
 *
 * so after a death the reaper clears the tags of what is in the stack, and nothing is lost or there twice. (Why plain stores are
 * enough: sync/journal.ts.) Refilling and spilling change the count in the same section as the zone's lists.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { Owner } from './owner.js'
import { HeapCpu, PAGE_STACK } from './layouts.js'
import { CLEAN, state, tag, type HeapMap } from './page-map.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export class PageStack {
  readonly capacity: number
  /** Word index of the count; the entries follow. */
  readonly countWord: number
  readonly #memory: Memory
  readonly #map: HeapMap
  readonly #token: number

  constructor({ memory, map, record, token }: Owner) {
    this.#memory = memory
    this.#map = map
    this.#token = token
    this.countWord = record + HeapCpu.words.pageCount
    this.capacity = Math.max(2, Math.min(PAGE_STACK, Math.floor(map.pages / (16 * map.cpus))))
  }

  get count(): number {
    return load32(this.#memory.i32, this.countWord)
  }

  /** Takes a page, which is this CPU's in flight from then on. The stack is not empty. Returns page × 2, + 1 if it is all zero. */
  take(): number {
    const { i32 } = this.#memory
    const count = load32(i32, this.countWord)
    const page = load32(i32, this.countWord + count)
    const at = this.#map.descriptor(page)
    const found = load32(i32, at + state)
    const isClean = (found & CLEAN) !== 0
    if (isClean) store32(i32, at + state, found & ~CLEAN)
    // The tag before the count. Mutant: alloc/page-count-first.
    store32(i32, at + tag, this.#token)
    store32(i32, this.countWord, count - 1)
    return page * 2 + (isClean ? 1 : 0)
  }

  /** Gives a page back. There is room. */
  push(page: number): void {
    const { i32 } = this.#memory
    const count = load32(i32, this.countWord) + 1
    store32(i32, this.countWord + count, page)
    // The count before the tag. Mutant: alloc/page-tag-first.
    store32(i32, this.countWord, count)
    store32(i32, this.#map.descriptor(page) + tag, 0)
  }

  /** The entry that is taken next, without taking it. */
  peek(): number {
    const { i32 } = this.#memory
    return load32(i32, this.countWord + load32(i32, this.countWord))
  }

  /** Prepares the next entry; it counts once the count goes up. */
  prepare(page: number): void {
    const { i32 } = this.#memory
    store32(i32, this.countWord + load32(i32, this.countWord) + 1, page)
  }

  /** For the reaper: what is in the stack is free. */
  fix(): void {
    const { i32 } = this.#memory
    for (let i = load32(i32, this.countWord); i > 0; i--)
      store32(i32, this.#map.descriptor(load32(i32, this.countWord + i)) + tag, 0)
  }
}
