/**
 * Slots: lists of chunks by the size of their longest run (geometry.ts), with the equations slot.…
 * of layouts.ts. A chunk whose run grew goes to the front of its new list, one whose run shrank to
 * the end. So a search looks first at chunks that have just got room, and lets the others run
 * empty.
 */
import { Links } from '../sync/intrusive-list.js'
import { SLOT_WORDS, type Geometry } from './geometry.js'
import { CHUNK_ISOLATED, CHUNK_RESERVED, PercpuChunk, PercpuRoot, PercpuSlot } from './layouts.js'
import type { LockedMemory } from './locked-memory.js'

const { next, previous, slot, flags, freeGranules } = PercpuChunk.words
const contig = PercpuChunk.words['whole.contig']
const { first, last } = PercpuSlot.words

export class Slots {
  readonly #locked: LockedMemory
  readonly #geometry: Geometry
  /** Word indices: of the table of slots, and of the mask of those that have chunks. */
  readonly #table: number
  readonly #mask: number
  readonly #links: Links

  /** `table`, `root`: word indices of the table of slots and of the PercpuRoot. */
  constructor(locked: LockedMemory, geometry: Geometry, table: number, root: number) {
    this.#locked = locked
    this.#geometry = geometry
    this.#table = table
    this.#links = new Links(locked.memory, { next, previous, stride: 1 })
    this.#mask = root + PercpuRoot.words.slotsInUse
  }

  /** First chunk of a slot, or 0. */
  first(number: number): number {
    return this.#locked.get(this.#head(number) + first)
  }
  /** The first slot from this one on that has chunks; the number of slots if there is none. */
  nextInUse(from: number): number {
    const mask = this.#locked.get(this.#mask) & (-1 << from)
    return mask === 0 || from >= this.#geometry.slots ? this.#geometry.slots : 31 - Math.clz32(mask & -mask)
  }
  next(chunk: number): number {
    return this.#links.next(chunk)
  }
  slot(chunk: number): number {
    return this.#locked.get(chunk + slot)
  }

  /** Moves a chunk to the slot of its longest run, unless it is reserved or isolated. */
  relocate(chunk: number): void {
    const locked = this.#locked
    if ((locked.get(chunk + flags) & (CHUNK_RESERVED | CHUNK_ISOLATED)) !== 0) return
    const from = locked.get(chunk + slot)
    const to = this.#slotFor(chunk)
    if (from !== to) this.move(chunk, to)
  }

  move(chunk: number, to: number): void {
    const from = this.#locked.get(chunk + slot)
    this.remove(chunk)
    this.insert(chunk, to, from < to)
  }

  insert(chunk: number, to: number, atFront: boolean): void {
    const locked = this.#locked
    const head = this.#head(to)
    locked.put(chunk + slot, to)
    const wasEmpty = atFront
      ? this.#links.addFirst(locked, chunk, head + first, head + last)
      : this.#links.addLast(locked, chunk, head + first, head + last)
    if (wasEmpty) locked.put(this.#mask, locked.get(this.#mask) | (1 << to))
  }

  remove(chunk: number): void {
    const locked = this.#locked
    const from = locked.get(chunk + slot)
    const head = this.#head(from)
    const isEmpty = this.#links.remove(locked, chunk, head + first, head + last)
    if (isEmpty) locked.put(this.#mask, locked.get(this.#mask) & ~(1 << from))
  }

  /** Makes all lists anew. */
  rebuild(chunks: Iterable<number>): void {
    const locked = this.#locked
    locked.put(this.#mask, 0)
    for (let number = 0; number < this.#geometry.slots; number++) {
      locked.put(this.#head(number) + first, 0)
      locked.put(this.#head(number) + last, 0)
    }
    for (const chunk of chunks) {
      const flag = locked.get(chunk + flags)
      if ((flag & CHUNK_RESERVED) !== 0) continue
      const isIsolated = (flag & CHUNK_ISOLATED) !== 0
      this.insert(chunk, isIsolated ? this.#geometry.depopulate : this.#slotFor(chunk), false)
    }
  }

  #head(number: number): number {
    return this.#table + number * SLOT_WORDS
  }
  #slotFor(chunk: number): number {
    const locked = this.#locked
    const run = locked.get(chunk + contig)
    return locked.get(chunk + freeGranules) === 0 || run === 0 ? 0 : this.#geometry.slotOf(run)
  }
}
