/** Areas come, go, and change what they allow. */
import { fillBytes } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { assertOpen } from '../collections/life.js'
import { checkFlag, checkOptions } from '../machine/check.js'
import { checkLimits, type Deadline, type WaitOptions } from '../machine/wait-options.js'
import { SpaceTable } from '../pagetable/layouts.js'
import type { SpaceAccess } from './access.js'
import { pagesOf, type Span } from './addresses.js'
import { AREA_HUGE, AREA_READ, AREA_WRITE, type Area } from './areas.js'
import type { Changes } from './changes.js'
import { AreaOverlapError, type FaultError } from './errors.js'
import { noArea, type FaultAccess } from './faults.js'
import { noteLeaving } from './settling.js'

const { root: edge } = SpaceTable.words

/** What `space.map` takes. */
export interface AreaOptions {
  /** False: reading only. Default true. */
  readonly write?: boolean
  /**
   * True: it is filled with blocks of 4 MiB, where all of one lies in the area, and there is one.
   * Default false.
   */
  readonly huge?: boolean
}

/** Of `AddressSpace.protect`: what is not said stays as it is. */
export interface ProtectOptions extends AreaOptions, WaitOptions {}

/** @throws ArgumentError. */
export function checkAreaOptions(options: AreaOptions): void {
  checkOptions('map', options, { write: true, huge: true })
  checkFlags(options)
}
/** @throws ArgumentError; the signal's reason if it has aborted. */
export function checkProtectOptions(options: ProtectOptions): void {
  checkOptions('protect', options, { write: true, huge: true, timeout: true, signal: true })
  checkFlags(options)
  checkLimits(options)
}
function checkFlags({ write, huge }: AreaOptions): void {
  checkFlag('write', write)
  checkFlag('huge', huge)
}
function flagsOf({ write = true, huge = false }: AreaOptions): number {
  return AREA_READ | (write ? AREA_WRITE : 0) | (huge ? AREA_HUGE : 0)
}

/** @throws as `AddressSpace.map`. */
export function mapArea(
  access: SpaceAccess,
  { page, end, address, bytes }: Span,
  options: AreaOptions,
): void {
  const { place, pager } = access
  assertOpen(access.memory)
  if (bytes === 0) return
  unchanged(access, () => {
    const { areas } = pager
    const other = areas.first(place.id, page, end)
    if (other !== undefined)
      throw new AreaOverlapError(
        `${bytes} bytes from address ${address} on: addresses from ${other.from * PAGE_BYTES} on are mapped already`,
        { address, bytes, mapped: other.from * PAGE_BYTES },
      )
    // No entry leads there: what a thread has left that died is unmapped by now.
    areas.set(place.id, { from: page, to: end, flags: flagsOf(options) })
  })
}

/** @throws as `AddressSpace.unmap`. */
export async function unmapAreas(
  access: SpaceAccess,
  changes: Changes,
  { page, end, bytes }: Span,
  deadline: Deadline,
): Promise<void> {
  const { pager, place } = access
  assertOpen(access.memory)
  if (bytes === 0) return
  await changes.run(place, deadline, async () => {
    changes.checkPins(place, page, end)
    pager.locked(() => {
      pager.tables.prepare(place.table + edge, page, end)
      // First: a thread that dies in between leaves no page without an area.
      noteLeaving(pager, place, page, end)
      let isDeleted = false
      try {
        pager.areas.delete(place.id, page, end)
        isDeleted = true
      } finally {
        if (!isDeleted) noteLeaving(pager, place, 0, 0)
      }
    })
    await changes.unmapLeaving(place, deadline)
  })
}

/** @throws as `AddressSpace.protect`. */
export async function protectArea(
  access: SpaceAccess,
  changes: Changes,
  span: Span,
  options: AreaOptions,
  deadline: Deadline,
): Promise<void> {
  const { pager, place } = access
  const { page, end, bytes } = span
  assertOpen(access.memory)
  if (bytes === 0) return
  await changes.run(place, deadline, async () => {
    // Mutant: paging/protect-unpinned.
    changes.checkPins(place, page, end)
    pager.locked(() => {
      const parts = partsOf(pager.areas.each(place.id, page, end), span, 'protect')
      // A block is of one area: what it allows is one. Mutant: paging/protected-block.
      pager.tables.prepare(place.table + edge, page, end)
      // Whoever writes looks at the areas again. First: a thread that dies in between leaves no
      // pages that may be written to in an area that forbids it.
      pager.tables.protect(place.table + edge)
      pager.areas.setAll(
        place.id,
        parts.map((area) => ({ ...area, flags: changed(area.flags, options) })),
      )
    })
    await pager.round(place, deadline)
  })
}
function changed(flags: number, { write, huge }: AreaOptions): number {
  const before = { write: (flags & AREA_WRITE) !== 0, huge: (flags & AREA_HUGE) !== 0 }
  return flagsOf({ write: write ?? before.write, huge: huge ?? before.huge })
}
/** The parts of areas that have a range. @throws FaultError if there are gaps. */
export function partsOf(areas: Iterable<Area>, { address, page, end }: Span, access: FaultAccess): Area[] {
  const gap = (at: number): FaultError => noArea(Math.max(address, at * PAGE_BYTES), access)
  const parts: Area[] = []
  let next = page
  for (const area of areas) {
    if (area.from > next) throw gap(next)
    next = Math.min(end, area.to)
    parts.push({ from: Math.max(page, area.from), to: next, flags: area.flags })
  }
  if (next < end) throw gap(next)
  return parts
}

/**
 * Makes a range zero: pages that it has wholly are unmapped, and stay in their area.
 *
 * @throws as `SparseArray.clear`.
 */
export async function clearPages(
  access: SpaceAccess,
  changes: Changes,
  span: Span,
  deadline: Deadline,
): Promise<void> {
  const { pager, place } = access
  const { address, bytes } = span
  if (bytes === 0) return
  const first = Math.ceil(address / PAGE_BYTES)
  const last = Math.max(first, Math.floor((address + bytes) / PAGE_BYTES))
  // The parts of pages at both ends.
  const end = address + bytes
  const low = { ...span, bytes: Math.min(bytes, first * PAGE_BYTES - address), end: first }
  const high = { ...span, address: last * PAGE_BYTES, bytes: end - last * PAGE_BYTES, page: last }
  const ends = [...pagesOf(low), ...(low.bytes < bytes ? pagesOf(high) : [])]
  await changes.run(place, deadline, async () => {
    changes.checkPins(place, first, last)
    pager.locked(() => {
      pager.tables.prepare(place.table + edge, first, last)
      // Copies of pages that a snapshot shares come first: they may find no memory. Nobody shares
      // them again before the change is over. Mutant: paging/ends-copied-late.
      for (const { page } of ends)
        if (pager.tables.read(place.table + edge, page) !== 0) pager.tables.write(place.table + edge, page)
    })
    await changes.unmap(place, first, last, deadline)
    for (const { page, offset, count } of ends) {
      const isThere = access.reading(page, (word) => word !== 0)
      if (isThere) access.writing(page, (word) => fillBytes(access.memory, word * 4 + offset, count, 0))
    }
  })
}

/** Runs `change` under the lock while nobody changes the space. */
export function unchanged<Result>({ pager, place, memory }: SpaceAccess, change: () => Result): Result {
  for (;;) {
    // The views of a space that was removed throw.
    assertOpen(memory)
    const isDone = pager.locked(() => (pager.changerOf(place) === 0 ? { result: change() } : undefined))
    if (isDone !== undefined) return isDone.result
    pager.awaitChanger(place)
  }
}
