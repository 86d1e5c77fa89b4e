/**
 * What the parts of the allocator share on one thread: where all is, and the counts of the root.
 */
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

/** Where the shared tables begin: word indices. */
export interface Tables {
  /** The PercpuRoot. */
  readonly root: number
  /** A word for each chunk there can be: the word index of its record, or 0. */
  readonly registry: number
  /** A PercpuSlot for each slot. */
  readonly slots: number
}

/**
 * Indices of the two chunks made at boot, which share their units: behind the static variables lies
 * the reserved part, and behind it the part from which all allocate.
 */
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

  /** The record of the chunk with this index: its word index, or 0 if there is none. */
  record(index: number): number {
    return index < this.geometry.capacity ? load32(this.memory.i32, this.tables.registry + index) : 0
  }
  /** The record of the chunk that a pointer leads to, or 0; any number may be given. */
  recordOf(pointer: number): number {
    return (pointer | 0) === pointer ? this.record(this.geometry.indexOf(pointer)) : 0
  }
  /** The records of all chunks. The lock is held. */
  *records(): Generator<number> {
    const registered = this.locked.get(this.tables.root + fields.registered)
    for (let index = 0; index < registered; index++) {
      const record = this.record(index)
      if (record !== 0) yield record
    }
  }

  /** Whether the chunk has one of the flags. */
  is(chunk: number, flag: number): boolean {
    return (this.locked.get(chunk + flags) & flag) !== 0
  }
  /** Whether its empty pages count as ready for requests. */
  isCounted(chunk: number): boolean {
    return !this.is(chunk, CHUNK_ISOLATED | CHUNK_RESERVED)
  }
  isImmutable(chunk: number): boolean {
    return this.is(chunk, CHUNK_IMMUTABLE)
  }
  isWhollyFree(chunk: number): boolean {
    return this.locked.get(chunk + freeGranules) === this.geometry.granules
  }

  /** Counts pages that became wholly free, or ceased to be, and are populated. */
  addEmpty(chunk: number, by: number): void {
    if (by === 0) return
    this.locked.add(chunk + empty, by)
    if (this.isCounted(chunk)) this.locked.add(this.tables.root + fields.emptyPages, by)
  }
  /** Counts pages that became populated, or ceased to be. */
  addPopulated(chunk: number, by: number): void {
    this.locked.add(chunk + populated, by)
    this.locked.add(this.tables.root + fields.populatedPages, by)
  }

  /** From now on nothing is allocated from the chunk while another one will do. */
  isolate(chunk: number): void {
    const { locked } = this
    locked.add(this.tables.root + fields.emptyPages, -locked.get(chunk + empty))
    locked.put(chunk + flags, locked.get(chunk + flags) | CHUNK_ISOLATED)
    this.slots.move(chunk, this.geometry.depopulate)
  }
  /** Takes {@link isolate} back. */
  integrate(chunk: number): void {
    const { locked } = this
    locked.put(chunk + flags, locked.get(chunk + flags) & ~CHUNK_ISOLATED)
    locked.add(this.tables.root + fields.emptyPages, locked.get(chunk + empty))
    this.slots.relocate(chunk)
  }
}
