/**
 * Making and unmaking chunks and their pages. All of it runs under the lock and is announced
 * (operation.ts). So a thread killed anywhere leaves each chunk whole or not at all, and loses no
 * page. Sections are drawn as ──▶▶.
 *
 *     create       record and block in flight ──▶▶ in the registry ──▶ in a slot
 *     populate     pages in flight ──▶▶ mapped, one by one ──▶ populated
 *     depopulate   populated ──▶ not ──▶▶ in flight, one by one ──▶ flushed ──▶ free
 *     destroy      depopulated ──▶▶ record and block in flight ──▶ in no slot ──▶ free
 */
import { fillBytes, load32, store32 } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { clearRange, setRange } from './bitmap.js'
import { resetBlock } from './hints.js'
import { PercpuBlock, PercpuChunk, PercpuRoot } from './layouts.js'
import { announce, conclude, MAP, SORT } from './operation.js'
import type { AllocatorState } from './state.js'

const { words: fields } = PercpuRoot
const { index: indexWord, start, end, freeGranules, populated, empty, whole } = PercpuChunk.words

/** A new chunk, wholly free; undefined if there is no memory, or no index left in the registry. */
export function createChunk(state: AllocatorState): number | undefined {
  const { pages, geometry, locked, backend, slots, tables } = state
  const index = freeIndex(state)
  if (index === undefined) return undefined
  const address = pages.tryAlloc(geometry.recordOrder)
  if (address === undefined) return undefined
  const chunk = address / 4
  writeRecord(state, chunk, index)
  let isMade = false
  try {
    isMade = backend.create(chunk)
  } finally {
    if (!isMade) pages.free(address, geometry.recordOrder)
  }
  if (!isMade) return undefined
  announce(state, SORT, chunk, 0, 0)
  locked.section((section) => {
    pages.persist(address, section)
    backend.persist(chunk, section)
    section.write32(tables.registry + index, chunk)
    if (index >= locked.get(tables.root + fields.registered))
      section.write32(tables.root + fields.registered, index + 1)
    section.write32(tables.root + fields.chunks, locked.get(tables.root + fields.chunks) + 1)
  })
  if (backend.populatedAtOnce) {
    locked.add(tables.root + fields.populatedPages, geometry.pages)
    locked.add(tables.root + fields.emptyPages, geometry.pages)
  }
  slots.insert(chunk, geometry.free, true)
  conclude(state)
  return chunk
}

/** Fills the record of a chunk that is wholly free and that no other thread can find yet. */
export function writeRecord(state: AllocatorState, chunk: number, index: number): void {
  const { memory, geometry, locked, backend } = state
  fillBytes(memory, chunk * 4, geometry.recordWords * 4, 0)
  for (let page = 0; page < geometry.pages; page++) resetBlock(locked.view, geometry.block(chunk, page))
  store32(memory.i32, chunk + indexWord, index)
  store32(memory.i32, chunk + start, 0)
  store32(memory.i32, chunk + end, geometry.granules)
  store32(memory.i32, chunk + freeGranules, geometry.granules)
  store32(memory.i32, chunk + whole + PercpuBlock.words.contig, geometry.granules)
  if (!backend.populatedAtOnce) return
  setRange(locked.view, chunk + geometry.populated, 0, geometry.pages)
  store32(memory.i32, chunk + populated, geometry.pages)
  store32(memory.i32, chunk + empty, geometry.pages)
}

/** The lowest index that the registry has no record at; undefined if there is none. */
function freeIndex({ locked, geometry, tables, memory }: AllocatorState): number | undefined {
  const registered = locked.get(tables.root + fields.registered)
  // As many chunks as indices below `registered`: all of these are in use.
  let index = locked.get(tables.root + fields.chunks) === registered ? registered : 0
  while (index < registered && load32(memory.i32, tables.registry + index) !== 0) index++
  return index < geometry.capacity ? index : undefined
}

/** Unmakes a chunk that is wholly free. */
export function destroyChunk(state: AllocatorState, chunk: number): void {
  const { pages, geometry, locked, backend, slots, tables } = state
  const address = chunk * 4
  if (!backend.populatedAtOnce) depopulateAll(state, chunk)
  announce(state, SORT, chunk, 0, 0)
  locked.section((section) => {
    section.write32(tables.registry + locked.get(chunk + indexWord), 0)
    section.write32(tables.root + fields.chunks, locked.get(tables.root + fields.chunks) - 1)
    pages.adopt(address, section)
    backend.adopt(chunk, section)
  })
  slots.remove(chunk)
  state.addEmpty(chunk, -locked.get(chunk + empty))
  state.addPopulated(chunk, -locked.get(chunk + populated))
  conclude(state)
  backend.destroy(chunk)
  pages.free(address, geometry.recordOrder)
}

/**
 * Populates those of the pages [from, to) that are not: all of them, or none if memory ran out.
 * Then the chunk is as it was.
 */
export function populateChunk(state: AllocatorState, chunk: number, from: number, to: number): boolean {
  const { locked, backend, geometry } = state
  const holes = [...runsOf(state, chunk, from, to, false)]
  announce(state, MAP, chunk, from, to - from)
  let done = 0
  try {
    while (done < holes.length && backend.populate(chunk, ...holeAt(holes, done))) done++
  } finally {
    if (done < holes.length) {
      const unmapped: number[] = []
      for (let i = 0; i < done; i++) backend.unmap(chunk, ...holeAt(holes, i), unmapped)
      backend.release(unmapped)
      conclude(state)
    }
  }
  if (done < holes.length) return false
  for (const [first, last] of holes) {
    setRange(locked.view, chunk + geometry.populated, first, last)
    state.addPopulated(chunk, last - first)
    state.addEmpty(chunk, last - first)
  }
  conclude(state)
  return true
}

/**
 * Unmaps pages [from, to), all populated and wholly free, and adds them to `unmapped`, for the
 * caller to release.
 */
export function depopulateChunk(
  state: AllocatorState,
  chunk: number,
  from: number,
  to: number,
  unmapped: number[],
): void {
  const { locked, geometry, backend } = state
  announce(state, MAP, chunk, from, to - from)
  clearRange(locked.view, chunk + geometry.populated, from, to)
  state.addPopulated(chunk, from - to)
  state.addEmpty(chunk, from - to)
  backend.unmap(chunk, from, to, unmapped)
  conclude(state)
}

function depopulateAll(state: AllocatorState, chunk: number): void {
  const unmapped: number[] = []
  for (const [from, to] of [...runsOf(state, chunk, 0, state.geometry.pages, true)])
    depopulateChunk(state, chunk, from, to, unmapped)
  state.backend.release(unmapped)
}

function holeAt(holes: readonly [number, number][], i: number): [number, number] {
  return holes[i] ?? [0, 0]
}

/** Rows of pages in [from, to) that are populated, or that are not. */
export function* runsOf(
  { chunks }: AllocatorState,
  chunk: number,
  from: number,
  to: number,
  isPopulated: boolean,
): Generator<[number, number]> {
  for (let page = from; page < to;) {
    const first = page
    while (page < to && chunks.isPopulated(chunk, page) === isPopulated) page++
    if (page > first) yield [first, page]
    else page++
  }
}

/**
 * Bytes of a chunk that nothing uses: behind its record, and behind its units if they are one
 * block.
 */
export function wastedBytes({ geometry, backend }: AllocatorState): number {
  const record = (PAGE_BYTES << geometry.recordOrder) - geometry.recordWords * 4
  const block = (PAGE_BYTES << geometry.chunkOrder) - geometry.cpus * geometry.unitBytes
  return backend.populatedAtOnce ? record + block : record
}
