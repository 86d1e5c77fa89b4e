/**
 * Collapsing: a table all of whose 1024 pages have memory becomes one huge leaf. (After the
 * kernel's khugepaged.)
 *
 *     take WRITE away ─▶ a round ─▶ copy the pages to a block ─▶ the leaf in place of the table
 *       ─▶ a round ─▶ give up the table, and the pages
 *
 * After the first round nobody writes to the pages, so the copy has what they have. Reading goes on
 * in the pages until the second one. Pages that lie side by side in their block already are not
 * copied. A thread that dies before the leaf is there has changed nothing that anybody reads.
 */
import * as mem from '#mem'
import type { Deadline } from '../machine/wait-options.js'
import { ACCESSED, DIRTY, ENTRIES, entryOf, frameOf, HUGE, PRESENT, targetOf } from '../pagetable/entry.js'
import { SpaceTable } from '../pagetable/layouts.js'
import type { SpaceAccess } from './access.js'
import type { Changes } from './changes.js'

const { load32, store32 } = mem
const { root: edge } = SpaceTable.words

/** @throws as `AddressSpace.collapse`. */
export async function collapse(
  access: SpaceAccess,
  changes: Changes,
  page: number,
  deadline: Deadline,
): Promise<boolean> {
  const { pager, place } = access
  const first = page & -ENTRIES
  const pages = { from: first, to: first + ENTRIES }
  return changes.run(place, deadline, async () => {
    // Mutant: paging/collapse-unpinned.
    changes.checkPins(place, first, first + ENTRIES)
    const found = pager.locked(() => find(access, first))
    if (found === undefined) return false
    const { word, table } = found
    const block = found.block ?? access.pager.allocBlock()
    let isPublished = false
    try {
      pager.locked(() => pager.tables.protect(word))
      await pager.round(place, deadline, pages)
      if (found.block === undefined) copyPages(access, table, block)
      pager.locked(() => publish(access, word, block, found.block === undefined))
      isPublished = true
    } finally {
      if (!isPublished && found.block === undefined && pager.own.isOnline) pager.freeBlock(block)
    }
    await changes.giveUpAfterRound(place, deadline, pages)
    return true
  })
}

interface Found {
  /** Word index of the entry of the table, and of its first entry. */
  readonly word: number
  readonly table: number
  /** The first of 1024 pages side by side, if they are. */
  readonly block: number | undefined
}
/** The table of 1024 pages of this space alone, all of one area: what it allows is one. */
function find({ pager, place }: SpaceAccess, first: number): Found | undefined {
  const { tables, frames, areas } = pager
  // Mutant: paging/collapsed-mixed.
  if ((areas.at(place.id, first)?.to ?? 0) < first + ENTRIES) return undefined
  if (tables.middle(place.table + edge, first) === 0) return undefined
  // Its path is of this space alone from here on.
  const word = tables.reach(place.table + edge, first)
  const entry = tables.at(word)
  if ((entry & (PRESENT | HUGE)) !== PRESENT || frames.isShared(entry)) return undefined
  const table = targetOf(entry)
  const start = frameOf(tables.at(table))
  let isRow = (start & (ENTRIES - 1)) === 0
  for (let index = 0; index < ENTRIES; index++) {
    const leaf = tables.at(table + index)
    if ((leaf & PRESENT) === 0 || frames.isShared(leaf)) return undefined
    isRow &&= frameOf(leaf) === start + index
  }
  return { word, table, block: isRow && frames.isSplitWhole(start) ? start : undefined }
}

/** Nobody writes to them. */
function copyPages({ pager }: SpaceAccess, table: number, block: number): void {
  const { i32 } = pager.memory
  for (let index = 0; index < ENTRIES; index++) {
    const from = targetOf(pager.tables.at(table + index))
    const to = (block + index) * ENTRIES
    for (let word = 0; word < ENTRIES; word++) store32(i32, to + word, load32(i32, from + word))
  }
}

/** There is room in the list: it was empty. */
function publish({ pager }: SpaceAccess, word: number, block: number, isCopy: boolean): void {
  const { tables, gather, frames, log } = pager
  const entry = tables.at(word)
  // Whether it may be written to is for the next who writes to find out. Mutant:
  // paging/collapsed-writable.
  const leaf = entryOf(block, PRESENT | DIRTY | ACCESSED | HUGE)
  if (isCopy) {
    pager.takeBlock(block)
    gather.pushReplaced(word, entry, 0, leaf)
  } else {
    frames.join(log, block)
    gather.pushShell(entry)
    log.writeAtomic32(word, leaf)
  }
  log.commit()
}
