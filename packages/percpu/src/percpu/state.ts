/** What the parts of the allocator share on one thread. */
import { load32, type Memory } from '#mem'
import type { Backend } from './backend.js'
import { Chunks } from './chunk.js'
import type { Geometry } from './geometry.js'
import { CHUNK_IMMUTABLE, CHUNK_ISOLATED, CHUNK_RESERVED, PercpuChunk, PercpuRoot } from './layouts.js'
import type { PageSource } from './pages.js'
import { Slots } from './slots.js'
import type { Words } from './words.js'

const { words: fields } = PercpuRoot
const { flags, empty, populated, freeGranules } = PercpuChunk.words

/** Word indices of the shared tables. */
export interface Places {
  readonly root: number
  /** A word per place: the chunk's record, or 0. */
  readonly registry: number
  readonly slots: number
}

/** The first chunk, whose units hold the static variables too, and the chunk of their reserved part. */
export const FIRST_CHUNK = 0
export const RESERVED_CHUNK = 1

export class Core {
  readonly memory: Memory
  readonly words: Words
  readonly geometry: Geometry
  readonly places: Places
  readonly chunks: Chunks
  readonly slots: Slots
  readonly backend: Backend
  readonly pages: PageSource

  constructor(words: Words, geometry: Geometry, places: Places, backend: Backend, pages: PageSource) {
    this.memory = words.memory
    this.words = words
    this.geometry = geometry
    this.places = places
    this.backend = backend
    this.pages = pages
    this.chunks = new Chunks(words, geometry)
    this.slots = new Slots(words, geometry, places.slots, places.root)
  }

  /** The record of a chunk by its place in the registry; 0 if there is none. */
  record(index: number): number {
    const isPlace = index >= 0 && index < this.geometry.capacity
    return isPlace ? load32(this.memory.i32, this.places.registry + index) : 0
  }
  *records(): Generator<number> {
    const registered = this.words.get(this.places.root + fields.registered)
    for (let index = 0; index < registered; index++) {
      const record = this.record(index)
      if (record !== 0) yield record
    }
  }

  is(chunk: number, flag: number): boolean {
    return (this.words.get(chunk + flags) & flag) !== 0
  }
  /** Whether its empty pages are those that balancing has to do with. */
  isCounted(chunk: number): boolean {
    return !this.is(chunk, CHUNK_ISOLATED | CHUNK_RESERVED)
  }
  isImmutable(chunk: number): boolean {
    return this.is(chunk, CHUNK_IMMUTABLE)
  }
  isWhollyFree(chunk: number): boolean {
    return this.words.get(chunk + freeGranules) === this.geometry.granules
  }

  addEmpty(chunk: number, by: number): void {
    if (by === 0) return
    this.words.add(chunk + empty, by)
    if (this.isCounted(chunk)) this.words.add(this.places.root + fields.emptyPages, by)
  }
  addPopulated(chunk: number, by: number): void {
    this.words.add(chunk + populated, by)
    this.words.add(this.places.root + fields.populatedPages, by)
  }

  /** Sets the chunk aside: nothing is allocated from it while another one will do. */
  isolate(chunk: number): void {
    const { words } = this
    words.add(this.places.root + fields.emptyPages, -words.get(chunk + empty))
    words.put(chunk + flags, words.get(chunk + flags) | CHUNK_ISOLATED)
    this.slots.move(chunk, this.geometry.depopulate)
  }
  integrate(chunk: number): void {
    const { words } = this
    words.put(chunk + flags, words.get(chunk + flags) & ~CHUNK_ISOLATED)
    words.add(this.places.root + fields.emptyPages, words.get(chunk + empty))
    this.slots.relocate(chunk)
  }
}
