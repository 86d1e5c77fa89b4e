/**
 * The shared memory of this layer, made at boot: the root with its tables, and the first chunk.
 *
 *     named object 'percpu.percpu'    root │ registry │ slots │ records of chunks 0 and 1
 *     a region for each node          units of the first chunk: static │ reserved │ dynamic
 *     a region, if these are mapped   the page tables of both chunks
 *
 * Two chunks share the units of the first chunk, and each has granules of its own. Chunk 0 has the
 * dynamic part; all allocate from it. Chunk 1 has the reserved part and is in no slot. For each of
 * them, all granules but its own count as allocated. The static part holds the PercpuStatistics.
 *
 * The units of a node's CPUs lie together, on that node. Boot memory is zero, and no thread writes
 * a unit before its own CPU does.
 */
import { loadU32, store32, storeU32 } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { LayerContext } from '../bootmem/layer.js'
import { setRange } from './bitmap.js'
import { FIRST_CHUNK, RESERVED_CHUNK, type AllocatorState, type Tables } from './state.js'
import { Geometry, GRANULE, SLOT_WORDS } from './geometry.js'
import { writeRecord } from './growth.js'
import { CHUNK_IMMUTABLE, CHUNK_RESERVED, PercpuChunk, PercpuRoot } from './layouts.js'
import { noPages, type PageSource } from './pages.js'
import { tablesFor } from './tables.js'

const NAME = 'percpu.percpu'
const type = 'PercpuRoot'
const { words: fields } = PercpuRoot
const { words: chunkFields } = PercpuChunk

function tablesAt(
  address: number,
  geometry: Geometry,
): Tables & { readonly records: number; readonly end: number } {
  const root = address / 4
  const registry = root + PercpuRoot.stride / 4
  const slots = registry + geometry.capacity
  const records = slots + geometry.slots * SLOT_WORDS
  return { root, registry, slots, records, end: records + 2 * geometry.recordWords }
}

/**
 * On the booting thread: makes the named object. Its tables are empty.
 *
 * @throws OutOfMemoryError.
 */
export function createRoot({ own, objects }: LayerContext, geometry: Geometry): void {
  const { memory } = own
  const size = tablesAt(0, geometry).end * 4
  const layout = { name: PercpuRoot.name, size, align: PercpuRoot.align, hash: PercpuRoot.hash }
  const init = (address: number): void => {
    const store = (field: number, value: number): void => storeU32(memory.u32, address / 4 + field, value)
    store(fields.unitBytes, geometry.unitBytes)
    store(fields.staticBytes, geometry.staticBytes)
    store(fields.reservedBytes, geometry.reservedBytes)
    store(fields.capacity, geometry.capacity)
    store(fields.isMapped, geometry.isMapped ? 1 : 0)
  }
  objects.create(NAME, { type, layout, init })
}

export interface Opened {
  readonly geometry: Geometry
  readonly tables: Tables
  /** Word index of the record of the first chunk. */
  readonly first: number
}
/** Where the named object is, and its sizes. */
export function openRoot({ own, objects }: LayerContext): Opened {
  const { table } = own
  const address = objects.open(NAME, { type, layout: PercpuRoot })
  const load = (field: number): number => loadU32(table.memory.u32, address / 4 + field)
  const geometry = new Geometry({
    cpus: table.map.cpus,
    unitBytes: load(fields.unitBytes),
    staticBytes: load(fields.staticBytes),
    reservedBytes: load(fields.reservedBytes),
    capacity: load(fields.capacity),
    isMapped: load(fields.isMapped) === 1,
  })
  const tables = tablesAt(address, geometry)
  return { geometry, tables, first: tables.records }
}

/** The CPUs of each node that has any. `nodes`: the node of each CPU. */
export function groupsOf(nodes: readonly number[]): readonly (readonly number[])[] {
  const groups = new Map<number, number[]>()
  nodes.forEach((node, cpu) => groups.set(node, [...(groups.get(node) ?? []), cpu]))
  return [...groups.values()]
}

/**
 * On the booting thread, before others join: fills the tables and lays out the first chunk.
 * `units`: byte address of the unit of each CPU.
 */
export function layOutFirstChunk(state: AllocatorState, first: number, units: readonly number[]): void {
  const { geometry, memory, locked, tables } = state
  const hidden = geometry.staticBytes / GRANULE
  const reservedEnd = hidden + geometry.reservedBytes / GRANULE
  const reserved = first + geometry.recordWords
  layOutPart(state, first, FIRST_CHUNK, CHUNK_IMMUTABLE, reservedEnd, geometry.granules, units)
  layOutPart(state, reserved, RESERVED_CHUNK, CHUNK_IMMUTABLE | CHUNK_RESERVED, hidden, reservedEnd, units)
  store32(memory.i32, tables.registry + FIRST_CHUNK, first)
  store32(memory.i32, tables.registry + RESERVED_CHUNK, reserved)
  locked.put(tables.root + fields.registered, 2)
  locked.put(tables.root + fields.chunks, 2)
  locked.put(tables.root + fields.populatedPages, geometry.pages)
  locked.put(tables.root + fields.emptyPages, locked.get(first + chunkFields.empty))
  state.slots.insert(first, 0, true)
  state.slots.relocate(first)
}

/** Writes the record of a chunk whose own granules are [start, end) of the units. */
function layOutPart(
  state: AllocatorState,
  chunk: number,
  index: number,
  flags: number,
  start: number,
  end: number,
  units: readonly number[],
): void {
  const { geometry, locked, chunks, backend } = state
  writeRecord(state, chunk, index)
  locked.put(chunk + chunkFields.flags, flags)
  locked.put(chunk + chunkFields.start, start)
  locked.put(chunk + chunkFields.end, end)
  backend.place(chunk, units)
  setRange(locked.view, chunk + geometry.populated, 0, geometry.pages)
  setRange(locked.view, chunk + geometry.allocated, 0, start)
  setRange(locked.view, chunk + geometry.allocated, end, geometry.granules)
  setRange(locked.view, chunk + geometry.bounds, start, start + 1)
  setRange(locked.view, chunk + geometry.bounds, end, end + 1)
  chunks.rebuild(chunk)
}

/**
 * Boot memory for the page tables of the two chunks, page by page. They are zero, and nobody's.
 *
 * @throws OutOfMemoryError.
 */
export function bootPages({ memblock }: LayerContext, geometry: Geometry): PageSource {
  if (!geometry.isMapped) return noPages
  const size = tablesFor(geometry.pageNumber(RESERVED_CHUNK + 1, 0, 0)) * PAGE_BYTES
  let next = memblock.alloc({ size, align: PAGE_BYTES, label: 'percpu tables' })
  memblock.persist(next)
  return { ...noPages, tryAlloc: () => (next += PAGE_BYTES) - PAGE_BYTES }
}

/**
 * Memory for the units of the first chunk: a region for each node where units are mapped, else one
 * region. Returns the byte address of the unit of each CPU. @throws OutOfMemoryError.
 */
export function allocateUnits({ own, memblock }: LayerContext, geometry: Geometry): number[] {
  const { table } = own
  const { unitBytes, cpus, isMapped } = geometry
  const nodes = Array.from({ length: cpus }, (_, cpu) => (isMapped ? table.node(cpu) : 0))
  const units: number[] = new Array<number>(cpus).fill(0)
  for (const group of groupsOf(nodes)) {
    const node = table.node(group[0] ?? 0)
    const size = group.length * unitBytes
    const address = memblock.alloc({ size, align: PAGE_BYTES, node, label: 'percpu units' })
    memblock.persist(address)
    group.forEach((cpu, i) => (units[cpu] = address + i * unitBytes))
  }
  return units
}
