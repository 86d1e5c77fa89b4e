/** Reports: what there is of per-CPU memory, and how broken up it is. */
import { load32 } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { AllocatorState } from './state.js'
import { GRANULE } from './geometry.js'
import { wastedBytes } from './growth.js'
import { nextClear, nextSet } from './bitmap.js'
import type { CpuState } from './cpu-state.js'
import {
  CHUNK_IMMUTABLE,
  CHUNK_ISOLATED,
  CHUNK_RESERVED,
  PercpuChunk,
  PercpuRoot,
  PercpuStatistics,
} from './layouts.js'
import { repair } from './operation.js'
import { FIRST_CHUNK } from './state.js'

const { words: fields } = PercpuRoot
const { words: chunkFields } = PercpuChunk

/** How much of a chunk of per-CPU memory is used. */
export interface PercpuChunkReport {
  readonly index: number
  readonly kind: 'first' | 'reserved' | 'ordinary'
  /** Number of its slot; undefined for the reserved chunk, which is in none. */
  readonly slot: number | undefined
  /** Nothing is allocated from it while another chunk will do. */
  readonly isIsolated: boolean
  /** Bytes of each unit: allocated, free, and of the longest free run. */
  readonly used: number
  readonly free: number
  readonly largestFree: number
  /** Number of free runs. */
  readonly fragments: number
  readonly allocations: number
  /** Pages of each unit: all, populated ones, and of these the wholly free ones. */
  readonly pages: number
  readonly populated: number
  readonly empty: number
}

/** How much of the per-CPU memory is used. */
export interface PercpuReport {
  readonly backend: 'km' | 'vm'
  /** Possible CPUs: each chunk has a unit for each of them. */
  readonly cpus: number
  readonly unitBytes: number
  readonly staticBytes: number
  readonly reservedBytes: number
  readonly chunks: readonly PercpuChunkReport[]
  /** Slots that have chunks, and how many. */
  readonly slots: readonly { readonly slot: number; readonly name: string; readonly chunks: number }[]
  /** Bytes of all units together: of populated pages, and allocated. */
  readonly populatedBytes: number
  readonly usedBytes: number
  /** Pages of a unit that are populated and wholly free: ready for requests that do not wait. */
  readonly emptyPages: number
  /** 1 − longest free runs / free bytes, over all chunks: 0 if each chunk has one free run. */
  readonly fragmentation: number
  /** Bytes that each chunk takes beside its units. */
  readonly overhead: number
  /** Of all page tables; 0 where nothing is mapped. */
  readonly tableBytes: number
  /** How often pages were flushed since boot, modulo 2^32. */
  readonly flushes: number
  /** By all CPUs since boot; what each CPU did is counted modulo 2^32. */
  readonly allocations: number
  readonly frees: number
  readonly failures: number
}

export function makeReport({ state }: CpuState): PercpuReport {
  const { locked, tables, geometry, backend } = state
  locked.lock(tables.root + fields.lock)
  try {
    repair(state)
    const chunks = [...state.records()].map((chunk) => reportChunk(state, chunk))
    const ordinary = chunks.filter(({ kind }) => kind !== 'reserved')
    const sum = (of: (chunk: PercpuChunkReport) => number): number =>
      ordinary.reduce((total, chunk) => total + of(chunk), 0)
    const free = sum((chunk) => chunk.free)
    return {
      backend: backend.name,
      cpus: geometry.cpus,
      unitBytes: geometry.unitBytes,
      staticBytes: geometry.staticBytes,
      reservedBytes: geometry.reservedBytes,
      chunks,
      slots: reportSlots(state),
      populatedBytes: sum(({ populated }) => populated) * PAGE_BYTES * geometry.cpus,
      usedBytes: sum(({ used }) => used) * geometry.cpus,
      emptyPages: locked.get(tables.root + fields.emptyPages),
      fragmentation: free === 0 ? 0 : 1 - sum((chunk) => chunk.largestFree) / free,
      overhead: geometry.recordWords * 4 + wastedBytes(state),
      tableBytes: (backend.tables?.count ?? 0) * PAGE_BYTES,
      flushes: locked.get(tables.root + fields.flushes) >>> 0,
      ...statistics(state),
    }
  } finally {
    locked.unlock()
  }
}

function reportChunk(state: AllocatorState, chunk: number): PercpuChunkReport {
  const { locked, geometry, slots } = state
  const get = (field: number): number => locked.get(chunk + field)
  const { fragments, allocations } = count(state, chunk)
  const isReserved = state.is(chunk, CHUNK_RESERVED)
  const free = get(chunkFields.freeGranules) * GRANULE
  return {
    index: get(chunkFields.index),
    kind: isReserved ? 'reserved' : state.is(chunk, CHUNK_IMMUTABLE) ? 'first' : 'ordinary',
    slot: isReserved ? undefined : slots.slot(chunk),
    isIsolated: state.is(chunk, CHUNK_ISOLATED),
    used: (get(chunkFields.end) - get(chunkFields.start)) * GRANULE - free,
    free,
    largestFree: get(chunkFields['whole.contig']) * GRANULE,
    fragments,
    allocations,
    pages: geometry.pages,
    populated: get(chunkFields.populated),
    empty: get(chunkFields.empty),
  }
}

/** Free runs, and allocations. */
function count(
  { locked, geometry }: AllocatorState,
  chunk: number,
): { fragments: number; allocations: number } {
  const start = locked.get(chunk + chunkFields.start)
  const end = locked.get(chunk + chunkFields.end)
  const [map, bounds] = [chunk + geometry.allocated, chunk + geometry.bounds]
  let fragments = 0
  let allocations = 0
  for (let bit = start; bit < end;) {
    const used = nextSet(locked.view, map, bit, end)
    if (used > bit) fragments++
    const stop = nextClear(locked.view, map, used, end)
    for (let at = used; at < stop; at = nextSet(locked.view, bounds, at + 1, stop)) allocations++
    bit = stop
  }
  return { fragments, allocations }
}

function reportSlots({ slots, geometry }: AllocatorState): PercpuReport['slots'] {
  const found = []
  for (let slot = slots.nextInUse(0); slot < geometry.slots; slot = slots.nextInUse(slot + 1)) {
    let chunks = 0
    for (let chunk = slots.first(slot); chunk !== 0; chunk = slots.next(chunk)) chunks++
    const names = new Map([
      [0, 'full'],
      [geometry.sidelined, 'sidelined'],
      [geometry.free, 'wholly free'],
      [geometry.depopulate, 'to be depopulated'],
    ])
    found.push({ slot, name: names.get(slot) ?? `up to ${2 ** (slot + 3) - 1} bytes`, chunks })
  }
  return found
}

function statistics(state: AllocatorState): Pick<PercpuReport, 'allocations' | 'frees' | 'failures'> {
  const { words: at } = PercpuStatistics
  const total = { allocations: 0, frees: 0, failures: 0 }
  for (let cpu = 0; cpu < state.geometry.cpus; cpu++) {
    const word = (state.backend.translate(state.record(FIRST_CHUNK), cpu, 0) ?? 0) / GRANULE
    // Its CPU may be counting: a value of this moment, or of a moment ago.
    const get = (field: number): number => load32(state.memory.i32, word + field) >>> 0
    total.allocations += get(at.allocations)
    total.frees += get(at.frees)
    total.failures += get(at.failures)
  }
  return total
}

/** As text, with a line for each slot and each chunk. */
export function formatReport(report: PercpuReport): string {
  const percent = (part: number, of: number): string => (of === 0 ? '0' : ((part / of) * 100).toFixed(1))
  const lines = [
    `per-CPU memory: ${report.backend}, ${report.cpus} units of ${report.unitBytes} bytes a chunk ` +
      `(static ${report.staticBytes}, reserved ${report.reservedBytes}), ${report.overhead} bytes beside; ` +
      `page tables ${report.tableBytes} bytes`,
    `populated ${report.populatedBytes} bytes, in use ${report.usedBytes} (${percent(report.usedBytes, report.populatedBytes)} %), ` +
      `${report.emptyPages} pages empty, fragmentation ${report.fragmentation.toFixed(3)}`,
    `${report.allocations} allocations, ${report.frees} frees, ${report.failures} failures, ${report.flushes} flushes`,
    ...report.slots.map(({ slot, name, chunks }) => `slot ${slot} (${name}): ${chunks}`),
    ...report.chunks.map(formatChunk),
  ]
  return lines.join('\n') + '\n'
}

function formatChunk(chunk: PercpuChunkReport): string {
  const place = chunk.slot === undefined ? 'in no slot' : `slot ${chunk.slot}`
  return (
    `chunk ${chunk.index} (${chunk.kind}, ${place}${chunk.isIsolated ? ', isolated' : ''}): ${chunk.allocations} allocations, ` +
    `used ${chunk.used}, free ${chunk.free} in ${chunk.fragments} runs, largest ${chunk.largestFree}, ` +
    `pages ${chunk.populated} of ${chunk.pages}, empty ${chunk.empty}`
  )
}
