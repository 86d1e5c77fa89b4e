/** What the tables of a space have, one path of them at a time under the lock of all tables. */
import { ENTRIES, HUGE, PRESENT, ROOT_LEVEL, spanOf, targetOf } from '../pagetable/entry.js'
import { SpaceTable } from '../pagetable/layouts.js'
import type { SpacePlace } from './layouts.js'
import type { Pager } from './pager.js'

const { root: edge } = SpaceTable.words

/** A space whose tables are looked at. */
export interface Looked {
  readonly pager: Pager
  readonly place: SpacePlace
  /** Under the lock, each time that it is taken. @throws if the space is not there any more. */
  readonly check: () => void
}

/** A leaf, and the pages of the space that it has. */
export interface Leaf {
  readonly entry: number
  readonly page: number
  readonly pages: number
  /** Whether a table above it, or what it leads to, is another space's, too. */
  readonly isShared: boolean
}

/** An entry on the way to a page, and what it leads to. */
export interface Step {
  /** Of the table that it leads to, or that its block is in the place of. */
  readonly level: number
  readonly entry: number
  /** The pages of the space that it is for. */
  readonly page: number
  readonly pages: number
  /** As in {@link Leaf}. */
  readonly isShared: boolean
}

/**
 * The entries on the way to a page, from that of the root down to that of the last table, or to one
 * that is a block or not present. Under the lock.
 */
export function* stepsTo({ tables, frames }: Pager, place: SpacePlace, page: number): Generator<Step> {
  let word = place.table + edge
  let isShared = false
  for (let level = ROOT_LEVEL; level >= 0; level--) {
    const entry = tables.at(word)
    const pages = spanOf(level + 1)
    const isPresent = (entry & PRESENT) !== 0
    isShared ||= isPresent && frames.isShared(entry)
    yield { level, entry, page: Math.floor(page / pages) * pages, pages, isShared }
    if (!isPresent || (entry & HUGE) !== 0) return
    word = targetOf(entry) + (Math.floor(page / spanOf(level)) & (ENTRIES - 1))
  }
}

/** The leaves of a space in [from, to), one table at a time under the lock. */
export function* leavesOf(space: Looked, from: number, to: number): Generator<Leaf> {
  for (let page = from; page < to;) {
    const { leaves, next } = space.pager.locked(() => {
      space.check()
      return leavesFrom(space, page, to)
    })
    yield* leaves
    page = next
  }
}
/** Those of the table of a page, and the first page behind what is known of by then. */
function leavesFrom(
  { pager, place }: Looked,
  from: number,
  to: number,
): { readonly leaves: readonly Leaf[]; readonly next: number } {
  let last: Step | undefined
  for (const step of stepsTo(pager, place, from)) last = step
  if (last === undefined) throw new Error('a space without an entry for its root')
  const { entry, page, pages, isShared } = last
  const next = page + pages
  if ((entry & PRESENT) === 0) return { leaves: [], next }
  if ((entry & HUGE) !== 0) return { leaves: [{ entry, page, pages, isShared }], next }
  const { tables, frames } = pager
  const leaves: Leaf[] = []
  for (let each = from; each < Math.min(to, next); each++) {
    const leaf = tables.at(targetOf(entry) + (each - page))
    if ((leaf & PRESENT) === 0) continue
    leaves.push({ entry: leaf, page: each, pages: 1, isShared: isShared || frames.isShared(leaf) })
  }
  return { leaves, next }
}
