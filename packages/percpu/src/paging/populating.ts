/** Pages of ranges: whether they may be used, and their memory. */
import { PAGE_BYTES } from '../arithmetic.js'
import { assertOpen } from '../collections/life.js'
import { HUGE, PRESENT } from '../pagetable/entry.js'
import { SpaceTable } from '../pagetable/layouts.js'
import type { SpaceAccess } from './access.js'
import type { Span } from './addresses.js'
import { AREA_WRITE } from './areas.js'
import { partsOf, unchanged } from './mapping.js'
import { readOnly } from './faults.js'

const { root: edge } = SpaceTable.words

/** @throws FaultError unless all of a range is mapped, and writable for writing. */
export function checkAccess({ pager, place, memory }: SpaceAccess, span: Span, isWrite: boolean): void {
  const { address, page, end } = span
  assertOpen(memory)
  if (page === end) return
  const check = (): void => {
    const parts = partsOf(pager.areas.each(place.id, page, end), span, isWrite ? 'write' : 'read')
    const fixed = isWrite ? parts.find(({ flags }) => (flags & AREA_WRITE) === 0) : undefined
    if (fixed !== undefined) throw readOnly(Math.max(address, fixed.from * PAGE_BYTES))
  }
  // A deaf CPU reads areas under the lock.
  if (pager.own.idle.isIdle) pager.locked(check)
  else check()
}

/** Makes all pages of a range that are not there. */
export function populate(access: SpaceAccess, { page, end }: Span): void {
  for (let each = page; each < end; each++) access.writing(each, () => undefined)
}

/** @throws as `AddressSpace.split`. */
export function splitBlock(access: SpaceAccess, { page }: Span): boolean {
  const { pager, place } = access
  return unchanged(access, () => {
    const word = pager.tables.middle(place.table + edge, page)
    const entry = word === 0 ? 0 : pager.tables.at(word)
    if ((entry & PRESENT) === 0 || (entry & HUGE) === 0) return false
    pager.tables.split(pager.tables.reach(place.table + edge, page))
    return true
  })
}
