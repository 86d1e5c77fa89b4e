/**
 * What was unmapped, until nobody can be using it any more. (After the kernel's mmu_gather.)
 *
 *     push      the entry is 0, and what it led to stands in the note: in one commit
 *     a round   nobody walks there any more
 *     release   what the note says is given up, piece by piece, and freed if nobody else holds it
 *
 * The list lies in the CPU's note, and is as long as it is: it takes no memory, so unmapping cannot
 * fail. When it is full, its CPU waits for a round and gives up what is in it, before it goes on.
 *
 * A table is given up after what it leads to, if nobody else holds it. That is put on the list one
 * by one, behind its table. The list is taken from its end, so it needs few places more.
 *
 * All of it runs under the lock. Whoever cleans up after a dead CPU goes on with its list.
 */
import * as mem from '#mem'
import { fillBytes, type Memory } from '#mem'
import type { PageAllocator } from '../alloc/pages.js'
import { PAGE_BYTES } from '../arithmetic.js'
import {
  ENTRIES,
  entryOf,
  frameOf,
  HUGE,
  PAGE_LEVEL,
  PRESENT,
  ROOT_LEVEL,
  spanOf,
  targetOf,
} from './entry.js'
import type { Frames } from './frames.js'
import { GATHER_ENTRIES, PagingNote } from './layouts.js'
import { LockTimeoutError } from '../sync/errors.js'
import type { RedoLog } from './redo-log.js'
import type { Tables, TablesParts } from './tables.js'

const { load32 } = mem
const { gathered, gather } = PagingNote.words

/** Places that are left for what tables lead to, and for what one call of Tables replaces. */
const SPARE_BELOW = 2
const SPARE = SPARE_BELOW + 5
/** In the flags of an item: its level + 1, and whether it is a table without what it leads to. */
const LEVEL_SHIFT = 5
const SHELL = 1 << 7
/** What pages have that were given up, in debug mode of the heap: each byte. */
const POISON = 0xff
/** Pages that are given up in one commit. */
const BATCH = 64

/** A page that is free, of an order. */
interface Freed {
  readonly order: number
  readonly first: number
}

export class Gather {
  /** Whether pages are filled with {@link POISON} before they are freed. */
  readonly #poisons: boolean
  readonly #memory: Memory
  readonly #note: number
  readonly #frames: Frames
  readonly #log: RedoLog
  readonly #pages: PageAllocator
  readonly #tables: Tables
  /** For each level the table that is being given up, and up to which entry it is empty. */
  readonly #cursors = Array.from({ length: ROOT_LEVEL + 1 }, () => ({ table: 0, index: 0 }))

  /** `note`: word index of the PagingNote in which the list lies. */
  constructor(parts: TablesParts, tables: Tables, note: number, poisons = false) {
    this.#poisons = poisons
    this.#memory = parts.memory
    this.#frames = parts.frames
    this.#log = parts.log
    this.#pages = parts.pages
    this.#tables = tables
    this.#note = note
  }

  get count(): number {
    return load32(this.#memory.i32, this.#note + gathered)
  }
  /** What stands on the list, as an entry and its level; undefined for a table's page alone. */
  items(): { readonly entry: number; readonly level: number | undefined }[] {
    return Array.from({ length: this.count }, (_, index) => {
      const item = load32(this.#memory.i32, this.#note + gather + index)
      const level = (item & SHELL) === 0 ? levelOf(item) : undefined
      return { entry: entryOf(frameOf(item), PRESENT | (item & HUGE)), level }
    })
  }
  get isFull(): boolean {
    return this.count >= GATHER_ENTRIES - SPARE
  }

  /**
   * Unmaps the pages [from, to) of a space. `Tables.prepare` was called under the same lock.
   * Returns false if the list became full: then it is to be called again, after a release.
   */
  unmap(edge: number, from: number, to: number): boolean {
    return this.#unmap(edge, ROOT_LEVEL, 0, from, to)
  }
  #unmap(word: number, level: number, first: number, from: number, to: number): boolean {
    const span = spanOf(level + 1)
    const entry = this.#tables.at(word)
    if ((entry & PRESENT) === 0 || to <= first || from >= first + span) return true
    if (from <= first && to >= first + span) {
      if (this.isFull) return false
      this.push(word, level)
      return true
    }
    const below = spanOf(level)
    const low = Math.max(0, Math.floor((from - first) / below))
    const high = Math.min(ENTRIES - 1, Math.floor((to - 1 - first) / below))
    for (let index = low; index <= high; index++) {
      const child = targetOf(entry) + index
      if (!this.#unmap(child, level - 1, first + index * below, from, to)) return false
    }
    if (this.#isEmpty(targetOf(entry))) {
      if (this.isFull) return false
      this.push(word, level)
    }
    return true
  }
  #isEmpty(table: number): boolean {
    for (let index = 0; index < ENTRIES; index++) if (this.#tables.at(table + index) !== 0) return false
    return true
  }

  /** What the entry at a word leads to is unmapped. There is room. */
  push(word: number, level: number): void {
    this.#note32(word, this.#tables.at(word), level, 0)
    this.#log.commit()
  }
  /** Notes that a table is replaced by what it leads to, which stays. There is room. */
  pushShell(entry: number): void {
    this.#item(entryOf(frameOf(entry), PRESENT | SHELL))
  }
  #note32(word: number, entry: number, level: number, value: number): void {
    this.#item(entryOf(frameOf(entry), PRESENT | (entry & HUGE) | ((level + 1) << LEVEL_SHIFT)))
    // Mutant: pagetable/gather-first.
    this.#log.writeAtomic32(word, value)
  }
  /**
   * Notes that what an entry leads to is replaced by what another one does.
   *
   * @throws LockTimeoutError if there is no room: what readers that have ended were in is left.
   */
  pushReplaced(word: number, entry: number, level: number, by: number): void {
    if (this.count >= GATHER_ENTRIES - SPARE_BELOW)
      throw new LockTimeoutError('what was copied while others read it is not given up yet', {})
    this.#note32(word, entry, level, by)
  }
  #item(item: number): void {
    const { count } = this
    this.#log.write32(this.#note + gather + count, item)
    this.#log.write32(this.#note + gathered, count + 1)
  }

  /**
   * Gives up a part of what is on the list; a round is over. Returns whether there is more.
   *
   * @throws LockTimeoutError, of the heap. What was to be freed then ends with this CPU.
   */
  release(): boolean {
    const { count } = this
    if (count === 0) return false
    const item = load32(this.#memory.i32, this.#note + gather + count - 1)
    const level = levelOf(item)
    const isTable = level > PAGE_LEVEL && (item & (HUGE | SHELL)) === 0
    // Mutant: pagetable/dropped-shared.
    if (isTable && !this.#frames.isShared(item)) {
      const index = this.#firstOf(level, targetOf(item))
      if (index < ENTRIES) {
        if (level === 0) this.#releasePages(targetOf(item), index)
        else this.push(targetOf(item) + index, level - 1)
        return true
      }
    }
    const freed = this.#frames.release(this.#log, this.#pages, item & ~SHELL)
    this.#log.write32(this.#note + gathered, count - 1)
    this.#log.commit()
    if (freed) this.#free(freed)
    return count > 1
  }

  /** Index of the first entry of a table, or above the last one if there is none. */
  #firstOf(level: number, table: number): number {
    const cursor = this.#cursors[level] as { table: number; index: number }
    if (cursor.table !== table) {
      cursor.table = table
      cursor.index = 0
    }
    while (cursor.index < ENTRIES && this.#tables.at(table + cursor.index) === 0) cursor.index++
    if (cursor.index === ENTRIES) cursor.table = 0
    return cursor.index
  }
  #releasePages(table: number, from: number): void {
    const freed: Freed[] = []
    const end = Math.min(ENTRIES, from + BATCH)
    for (let index = from; index < end; index++) {
      const entry = this.#tables.at(table + index)
      if (entry === 0) continue
      this.#log.writeAtomic32(table + index, 0)
      const free = this.#frames.release(this.#log, this.#pages, entry)
      if (free) freed.push(free)
    }
    this.#log.commit()
    for (const each of freed) this.#free(each)
  }
  #free({ order, first }: Freed): void {
    if (this.#poisons) fillBytes(this.#memory, first * PAGE_BYTES, PAGE_BYTES << order, POISON)
    this.#pages.free(first * PAGE_BYTES, order)
  }
}

function levelOf(item: number): number {
  return ((item >>> LEVEL_SHIFT) & 3) - 1
}
