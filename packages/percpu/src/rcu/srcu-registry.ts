/**
 * Where the domains are that lie in structs of users, and those that are ending: a table of slots,
 * each for one domain. Reapers go through it. A full table is followed by another one.
 *
 *     domain   ender      the slot is
 *     ──────────────────────────────────────────────────────────────────────────────────
 *     0        0          free
 *     0        T          free in a moment: the CPU with token T has ended a domain
 *     W        0          of a domain in a struct, which lives
 *     −W       0          kept for the end of a domain that has its name
 *     ±W       T          of a domain that the CPU with token T is ending
 *     ±W       ORPHANED   of one that anybody may go on to end, who puts its token there
 *
 * A slot is taken by one compare-and-exchange of `domain`, and a domain's end begins with one of
 * `ender`. A thread that dies before it has entered its domain has not shown it to anybody, and
 * leaves its parts allocated.
 */
import {
  addAtomic32,
  compareExchangeAtomic32,
  loadAtomic32,
  storeAtomic32,
  storeU32,
  type Memory,
} from '#mem'
import type { Directory } from '../bootmem/directory.js'
import { ObjectMissingError } from '../machine/errors.js'
import { ORPHANED, REGISTRY_SLOTS, SrcuLayout, SrcuRegistry } from './srcu-layouts.js'

const spec = { type: SrcuRegistry.name, layout: SrcuRegistry }
const SLOTS = REGISTRY_SLOTS
/** From a slot to its ender, in words. */
const ENDER = SrcuRegistry.words.enders - SrcuRegistry.words.domains
const nameOf = (table: number): string => `percpu.srcu.${table}`

/** A slot as it was found. */
export interface Slot {
  /** Its word index. */
  readonly slot: number
  /** Word index of the domain. */
  readonly words: number
  readonly hasName: boolean
}

/** Enters a domain, once, under a number that no other one has. @throws OutOfMemoryError. */
export function register(memory: Memory, objects: Directory, words: number): void {
  const serials = objects.openOrCreate(nameOf(0), spec) / 4 + SrcuRegistry.words.serials
  // atomic: a counter.
  storeU32(memory.u32, words + SrcuLayout.words.serial, addAtomic32(memory.i32, serials, 1) + 1)
  take(memory, objects, words)
}

/**
 * The slot for the end of a domain that has its name: the one that is kept for it, or a free one.
 *
 * @throws OutOfMemoryError.
 */
export function reserve(memory: Memory, objects: Directory, words: number): Slot {
  const known = [...slots(memory, objects)].find((each) => each.hasName && each.words === words)
  return known ?? { slot: take(memory, objects, -words), words, hasName: true }
}
/** The domain has lost its name before, by somebody else: nobody marks it any more. */
export function giveBack({ i32 }: Memory, { slot, words }: Slot): void {
  // atomic: unless that one is still at it.
  if (loadAtomic32(i32, slot + ENDER) === 0) compareExchangeAtomic32(i32, slot, -words, 0)
}

/** The word index of a free slot, which has this in it now. */
function take({ i32 }: Memory, objects: Directory, entry: number): number {
  for (let table = 0; ; table++) {
    const first = objects.openOrCreate(nameOf(table), spec) / 4
    for (let slot = first; slot < first + SLOTS; slot++) {
      // atomic: who has just ended a domain may still be at its slot. Once nobody is, none ends
      // there in this stretch: that takes a grace period.
      if (loadAtomic32(i32, slot) !== 0 || loadAtomic32(i32, slot + ENDER) !== 0) continue
      // SQ(srcu.registry) pairs with SR in slots: the domain is complete, and its readers are
      // the reaper's to end. Mutant: rcu/srcu-not-registered.
      if (compareExchangeAtomic32(i32, slot, 0, entry) === 0) return slot
    }
  }
}

/** From now on the domain in a struct is ending. Undefined if it was before. */
export function beginEnd(memory: Memory, objects: Directory, words: number, token: number): Slot | undefined {
  const slot = [...slots(memory, objects)].find((each) => !each.hasName && each.words === words)
  // atomic: of several one ends it. Its parts are not freed before.
  if (!slot || compareExchangeAtomic32(memory.i32, slot.slot + ENDER, 0, token) !== 0) return undefined
  tellEnd(memory, words)
  return slot
}
/** Whoever looks for the domain in a struct finds that it is ending. */
export function tellEnd({ u32 }: Memory, words: number): void {
  storeU32(u32, words + SrcuLayout.words.serial, 0)
}
/** Goes on with the end that somebody has begun, who has gone. Returns whether nobody else does. */
export function goOn({ i32 }: Memory, { slot }: Slot, token: number): boolean {
  // atomic: of several one ends it.
  return compareExchangeAtomic32(i32, slot + ENDER, ORPHANED, token) === ORPHANED
}
/** Who ends it: a token; 0; ORPHANED. */
export function enderOf({ i32 }: Memory, { slot }: Slot): number {
  // atomic: written by the ender, or in its place.
  return loadAtomic32(i32, slot + ENDER)
}
export function setEnder({ i32 }: Memory, { slot }: Slot, ender: number): void {
  // atomic: written by the ender, or in its place.
  storeAtomic32(i32, slot + ENDER, ender)
}
/** Whether the domain in a struct is ending, though its parts may be gone: nobody has left it. */
export function isEnding(memory: Memory, objects: Directory, words: number): boolean {
  return [...slots(memory, objects)].some(
    (slot) => !slot.hasName && slot.words === words && enderOf(memory, slot) !== 0,
  )
}
/** The domain has ended. */
export function leave(memory: Memory, slot: Slot): void {
  // atomic: in this order. A slot with an ender and no domain is nobody's.
  storeAtomic32(memory.i32, slot.slot, 0)
  setEnder(memory, slot, 0)
}

/** The word indices of all domains that lie in structs, and are not ending. */
export function registered(memory: Memory, objects: Directory): number[] {
  return [...slots(memory, objects)]
    .filter((slot) => !slot.hasName && slot.words !== 0 && enderOf(memory, slot) === 0)
    .map(({ words }) => words)
}
/** The slots of this ender. `words` is 0 in those of domains that have ended. */
export function endingBy(memory: Memory, objects: Directory, ender: number): Slot[] {
  return [...slots(memory, objects)].filter((slot) => enderOf(memory, slot) === ender)
}

function* slots({ i32 }: Memory, objects: Directory): Generator<Slot> {
  for (let table = 0; ; table++) {
    const first = find(objects, table)
    if (first === undefined) return
    for (let slot = first; slot < first + SLOTS; slot++) {
      // SR(srcu.registry) pairs with SQ in take: what is found is a complete domain. Mutant:
      // rcu/srcu-not-registered.
      const entry = loadAtomic32(i32, slot)
      yield { slot, words: Math.abs(entry), hasName: entry < 0 }
    }
  }
}

function find(objects: Directory, table: number): number | undefined {
  try {
    return objects.open(nameOf(table), spec) / 4
  } catch (error) {
    if (error instanceof ObjectMissingError) return undefined
    throw error
  }
}
