/** The part of the verifier that looks at one chunk: the equations block.…, whole.… and chunk.… */
import { PAGE_BYTES } from '../arithmetic.js'
import { isSet } from './bitmap.js'
import { lengthAt } from './chunk.js'
import type { Faults } from './faults.js'
import { BLOCK } from './geometry.js'
import { contig, contigStart, firstFree, left, right, scan, scanStart } from './hints.js'
import { CHUNK_IMMUTABLE, CHUNK_ISOLATED, CHUNK_RESERVED, PercpuChunk } from './layouts.js'
import { FIRST_CHUNK, RESERVED_CHUNK, type AllocatorState } from './state.js'

const { words: fields } = PercpuChunk

/** A row of free granules: [start, end). */
type Run = readonly [start: number, end: number]

export function nameOfChunk({ locked }: AllocatorState, chunk: number): string {
  return `chunk ${locked.get(chunk + fields.index)}`
}

/** `owners`: which unit has which page of the memory, of the chunks before this one. */
export function checkChunk(
  state: AllocatorState,
  faults: Faults,
  chunk: number,
  owners: Map<number, string>,
): void {
  const { locked, geometry } = state
  const name = nameOfChunk(state, chunk)
  const free = Array.from(
    { length: geometry.granules },
    (_, bit) => !isSet(locked.view, chunk + geometry.allocated, bit),
  )
  const blocks = Array.from({ length: geometry.pages }, (_, page) =>
    free.slice(page * BLOCK, (page + 1) * BLOCK),
  )
  checkHead(state, faults, chunk, name)
  checkCounts(state, faults, chunk, name, blocks)
  checkBounds(state, faults, chunk, name, free)
  checkOwned(state, faults, chunk, name)
  blocks.forEach((block, page) => checkBlock(state, faults, chunk, page, block))
  checkWhole(state, faults, chunk, name, free)
  checkPages(state, faults, chunk, name, owners)
}

function checkHead(state: AllocatorState, faults: Faults, chunk: number, name: string): void {
  const { locked, geometry } = state
  const index = locked.get(chunk + fields.index)
  if (state.record(index) !== chunk) faults.add('chunk.index', name, `the registry has another record there`)
  const isFirst = index === FIRST_CHUNK || index === RESERVED_CHUNK
  const flags = locked.get(chunk + fields.flags)
  const expected =
    (isFirst ? CHUNK_IMMUTABLE : flags & CHUNK_ISOLATED) | (index === RESERVED_CHUNK ? CHUNK_RESERVED : 0)
  faults.expect('chunk.flags', name, 'flags', flags, expected)
  const [start, end] = [locked.get(chunk + fields.start), locked.get(chunk + fields.end)]
  if (!(start >= 0 && start < end && end <= geometry.granules))
    faults.add('chunk.extent', name, `from ${start} to ${end}`)
}

function checkCounts(
  state: AllocatorState,
  faults: Faults,
  chunk: number,
  name: string,
  blocks: readonly boolean[][],
): void {
  const { locked } = state
  const isPopulated = (page: number): boolean => state.chunks.isPopulated(chunk, page)
  const isFree = blocks.map((block) => block.every(Boolean))
  const free = blocks.flat().filter(Boolean).length
  const populated = blocks.filter((_, page) => isPopulated(page)).length
  const empty = isFree.filter((is, page) => is && isPopulated(page)).length
  faults.expect('chunk.free', name, 'freeGranules', locked.get(chunk + fields.freeGranules), free)
  faults.expect('chunk.populated', name, 'populated', locked.get(chunk + fields.populated), populated)
  faults.expect('chunk.empty', name, 'empty', locked.get(chunk + fields.empty), empty)
  isFree.forEach((is, page) => {
    if (!is && !isPopulated(page))
      faults.add('chunk.in-use', `${name}, page ${page}`, 'in use, not populated')
  })
}

function checkBounds(
  state: AllocatorState,
  faults: Faults,
  chunk: number,
  name: string,
  free: readonly boolean[],
): void {
  const { locked, geometry } = state
  const [start, end] = [locked.get(chunk + fields.start), locked.get(chunk + fields.end)]
  free.forEach((isFree, bit) => {
    if (isFree && (bit < start || bit >= end)) faults.add('chunk.extent', name, `granule ${bit} is free`)
  })
  const isAllocated = (bit: number): boolean => bit >= start && bit < end && free[bit] === false
  for (let bit = Math.max(0, start); bit <= Math.min(end, geometry.granules); bit++)
    if (isAllocated(bit - 1) !== isAllocated(bit) && !isSet(locked.view, chunk + geometry.bounds, bit))
      faults.add('chunk.bounds', name, `no bound at granule ${bit}`)
}

function checkOwned(state: AllocatorState, faults: Faults, chunk: number, name: string): void {
  const { locked, geometry } = state
  for (let bit = 0; bit < geometry.granules; bit++)
    if (isSet(locked.view, chunk + geometry.owned, bit) && lengthAt(locked.view, chunk, geometry, bit) === 0)
      faults.add('chunk.owned', name, `nothing begins at granule ${bit}`)
}

function checkBlock(
  state: AllocatorState,
  faults: Faults,
  chunk: number,
  page: number,
  free: readonly boolean[],
): void {
  const block = state.geometry.block(chunk, page)
  const name = `${nameOfChunk(state, chunk)}, page ${page}`
  const get = (field: number): number => state.locked.get(block + field)
  const runs = runsOf(free)
  const isRun = (start: number, length: number): boolean =>
    runs.some((run) => run[0] === start && lengthOf(run) === length)
  faults.expect('block.firstFree', name, 'firstFree', get(firstFree), runs[0]?.[0] ?? BLOCK)
  faults.expect('block.left', name, 'left', get(left), lengthOf(runs.find(([start]) => start === 0)))
  faults.expect('block.right', name, 'right', get(right), lengthOf(runs.find(([, end]) => end === BLOCK)))
  const longest = longestOf(runs)
  faults.expect('block.contig', name, 'contig', get(contig), longest)
  if (longest > 0 && !isRun(get(contigStart), longest))
    faults.add('block.contig', name, `no longest run begins at ${get(contigStart)}`)
  if (get(scan) === 0) return
  const before = longestOf(runs.filter(([start]) => start < get(contigStart)))
  faults.expect('block.scan', name, 'scan', get(scan), before)
  if (!isRun(get(scanStart), get(scan)))
    faults.add('block.scan', name, `no such run begins at ${get(scanStart)}`)
}

function checkWhole(
  state: AllocatorState,
  faults: Faults,
  chunk: number,
  name: string,
  free: readonly boolean[],
): void {
  const { geometry } = state
  const get = (field: number): number => state.locked.get(chunk + fields.whole + field)
  const first = free.indexOf(true)
  faults.expect('whole.firstFree', name, 'firstFree', get(firstFree), first < 0 ? geometry.granules : first)
  const ofBlocks = [...runsOfBlocks(free), ...rowsOfBlocks(free)]
  const runs = geometry.isMapped ? [...runsOfBlocks(free), ...rowsWithEdge(free)] : runsOf(free)
  const [least, most] = [longestOf(ofBlocks), longestOf(runs)]
  const found = get(contig)
  const start = get(contigStart)
  if (found < least || found > most)
    faults.add('whole.contig', name, `contig is ${found}, should be ${least} to ${most}`)
  if (found > 0 && !runs.some((run) => run[0] <= start && start + found <= run[1]))
    faults.add('whole.contig', name, `not all of ${found} granules from ${start} on are free`)
}

function checkPages(
  state: AllocatorState,
  faults: Faults,
  chunk: number,
  name: string,
  owners: Map<number, string>,
): void {
  const { geometry, backend, memory } = state
  for (let cpu = 0; cpu < geometry.cpus; cpu++) {
    for (let page = 0; page < geometry.pages; page++) {
      const unit = `${name}, CPU ${cpu}, page ${page}`
      const address = backend.translate(chunk, cpu, page * BLOCK)
      if ((address !== undefined) !== state.chunks.isPopulated(chunk, page))
        faults.add('chunk.mapped', unit, address === undefined ? 'not mapped' : 'mapped, not populated')
      if (address === undefined || state.is(chunk, CHUNK_RESERVED)) continue
      const owner = owners.get(address / PAGE_BYTES)
      if (owner !== undefined) faults.add('chunk.pages', unit, `its page is that of ${owner}`)
      else if (address < PAGE_BYTES || address + PAGE_BYTES > memory.byteLength)
        faults.add('chunk.pages', unit, `address ${address} is not in the memory`)
      else owners.set(address / PAGE_BYTES, unit)
    }
  }
}

function lengthOf(run: Run | undefined): number {
  return run ? run[1] - run[0] : 0
}
function longestOf(runs: readonly Run[]): number {
  return runs.reduce((longest, run) => Math.max(longest, lengthOf(run)), 0)
}
/** All runs among `free`, which begins at granule `from` of the unit. */
function runsOf(free: readonly boolean[], from = 0): Run[] {
  const runs: Run[] = []
  for (let bit = 0; bit < free.length; bit++) {
    if (!free[bit]) continue
    const start = bit
    while (bit < free.length && free[bit]) bit++
    runs.push([from + start, from + bit])
  }
  return runs
}
/** Runs that end at the edges of their block. */
function runsOfBlocks(free: readonly boolean[]): Run[] {
  const runs: Run[] = []
  for (let from = 0; from < free.length; from += BLOCK)
    runs.push(...runsOf(free.slice(from, from + BLOCK), from))
  return runs
}
/** Rows of free blocks. */
function rowsOfBlocks(free: readonly boolean[]): Run[] {
  return runsOf(free)
    .map(([start, end]): Run => [Math.ceil(start / BLOCK) * BLOCK, Math.floor(end / BLOCK) * BLOCK])
    .filter((row) => lengthOf(row) > 0)
}
/** Rows of free blocks, each with the free start of the block behind it. */
function rowsWithEdge(free: readonly boolean[]): Run[] {
  return runsOf(free)
    .map(([start, end]): Run => [Math.ceil(start / BLOCK) * BLOCK, end])
    .filter((row) => lengthOf(row) >= BLOCK)
}
