/** What the parts of the allocator share on one thread. */
import { load32, type Memory } from '#mem'
import type { Backend } from './backend.js'
import { Chunks } from './chunk.js'
import type { Geometry } from './geometry.js'
import { CHUNK_IMMUTABLE, CHUNK_ISOLATED, CHUNK_RESERVED, PercpuChunk, PercpuRoot } from './layouts.js'
import type { PageSource } from './pages.js'
import { Slots } from './slots.js'
import type { LockedMemory } from './locked-memory.js'

const { words: fields } = PercpuRoot
const { flags, empty, populated, freeGranules } = PercpuChunk.words

/** Word indices of the shared tables. */
export interface Tables {
  readonly root: number
  /** A word per place: the chunk's record, or 0. */
  readonly registry: number
  readonly slots: number
}

/** The first chunk, whose units hold the static variables too, and the chunk of their reserved part. */
export const FIRST_CHUNK = 0
export const RESERVED_CHUNK = 1

export class AllocatorState {
  readonly memory: Memory
  readonly locked: LockedMemory
  readonly geometry: Geometry
  readonly tables: Tables
  readonly chunks: Chunks
  readonly slots: Slots
  readonly backend: Backend
  readonly pages: PageSource

  constructor(locked: LockedMemory, geometry: Geometry, tables: Tables, backend: Backend, pages: PageSource) {
    this.memory = locked.memory
    this.locked = locked
    this.geometry = geometry
    this.tables = tables
    this.backend = backend
    this.pages = pages
    this.chunks = new Chunks(locked, geometry)
    this.slots = new Slots(locked, geometry, tables.slots, tables.root)
  }

  /** The record of a chunk by its place in the registry; 0 if there is none. */
  record(index: number): number {
    const isPlace = index >= 0 && index < this.geometry.capacity
    return isPlace ? load32(this.memory.i32, this.tables.registry + index) : 0
  }
  *records(): Generator<number> {
    const registered = this.locked.get(this.tables.root + fields.registered)
    for (let index = 0; index < registered; index++) {
      const record = this.record(index)
      if (record !== 0) yield record
    }
  }

  is(chunk: number, flag: number): boolean {
    return (this.locked.get(chunk + flags) & flag) !== 0
  }
  /** Whether its empty pages are those that balancing has to do with. */
  isCounted(chunk: number): boolean {
    return !this.is(chunk, CHUNK_ISOLATED | CHUNK_RESERVED)
  }
  isImmutable(chunk: number): boolean {
    return this.is(chunk, CHUNK_IMMUTABLE)
  }
  isWhollyFree(chunk: number): boolean {
    return this.locked.get(chunk + freeGranules) === this.geometry.granules
  }

  addEmpty(chunk: number, by: number): void {
    if (by === 0) return
    this.locked.add(chunk + empty, by)
    if (this.isCounted(chunk)) this.locked.add(this.tables.root + fields.emptyPages, by)
  }
  addPopulated(chunk: number, by: number): void {
    this.locked.add(chunk + populated, by)
    this.locked.add(this.tables.root + fields.populatedPages, by)
  }

  /** Sets the chunk aside: nothing is allocated from it while another one will do. */
  isolate(chunk: number): void {
    const { locked } = this
    locked.add(this.tables.root + fields.emptyPages, -locked.get(chunk + empty))
    locked.put(chunk + flags, locked.get(chunk + flags) | CHUNK_ISOLATED)
    this.slots.move(chunk, this.geometry.depopulate)
  }
  integrate(chunk: number): void {
    const { locked } = this
    locked.put(chunk + flags, locked.get(chunk + flags) & ~CHUNK_ISOLATED)
    locked.add(this.tables.root + fields.emptyPages, locked.get(chunk + empty))
    this.slots.relocate(chunk)
  }
}
