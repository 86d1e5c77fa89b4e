/** What there is of per-CPU memory, and how broken up it is. */
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

export interface PercpuChunkReport {
  readonly index: number
  readonly kind: 'first' | 'reserved' | 'ordinary'
  /** In which list it is; undefined for the reserved one. */
  readonly slot: number | undefined
  /** Set aside: used only when no other chunk will do. */
  readonly isIsolated: boolean
  /** Bytes of a unit: in use, free, and of the longest free run. */
  readonly used: number
  readonly free: number
  readonly largestFree: number
  /** Free runs. */
  readonly fragments: number
  readonly allocations: number
  /** Pages of a unit: all, populated, and of these wholly free. */
  readonly pages: number
  readonly populated: number
  readonly empty: number
}

export interface PercpuReport {
  readonly backend: 'km' | 'vm'
  /** How many possible CPUs, and so units a chunk, there are. */
  readonly cpus: number
  readonly unitBytes: number
  readonly staticBytes: number
  readonly reservedBytes: number
  readonly chunks: readonly PercpuChunkReport[]
  /** Slots that have chunks: how many. */
  readonly slots: readonly { readonly slot: number; readonly name: string; readonly chunks: number }[]
  /** Of all units together: bytes of populated pages, and of them in use. */
  readonly populatedBytes: number
  readonly usedBytes: number
  /** Pages of a unit that are ready for requests that must not grow. */
  readonly emptyPages: number
  /** 1 − longest free run / free, over all chunks: 0 if everything free lies together. */
  readonly fragmentation: number
  /** Bytes that a chunk takes beside its units. */
  readonly overhead: number
  readonly flushes: number
  /** By all CPUs since boot. */
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
      flushes: locked.get(tables.root + fields.flushes),
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
      [geometry.sidelined, 'set aside'],
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
    const get = (field: number): number => load32(state.memory.i32, word + field)
    total.allocations += get(at.allocations)
    total.frees += get(at.frees)
    total.failures += get(at.failures)
  }
  return total
}

/** For people: a line a chunk. */
export function formatReport(report: PercpuReport): string {
  const percent = (part: number, of: number): string => (of === 0 ? '0' : ((part / of) * 100).toFixed(1))
  const lines = [
    `per-CPU memory: ${report.backend}, ${report.cpus} units of ${report.unitBytes} bytes a chunk ` +
      `(static ${report.staticBytes}, reserved ${report.reservedBytes}), ${report.overhead} bytes beside`,
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
    `chunk ${chunk.index} (${chunk.kind}, ${place}${chunk.isIsolated ? ', set aside' : ''}): ${chunk.allocations} allocations, ` +
    `used ${chunk.used}, free ${chunk.free} in ${chunk.fragments} runs, largest ${chunk.largestFree}, ` +
    `pages ${chunk.populated} of ${chunk.pages}, empty ${chunk.empty}`
  )
}
