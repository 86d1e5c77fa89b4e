/**
 * Walking the tables of a space without a lock, and without an atomic read-modify-write. (After the
 * kernel's gup_fast and find_linux_pte.)
 *
 *     edge of the root ──▶ entry of level 2 ──▶ of level 1 ──▶ of level 0 ──▶ page
 *                                               └─ huge ──▶ page of a block
 *
 * A walk is synchronous. What it finds was so at some moment during it. It must not be used past
 * the end of the walk, but for what pins.ts keeps in place.
 *
 * What keeps a table there while it is walked: who takes one away changes the entry first, then
 * waits for a round (rounds.ts), then uses the table for something else.
 *
 *     a CPU that answers its bell   has ended its walks when it answers: they are synchronous
 *     a deaf one                    counts its walks, between beginLocklessWalk and endLocklessWalk
 *
 * What spaces share changes without a round: who writes copies it. The old table or page is the
 * other space's from then on, to write to or to free, and no round of that one asks for walks in
 * this one. So walks through what may be shared are counted by every CPU, and who copies waits for
 * those that are under way (Rounds.drain). They are short.
 *
 *     walkOwned   only through what this space alone leads to: it is not counted
 *     walk        through anything: counted, unless nothing there can change
 *
 * Entries and counts are atomic words, which have one order. So either who changes an entry finds
 * the walk, and waits until it has ended. Or the walk begins later, and finds what was changed.
 *
 * Why `walks` may wrap around: a round asks whether it is odd, and whether it is still the same. A
 * CPU would have to walk exactly 2^31 times between two looks.
 */
import * as mem from '#mem'
import type { I32View, Memory } from '#mem'
import type { Ringer } from '../cpus/ringer.js'
import { ENTRIES, FLAG_BITS, HUGE, INDEX_BITS, PRESENT, WRITE } from './entry.js'
import { SpaceTable } from './layouts.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { addAtomic32, loadAtomic32, storeAtomic32 } = mem
const flags = 2 ** FLAG_BITS - 1
const target = ~flags
const mask = ENTRIES - 1
const bits = INDEX_BITS
const bits2 = 2 * INDEX_BITS
const pageShift = FLAG_BITS
const present = PRESENT
const huge = HUGE
const write = WRITE
const owned = PRESENT | WRITE
const { drain } = SpaceTable.words

/**
 * Where the page of a space is: the word index at which it begins, with the flags of its leaf but
 * HUGE; of these WRITE only if the whole path has it. 0 if there is none. `edge`: word index of
 * the edge of the root.
 */
// B(table.entry) follows an entry, four times; pairs with A in redo, E in #mark, T in protect: the
// words of what it leads to were written before. Mutant: pagetable/entry-by-store.
export function walk(i32: I32View, edge: number, page: number): number {
  const root = loadAtomic32(i32, edge)
  if ((root & present) === 0) return 0
  const upper = loadAtomic32(i32, (root & target) + (page >>> bits2))
  if ((upper & present) === 0) return 0
  const middle = loadAtomic32(i32, (upper & target) + ((page >>> bits) & mask))
  if ((middle & (present | huge)) !== present) {
    if ((middle & present) === 0) return 0
    const allowed = ((root & upper) | ~write) & ~huge
    return ((middle & target) + ((page & mask) << pageShift)) | (middle & flags & allowed)
  }
  const leaf = loadAtomic32(i32, (middle & target) + (page & mask))
  if ((leaf & present) === 0) return 0
  // Mutant: pagetable/write-by-leaf.
  return leaf & ((root & upper & middle) | ~write)
}

/**
 * As {@link walk}, on a CPU that answers its bell. 0 as soon as an entry leads to what other spaces
 * may lead to, too.
 */
// atomic: entries, as B.
export function walkOwned(i32: I32View, edge: number, page: number): number {
  const root = loadAtomic32(i32, edge)
  if ((root & owned) !== owned) return 0
  const upper = loadAtomic32(i32, (root & target) + (page >>> bits2))
  if ((upper & owned) !== owned) return 0
  const middle = loadAtomic32(i32, (upper & target) + ((page >>> bits) & mask))
  if ((middle & owned) !== owned) return 0
  if ((middle & huge) !== 0)
    return ((middle & target) + ((page & mask) << pageShift)) | (middle & flags & ~huge)
  const leaf = loadAtomic32(i32, (middle & target) + (page & mask))
  return (leaf & owned) === owned ? leaf : 0
}

/** A CPU's part in the rounds of a space, as far as its walks are counted. */
export interface CountedWalks {
  readonly memory: Memory
  readonly ringer: Ringer
  readonly cpu: number
  /** Word indices: of the SpaceTable, and of `walks` of this CPU's SpaceCpu. */
  readonly table: number
  readonly walks: number
}

/** To be called before the first entry is read. */
export function beginLocklessWalk({ memory, walks }: CountedWalks): void {
  // G(space.walks) begins a counted walk; pairs with H in #walksOf: either who looks finds this
  // walk, or the walk finds what was changed before. Mutants: pagetable/walk-by-store,
  // pagetable/walk-uncounted.
  addAtomic32(memory.i32, walks, 1)
}
/** To be called after the last use of what was found. */
export function endLocklessWalk({ memory, walks, table, ringer, cpu }: CountedWalks): void {
  const { i32 } = memory
  // I(space.walks) ends it; pairs with H in #walksOf: what the walk used may be used for
  // something else. Mutant: pagetable/walk-ends-early.
  addAtomic32(i32, walks, 1)
  // J(space.drain) is read after I; pairs with K in #isDrained: who waits has asked before it
  // looked at the count, or finds that this walk has ended. Mutant: pagetable/drain-unasked.
  if (loadAtomic32(i32, table + drain) === 0) return
  // atomic: whoever waits sets it again.
  storeAtomic32(i32, table + drain, 0)
  ringer.wakeWaiters(cpu)
}
