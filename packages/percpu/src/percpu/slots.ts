/**
 * Slots: lists of chunks by the size of their longest free run (geometry.ts). A chunk that moves up goes to the front of its
 * list, one that moves down to the end: the search looks at those first that have just got room, and lets the
 * others run empty.
 */
import { SLOT_WORDS, type Geometry } from './geometry.js'
import { CHUNK_ISOLATED, CHUNK_RESERVED, PercpuChunk, PercpuRoot, PercpuSlot } from './layouts.js'
import type { Words } from './words.js'

const { next, previous, slot, flags, freeGranules } = PercpuChunk.words
const contig = PercpuChunk.words['whole.contig']
const { first, last } = PercpuSlot.words

export class Slots {
  readonly #words: Words
  readonly #geometry: Geometry
  readonly #heads: number

  /** Word index of the mask of slots that have chunks. */
  readonly #mask: number

  /** Word indices of the table, and of the root. */
  constructor(words: Words, geometry: Geometry, heads: number, root: number) {
    this.#mask = root + PercpuRoot.words.slotsInUse
    this.#words = words
    this.#geometry = geometry
    this.#heads = heads
  }

  /** First chunk of a slot, or 0. */
  first(number: number): number {
    return this.#words.get(this.#heads + number * SLOT_WORDS + first)
  }
  /** The first slot from this one on that has chunks; beyond all slots if there is none. */
  nextInUse(from: number): number {
    const mask = this.#words.get(this.#mask) & (-1 << from)
    return mask === 0 || from >= this.#geometry.slots ? this.#geometry.slots : 31 - Math.clz32(mask & -mask)
  }
  next(chunk: number): number {
    return this.#words.get(chunk + next)
  }
  slot(chunk: number): number {
    return this.#words.get(chunk + slot)
  }

  /** Puts a chunk where it belongs by its longest run, unless it is in no slot or set aside. */
  relocate(chunk: number): void {
    const words = this.#words
    if ((words.get(chunk + flags) & (CHUNK_RESERVED | CHUNK_ISOLATED)) !== 0) return
    const from = words.get(chunk + slot)
    const to = this.#slotFor(chunk)
    if (from !== to) this.move(chunk, to)
  }

  move(chunk: number, to: number): void {
    const from = this.#words.get(chunk + slot)
    this.remove(chunk)
    this.insert(chunk, to, from < to)
  }

  insert(chunk: number, to: number, atFront: boolean): void {
    const words = this.#words
    const head = this.#heads + to * SLOT_WORDS
    const after = atFront ? words.get(head + first) : 0
    const before = atFront ? 0 : words.get(head + last)
    words.put(chunk + slot, to)
    words.put(chunk + next, after)
    words.put(chunk + previous, before)
    words.put(before === 0 ? head + first : before + next, chunk)
    words.put(after === 0 ? head + last : after + previous, chunk)
    if (before === after) words.put(this.#mask, words.get(this.#mask) | (1 << to))
  }

  remove(chunk: number): void {
    const words = this.#words
    const from = words.get(chunk + slot)
    const head = this.#heads + from * SLOT_WORDS
    const after = words.get(chunk + next)
    const before = words.get(chunk + previous)
    words.put(before === 0 ? head + first : before + next, after)
    words.put(after === 0 ? head + last : after + previous, before)
    if (before === after) words.put(this.#mask, words.get(this.#mask) & ~(1 << from))
  }

  /** Puts all lists together anew. */
  rebuild(chunks: Iterable<number>): void {
    const words = this.#words
    words.put(this.#mask, 0)
    for (let number = 0; number < this.#geometry.slots; number++) {
      words.put(this.#heads + number * SLOT_WORDS + first, 0)
      words.put(this.#heads + number * SLOT_WORDS + last, 0)
    }
    for (const chunk of chunks) {
      const flag = words.get(chunk + flags)
      if ((flag & CHUNK_RESERVED) !== 0) continue
      const isIsolated = (flag & CHUNK_ISOLATED) !== 0
      this.insert(chunk, isIsolated ? this.#geometry.depopulate : this.#slotFor(chunk), false)
    }
  }

  #slotFor(chunk: number): number {
    const words = this.#words
    const run = words.get(chunk + contig)
    return words.get(chunk + freeGranules) === 0 || run === 0 ? 0 : this.#geometry.slotOf(run)
  }
}
