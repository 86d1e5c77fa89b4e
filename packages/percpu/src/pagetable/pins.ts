/**
 * Pins: pages of spaces that stay in place while this CPU uses them by their address in memory.
 * (After the kernel's pin_user_pages_fast.)
 *
 *     who pins      notes page and space ──▶ is there a changer? ──▶ takes the page
 *     who changes   changer = its token ──▶ is a page of the range pinned? ──▶ changes
 *
 * In the order of atomics one of both sees the other. The notes are slots of the CPU's own, so its
 * death ends its pins. A slot has the number of the page, then that of the space, 0 for none.
 */
import { loadAtomic32, storeAtomic32, type Memory } from '#mem'
import { MAX_PINS, PagingNote } from './layouts.js'

const first = PagingNote.words.pins

/** A page that is pinned. */
export interface PinnedPage {
  readonly cpu: number
  readonly page: number
}

/** A slot of this CPU that is free, if there is one. `note`: word index. */
export function freePin({ i32 }: Memory, note: number): number | undefined {
  for (let slot = 0; slot < MAX_PINS; slot++) {
    // atomic: this CPU's own.
    if (loadAtomic32(i32, note + first + 2 * slot + 1) === 0) return slot
  }
  return undefined
}
/** Notes a page in a free slot. */
export function setPin({ i32 }: Memory, note: number, slot: number, space: number, page: number): void {
  const word = note + first + 2 * slot
  // atomic: valid with the next one.
  storeAtomic32(i32, word, page)
  // R(note.pins) is written before the changer is looked for; pairs with S in findPin: who
  // changes finds the pin, or who pins finds the changer. Mutant: pagetable/pin-unnoted.
  storeAtomic32(i32, word + 1, space)
}
export function clearPin({ i32 }: Memory, note: number, slot: number): void {
  // atomic: the page may move from here on; who changes looks at it under the lock.
  storeAtomic32(i32, note + first + 2 * slot + 1, 0)
}
/** For the reaper, and for a CPU that leaves. */
export function clearPins(memory: Memory, note: number): void {
  for (let slot = 0; slot < MAX_PINS; slot++) clearPin(memory, note, slot)
}

/** A page of a space in [from, to) that is pinned. `notes`: those of all CPUs, in their order. */
export function findPin(
  { i32 }: Memory,
  notes: readonly number[],
  space: number,
  from: number,
  to: number,
): PinnedPage | undefined {
  for (const [cpu, note] of notes.entries()) {
    for (let slot = 0; slot < MAX_PINS; slot++) {
      const word = note + first + 2 * slot
      // S(note.pins) is read after the changer was written; pairs with R in setPin: a page without
      // a pin may be moved. Mutant: pagetable/pin-unnoted.
      if (loadAtomic32(i32, word + 1) !== space) continue
      // atomic: as S.
      const page = loadAtomic32(i32, word)
      if (page >= from && page < to) return { cpu, page }
    }
  }
  return undefined
}
