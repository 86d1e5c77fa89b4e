/**
 * The shared memory of this layer, made at boot: the root with its tables, and the first chunk.
 *
 *     named object 'percpu.percpu'    root │ registry │ heads of slots │ record of chunk 0 │ record of chunk 1
 *     regions, one per node           units of the first chunk: static │ reserved │ dynamic
 *
 * The units of a node's CPUs lie together, on that node; nobody writes them before their CPU does (boot memory is zero). Chunk 0 is the
 * dynamic part of the first chunk: complete, and never given up. Chunk 1 is its reserved part, in no slot. What does not belong to
 * a part is marked as allocated in its bitmap, and hidden. The static part is laid out here, and not managed.
 */
import { loadU32, store32, storeU32, type Memory } from '#mem'
import { isPowerOfTwo, PAGE_BYTES, powerOfTwoBelow, roundUp } from '../arithmetic.js'
import { ArgumentError } from '../errors.js'
import type { LayerContext } from '../bootmem/layer.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { parseSize } from '../machine/size.js'
import { setRange } from './bitmap.js'
import { FIRST_CHUNK, RESERVED_CHUNK, type AllocatorState, type Tables } from './state.js'
import { Geometry, GRANULE, MAX_ORDER, MAX_UNIT, MIN_UNIT, SLOT_WORDS } from './geometry.js'
import { writeRecord } from './growth.js'
import {
  CHUNK_IMMUTABLE,
  CHUNK_RESERVED,
  PercpuChunk,
  PercpuRoot,
  PercpuSlot,
  PercpuStatistics,
} from './layouts.js'

export interface PercpuOptions {
  /**
   * Bytes of a unit, each CPU's part of a chunk, and so the largest allocation: a power of two from 4 KiB to 4 MiB. Default 32 KiB;
   * less where the units of all CPUs would take more than a 16th of the memory, or, without MMU, could not be one block of 4 MiB.
   */
  readonly unit?: number | string
  /** Bytes of the first chunk kept for the library's own layers. Default a quarter of a unit. */
  readonly reserved?: number | string
}

const NAME = 'percpu.percpu'
const type = 'PercpuRoot'
const DEFAULT_UNIT = 2 ** 15
/** Chunks are counted in pointers, of which there are 2^31. */
const POINTERS = 2 ** 31
const { words: fields } = PercpuRoot
const { words: chunkFields } = PercpuChunk

/** Sizes for a machine. @throws ArgumentError */
export function planGeometry({ map, memory }: CpuTable, { unit, reserved }: PercpuOptions): Geometry {
  const isMapped = map.mmu && map.cpus > 1
  const most = isMapped ? MAX_UNIT : Math.min(MAX_UNIT, powerOfTwoBelow((PAGE_BYTES << MAX_ORDER) / map.cpus))
  const unitBytes =
    unit === undefined ? defaultUnit(map.cpus, memory.byteLength, most) : parseSize(unit, 'percpu.unit')
  if (!(unitBytes >= MIN_UNIT && unitBytes <= most && isPowerOfTwo(unitBytes))) {
    throw new ArgumentError(`percpu.unit: ${unitBytes} is not a power of two from ${MIN_UNIT} to ${most}`, {
      unit: unitBytes,
      most,
    })
  }
  const staticBytes = roundUp(PercpuStatistics.size, 64)
  const reservedBytes = reserved === undefined ? unitBytes / 4 : parseSize(reserved, 'percpu.reserved')
  if (!(reservedBytes >= 64 && reservedBytes % 64 === 0 && staticBytes + reservedBytes <= unitBytes / 2)) {
    throw new ArgumentError(
      `percpu.reserved: ${reservedBytes} is not a multiple of 64 from 64 to ${unitBytes / 2 - staticBytes}`,
      { reserved: reservedBytes },
    )
  }
  const capacity = Math.min(
    POINTERS / (unitBytes / GRANULE),
    16 + Math.ceil(memory.byteLength / (2 * PAGE_BYTES)),
  )
  return new Geometry({ cpus: map.cpus, unitBytes, staticBytes, reservedBytes, capacity, isMapped })
}

function defaultUnit(cpus: number, memory: number, most: number): number {
  const fair = powerOfTwoBelow(memory / 16 / cpus)
  return Math.max(MIN_UNIT, Math.min(DEFAULT_UNIT, fair, most))
}

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

/** On the booting thread: the memory of the layer, not yet filled. */
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

/** CPUs of each node that has any. */
export function groupsOf(nodes: readonly number[]): readonly (readonly number[])[] {
  const groups = new Map<number, number[]>()
  nodes.forEach((node, cpu) => groups.set(node, [...(groups.get(node) ?? []), cpu]))
  return [...groups.values()]
}

/** On the booting thread, before anybody else can: fills the tables, and lays out the first chunk. */
export function layOutFirstChunk(state: AllocatorState, first: number, units: readonly number[]): void {
  const { geometry, memory, locked, tables } = state
  const hidden = geometry.staticBytes / GRANULE
  const reservedEnd = hidden + geometry.reservedBytes / GRANULE
  for (let slot = 0; slot < geometry.slots; slot++) {
    locked.put(tables.slots + slot * SLOT_WORDS + PercpuSlot.words.first, 0)
    locked.put(tables.slots + slot * SLOT_WORDS + PercpuSlot.words.last, 0)
  }
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

function layOutPart(
  state: AllocatorState,
  chunk: number,
  index: number,
  flags: number,
  start: number,
  end: number,
  units: readonly number[],
): void {
  const { geometry, locked, chunks } = state
  writeRecord(state, chunk, index)
  locked.put(chunk + chunkFields.flags, flags)
  locked.put(chunk + chunkFields.start, start)
  locked.put(chunk + chunkFields.end, end)
  if (!geometry.isMapped) locked.put(chunk + chunkFields.base, (units[0] ?? 0) / PAGE_BYTES)
  else mapUnits(locked.memory, geometry, chunk, units)
  setRange(locked.view, chunk + geometry.populated, 0, geometry.pages)
  setRange(locked.view, chunk + geometry.allocated, 0, start)
  setRange(locked.view, chunk + geometry.allocated, end, geometry.granules)
  setRange(locked.view, chunk + geometry.bounds, start, start + 1)
  setRange(locked.view, chunk + geometry.bounds, end, end + 1)
  chunks.rebuild(chunk)
}

function mapUnits(memory: Memory, geometry: Geometry, chunk: number, units: readonly number[]): void {
  units.forEach((address, cpu) => {
    for (let page = 0; page < geometry.pages; page++)
      store32(memory.i32, chunk + geometry.map + cpu * geometry.pages + page, address / PAGE_BYTES + page)
  })
}

/** Memory for the units of the first chunk: together by node where units are mapped, all together where not. */
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
