/** What spaces have: their areas and tables, as `/proc/PID/maps` and `smaps` tell of a process. */
import { PAGE_BYTES } from '../arithmetic.js'
import { ACCESSED, DIRTY, ENTRIES, HUGE, PRESENT, SPACE_PAGES, targetOf } from '../pagetable/entry.js'
import { AREA_HUGE, AREA_WRITE, type Area } from './areas.js'
import type { SpaceKind } from './layouts.js'
import { leavesOf, stepsTo, type Looked, type Step } from './leaves.js'
import type { Pager } from './pager.js'

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

/** A table of pages, of 1024 entries. */
export interface TableReport {
  /** 2: the root; 0: its entries lead to pages. */
  readonly level: number
  /** The first address that it translates, and how many. */
  readonly address: number
  readonly bytes: number
  /** Whether forks have it, too. */
  readonly isShared: boolean
  /** Entries that lead somewhere. */
  readonly present: number
  /** Of these: blocks of 4 MiB; such as forks have, too; pages and blocks written to; read. */
  readonly blocks: number
  readonly shared: number
  readonly dirty: number
  readonly accessed: number
}

/** A block of 4 MiB, in the place of a table of level 0. */
export interface BlockReport {
  readonly address: number
  /** Whether forks have it, too; it was written to; it was read. */
  readonly isShared: boolean
  readonly isDirty: boolean
  readonly isAccessed: boolean
}

/** An address space, a sparse array, or a snapshot of one of both. */
export interface SpaceReport {
  readonly kind: SpaceKind
  /** As it was named. Of a snapshot without a name: CPU, incarnation and number of the snapshot. */
  readonly name: string
  readonly areas: readonly AreaReport[]
  /** Each one before those that its entries lead to. */
  readonly tables: readonly TableReport[]
  readonly blocks: readonly BlockReport[]
}
/** All tables of a space, and the blocks that they lead to. */
interface TablesReport {
  readonly tables: TableReport[]
  readonly blocks: BlockReport[]
}

export function describeAreas(space: Looked): readonly AreaReport[] {
  const { pager, place } = space
  const areas: Area[] = pager.locked(() => {
    space.check()
    return [...pager.areas.each(place.id)]
  })
  return areas.map((area) => describeArea(space, area))
}
function describeArea(space: Looked, { from, to, flags }: Area): AreaReport {
  const sums = { resident: 0, inBlocks: 0, shared: 0, dirty: 0, accessed: 0 }
  for (const { entry, page, pages, isShared } of leavesOf(space, from, to)) {
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

export function describeSpace(space: Looked): Omit<SpaceReport, 'kind' | 'name'> {
  return { areas: describeAreas(space), ...describeTables(space) }
}
/** Those on the way to one page at a time under the lock. */
function describeTables(space: Looked): TablesReport {
  const found: TablesReport = { tables: [], blocks: [] }
  for (let page = 0; page < SPACE_PAGES;)
    page = space.pager.locked(() => {
      space.check()
      return describeFrom(space, page, found)
    })
  return found
}
/** Adds those that begin at a page. Returns the first page behind what is known of by then. */
function describeFrom({ pager, place }: Looked, from: number, { tables, blocks }: TablesReport): number {
  let next = from
  for (const step of stepsTo(pager, place, from)) {
    const { entry, page, isShared } = step
    next = page + step.pages
    if ((entry & PRESENT) === 0 || page !== from) continue
    if ((entry & HUGE) === 0) tables.push(describeTable(pager, step))
    else {
      const [isDirty, isAccessed] = [(entry & DIRTY) !== 0, (entry & ACCESSED) !== 0]
      blocks.push({ address: page * PAGE_BYTES, isShared, isDirty, isAccessed })
    }
  }
  return next
}
function describeTable(
  { tables, frames }: Pager,
  { entry, level, page, pages, isShared }: Step,
): TableReport {
  const sums = { present: 0, blocks: 0, shared: 0, dirty: 0, accessed: 0 }
  for (let index = 0; index < ENTRIES; index++) {
    const each = tables.at(targetOf(entry) + index)
    if ((each & PRESENT) === 0) continue
    sums.present++
    if ((each & HUGE) !== 0) sums.blocks++
    if (isShared || frames.isShared(each)) sums.shared++
    if ((each & DIRTY) !== 0) sums.dirty++
    if ((each & ACCESSED) !== 0) sums.accessed++
  }
  return { level, address: page * PAGE_BYTES, bytes: pages * PAGE_BYTES, isShared, ...sums }
}
