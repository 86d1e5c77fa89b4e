/**
 * The verifier: everything that follows from the bitmaps, worked out the slow way and compared with what the records say. For tests,
 * and for whoever suspects corruption (`machine.percpu.verify()`). Takes the lock; changes nothing.
 */
import { isSet } from './bitmap.js'
import type { AllocatorState } from './state.js'
import { BLOCK, BLOCK_WORDS } from './geometry.js'
import { PercpuCorruptionError } from './errors.js'
import { contig, contigStart, firstFree, left, right, scan, scanStart } from './hints.js'
import { CHUNK_ISOLATED, CHUNK_RESERVED, PercpuChunk, PercpuRoot } from './layouts.js'
import { repair } from './operation.js'

const { words: fields } = PercpuRoot
const { words: chunkFields } = PercpuChunk

/** A free run: [start, end). */
type Run = readonly [number, number]

/** @throws PercpuCorruptionError with everything that is wrong. */
export function verify(state: AllocatorState): void {
  const faults = findFaults(state)
  if (faults.length > 0) throw new PercpuCorruptionError(faults.join('; '), { faults })
}

function findFaults(state: AllocatorState): string[] {
  state.locked.lock(state.tables.root + fields.lock)
  try {
    repair(state)
    return new Verifier(state).all()
  } finally {
    state.locked.unlock()
  }
}

class Verifier {
  readonly #state: AllocatorState
  readonly #faults: string[] = []

  constructor(state: AllocatorState) {
    this.#state = state
  }

  all(): string[] {
    const { locked, tables } = this.#state
    let emptyPages = 0
    let populatedPages = 0
    let chunks = 0
    for (const chunk of this.#state.records()) {
      chunks++
      this.#chunk(chunk)
      if (this.#state.isCounted(chunk)) emptyPages += locked.get(chunk + chunkFields.empty)
      if (!this.#state.is(chunk, CHUNK_RESERVED)) populatedPages += locked.get(chunk + chunkFields.populated)
    }
    this.#expect('empty pages', locked.get(tables.root + fields.emptyPages), emptyPages)
    this.#expect('populated pages', locked.get(tables.root + fields.populatedPages), populatedPages)
    this.#expect('chunks', locked.get(tables.root + fields.chunks), chunks)
    this.#lists(chunks)
    return this.#faults
  }

  #expect(what: string, found: number, expected: number): void {
    if (found !== expected) this.#faults.push(`${what}: ${found}, should be ${expected}`)
  }

  #chunk(chunk: number): void {
    const { locked, geometry } = this.#state
    const name = `chunk ${locked.get(chunk + chunkFields.index)}`
    const free = Array.from(
      { length: geometry.granules },
      (_, bit) => !isSet(locked.view, chunk + geometry.allocated, bit),
    )
    let populated = 0
    let empty = 0
    for (let page = 0; page < geometry.pages; page++) {
      const inPage = free.slice(page * BLOCK, (page + 1) * BLOCK)
      this.#block(`${name}, page ${page}`, chunk + geometry.blocks + page * BLOCK_WORDS, inPage)
      const isWhollyFree = inPage.every(Boolean)
      if (isSet(locked.view, chunk + geometry.populated, page)) {
        populated++
        if (isWhollyFree) empty++
      } else if (!isWhollyFree) this.#faults.push(`${name}, page ${page}: in use, but not populated`)
      this.#mapped(`${name}, page ${page}`, chunk, page)
    }
    this.#expect(`${name}: free`, locked.get(chunk + chunkFields.freeGranules), free.filter(Boolean).length)
    this.#expect(`${name}: populated`, locked.get(chunk + chunkFields.populated), populated)
    this.#expect(`${name}: empty`, locked.get(chunk + chunkFields.empty), empty)
    this.#bounds(name, chunk, free)
    this.#whole(name, chunk, free)
  }

  #mapped(name: string, chunk: number, page: number): void {
    const { locked, geometry, backend } = this.#state
    if (!geometry.isMapped) return
    const isPopulated = isSet(locked.view, chunk + geometry.populated, page)
    for (let cpu = 0; cpu < geometry.cpus; cpu++) {
      const isMapped = backend.translate(chunk, cpu, page * BLOCK) !== undefined
      if (isMapped !== isPopulated)
        this.#faults.push(
          `${name}, CPU ${cpu}: ${isMapped ? 'mapped, not populated' : 'populated, not mapped'}`,
        )
    }
  }

  #block(name: string, block: number, free: readonly boolean[]): void {
    const { locked } = this.#state
    const runs = runsOf(free)
    const longest = Math.max(0, ...runs.map(lengthOf))
    const get = (field: number): number => locked.get(block + field)
    this.#expect(`${name}: firstFree`, get(firstFree), runs[0]?.[0] ?? BLOCK)
    this.#expect(`${name}: left`, get(left), lengthOf(runs.find(([start]) => start === 0)))
    this.#expect(`${name}: right`, get(right), lengthOf(runs.find(([, end]) => end === BLOCK)))
    this.#expect(`${name}: contig`, get(contig), longest)
    if (longest > 0 && !runs.some(([start, end]) => start === get(contigStart) && end - start === longest))
      this.#faults.push(`${name}: no longest run at ${get(contigStart)}`)
    if (get(scan) === 0) return
    const before = Math.max(0, ...runs.filter(([start]) => start < get(contigStart)).map(lengthOf))
    this.#expect(`${name}: scan`, get(scan), before)
    if (!runs.some(([start, end]) => start === get(scanStart) && end - start === before))
      this.#faults.push(`${name}: no run of ${before} at ${get(scanStart)}`)
  }

  /** Each allocation begins and ends at a bound; its bounds were set, and none is left between them. */
  #bounds(name: string, chunk: number, free: readonly boolean[]): void {
    const { locked, geometry } = this.#state
    const isBound = (bit: number): boolean => isSet(locked.view, chunk + geometry.bounds, bit)
    for (let bit = locked.get(chunk + chunkFields.start); bit < locked.get(chunk + chunkFields.end); bit++) {
      const before = bit === 0 || (free[bit - 1] ?? true)
      if (before !== (free[bit] ?? true) && !isBound(bit) && bit > 0)
        this.#faults.push(`${name}: no bound at ${bit}`)
    }
  }

  #whole(name: string, chunk: number, free: readonly boolean[]): void {
    const { locked, geometry } = this.#state
    const get = (field: number): number => locked.get(chunk + chunkFields.whole + field)
    const first = free.indexOf(true)
    this.#expect(`${name}: first free`, get(firstFree), first < 0 ? geometry.granules : first)
    const runs = geometry.isMapped ? pagedRuns(free) : runsOf(free)
    const longest = Math.max(0, ...runs.map(lengthOf))
    const found = get(contig)
    // Frees at either end of it, each within a page, are not added.
    if (found > longest || found <= longest - 2 * BLOCK)
      this.#faults.push(`${name}: longest run ${found}, should be about ${longest}`)
    if (
      found > 0 &&
      !runs.some(([start, end]) => start <= get(contigStart) && get(contigStart) + found <= end)
    )
      this.#faults.push(`${name}: no run of ${found} at ${get(contigStart)}`)
  }

  #lists(chunks: number): void {
    const { slots, geometry, locked } = this.#state
    let listed = 0
    for (let slot = 0; slot < geometry.slots; slot++) {
      let before = 0
      for (let chunk = slots.first(slot); chunk !== 0 && listed <= chunks; chunk = slots.next(chunk)) {
        listed++
        const name = `chunk ${locked.get(chunk + chunkFields.index)}`
        this.#expect(`${name}: slot`, slots.slot(chunk), slot)
        this.#expect(`${name}: previous`, locked.get(chunk + chunkFields.previous), before)
        this.#place(name, chunk, slot)
        before = chunk
      }
    }
    this.#expect('chunks in slots', listed, chunks - 1)
  }

  #place(name: string, chunk: number, slot: number): void {
    const { locked, geometry } = this.#state
    const run = locked.get(chunk + chunkFields.whole + contig)
    const isAside = slot === geometry.sidelined || slot === geometry.depopulate
    if (isAside !== this.#state.is(chunk, CHUNK_ISOLATED)) this.#faults.push(`${name}: set aside, or not`)
    // Slot 0 has those too in which a small request found no place.
    if (!isAside && slot !== 0)
      this.#expect(`${name}: slot by size`, slot, run === 0 ? 0 : geometry.slotOf(run))
  }
}

function lengthOf(run: Run | undefined): number {
  return run ? run[1] - run[0] : 0
}
function runsOf(free: readonly boolean[]): Run[] {
  const runs: Run[] = []
  for (let bit = 0; bit < free.length; bit++) {
    if (!free[bit]) continue
    const start = bit
    while (bit < free.length && free[bit]) bit++
    runs.push([start, bit])
  }
  return runs
}
/** Runs inside pages, and rows of free pages with what is free at the start of the next. */
function pagedRuns(free: readonly boolean[]): Run[] {
  const runs: Run[] = []
  for (let page = 0; page < free.length; page += BLOCK) {
    for (const [start, end] of runsOf(free.slice(page, page + BLOCK))) runs.push([page + start, page + end])
    let end = page
    while (end < free.length && free.slice(end, end + BLOCK).every(Boolean)) end += BLOCK
    while (end > page && end < free.length && free[end]) end++
    if (end > page) runs.push([page, end])
  }
  return runs
}
