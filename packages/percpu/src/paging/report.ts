/** What a space has, and whether all tables and counts are right. */
import { PAGE_BYTES } from '../arithmetic.js'
import {
  ACCESSED,
  DIRTY,
  ENTRIES,
  frameOf,
  HUGE,
  PAGE_LEVEL,
  PRESENT,
  ROOT_LEVEL,
  spanOf,
  targetOf,
} from '../pagetable/entry.js'
import { SpaceTable } from '../pagetable/layouts.js'
import { assertOpen } from '../collections/life.js'
import type { Gather } from '../pagetable/gather.js'
import type { SpaceAccess } from './access.js'
import { AREA_HUGE, AREA_WRITE, type Area } from './areas.js'
import type { Pager } from './pager.js'

const { root: edge } = SpaceTable.words

/** An area, and what of it has memory. Bytes. */
export interface AreaReport {
  readonly address: number
  readonly bytes: number
  readonly write: boolean
  readonly huge: boolean
  /** Of pages that have memory. */
  readonly resident: number
  /** Of these: in blocks of 4 MiB; shared with forks; written to; read. */
  readonly inBlocks: number
  readonly shared: number
  readonly dirty: number
  readonly accessed: number
}

/** A leaf, and the pages of the space that it has. */
export interface Leaf {
  readonly entry: number
  readonly page: number
  readonly pages: number
  /** Whether a table above it, or what it leads to, is another space's, too. */
  readonly isShared: boolean
}

/** The leaves of a space in [from, to), one table at a time under the lock. */
export function* leavesOf({ pager, place, memory }: SpaceAccess, from: number, to: number): Generator<Leaf> {
  for (let page = from; page < to;) {
    // It may have been removed between two of them.
    assertOpen(memory)
    const { leaves, next } = pager.locked(() => leavesFrom(pager, place.table + edge, page, to))
    yield* leaves
    page = next
  }
}
/** Those of the table of a page, and the first page behind what is known of by then. */
function leavesFrom(
  { tables, frames }: Pager,
  edgeWord: number,
  page: number,
  to: number,
): { readonly leaves: Leaf[]; readonly next: number } {
  let word = edgeWord
  let isShared = false
  for (let level = ROOT_LEVEL; ; level--) {
    const entry = tables.at(word)
    const span = spanOf(level + 1)
    const first = Math.floor(page / span) * span
    if ((entry & PRESENT) === 0) return { leaves: [], next: first + span }
    isShared ||= frames.isShared(entry)
    if ((entry & HUGE) !== 0)
      return { leaves: [{ entry, page: first, pages: span, isShared }], next: first + span }
    const below = spanOf(level)
    if (level > 0) {
      word = targetOf(entry) + (Math.floor(page / below) & (ENTRIES - 1))
      continue
    }
    const leaves: Leaf[] = []
    for (let each = page; each < Math.min(to, first + span); each++) {
      const leaf = tables.at(targetOf(entry) + (each - first))
      if ((leaf & PRESENT) === 0) continue
      leaves.push({ entry: leaf, page: each, pages: 1, isShared: isShared || frames.isShared(leaf) })
    }
    return { leaves, next: first + span }
  }
}

export function describeAreas(access: SpaceAccess): readonly AreaReport[] {
  const { pager, place, memory } = access
  assertOpen(memory)
  const areas: Area[] = pager.locked(() => [...pager.areas.each(place.id)])
  return areas.map((area) => describeArea(access, area))
}
function describeArea(access: SpaceAccess, { from, to, flags }: Area): AreaReport {
  const sums = { resident: 0, inBlocks: 0, shared: 0, dirty: 0, accessed: 0 }
  for (const { entry, page, pages, isShared } of leavesOf(access, from, to)) {
    const bytes = (Math.min(to, page + pages) - Math.max(from, page)) * PAGE_BYTES
    sums.resident += bytes
    if ((entry & HUGE) !== 0) sums.inBlocks += bytes
    if (isShared) sums.shared += bytes
    if ((entry & DIRTY) !== 0) sums.dirty += bytes
    if ((entry & ACCESSED) !== 0) sums.accessed += bytes
  }
  const write = (flags & AREA_WRITE) !== 0
  const huge = (flags & AREA_HUGE) !== 0
  return { address: from * PAGE_BYTES, bytes: (to - from) * PAGE_BYTES, write, huge, ...sums }
}

/** Holders of pages and blocks, as tables and lists say. */
export class Holders {
  readonly refs = new Map<number, number>()
  readonly huge = new Map<number, number>()
  /** What was found wrong. */
  readonly faults: string[] = []
  readonly #pager: Pager

  constructor(pager: Pager) {
    this.#pager = pager
  }

  /** Counts what an entry leads to, and all below if it is the first one that does. */
  add(entry: number, level: number): void {
    if ((entry & PRESENT) === 0) {
      if (entry !== 0) this.faults.push(`an entry that is not present is ${entry}`)
      return
    }
    const frame = frameOf(entry)
    if ((entry & HUGE) !== 0) {
      if (level !== 0 || frame % ENTRIES !== 0)
        this.faults.push(`page ${frame} is no block at level ${level}`)
      this.huge.set(frame, (this.huge.get(frame) ?? 0) + 1)
      return
    }
    const before = this.refs.get(frame) ?? 0
    this.refs.set(frame, before + 1)
    if (level === PAGE_LEVEL || before > 0) return
    for (let index = 0; index < ENTRIES; index++)
      this.add(this.#pager.tables.at(targetOf(entry) + index), level - 1)
  }
  /** What a list is to give up. */
  addList(gather: Gather): void {
    for (const { entry, level } of gather.items()) {
      const frame = frameOf(entry)
      if (level !== undefined) this.add(entry, level)
      else this.refs.set(frame, (this.refs.get(frame) ?? 0) + 1)
    }
  }

  /** Compares with the counts of a machine with so many pages. */
  compare(pages: number): void {
    const { frames } = this.#pager
    const live = new Map<number, number>()
    for (let page = 0; page < pages; page++) {
      const held = this.refs.get(page) ?? 0
      const counted = frames.refsOf(page)
      if (held !== counted) this.faults.push(`${held} entries lead to page ${page}, ${counted} are counted`)
      const block = page & -ENTRIES
      if (held > 0 && frames.blockOf(page) !== 0) live.set(block, (live.get(block) ?? 0) + 1)
    }
    for (let block = 0; block < pages; block += ENTRIES) {
      const counts = frames.countsAt(block)
      const huge = this.huge.get(block) ?? 0
      if (counts.huge !== huge || counts.live !== (live.get(block) ?? 0))
        this.faults.push(
          `${huge} huge entries and ${live.get(block) ?? 0} pages are of the block at page ${block}; counted are ` +
            `${counts.huge} and ${counts.live}`,
        )
    }
  }
}
