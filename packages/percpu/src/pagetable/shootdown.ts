/**
 * Which translations of a space are to be forgotten in a round: those of some pages, or all.
 *
 *     changer   no round ──▶ from, to ──▶ the round begins, and has a number ──▶ number
 *     others    generation is one more than seen, and so is the number ──▶ from, to ──▶ still so?
 *
 * Whoever finds another number forgets all: it has missed a round, it is early, or the round is of
 * somebody who knows of no pages. A space has one changer, so the words have one writer.
 *
 * Why `generation` may wrap around: the next round of some pages takes a number away. To find it
 * again takes 2^32 rounds of all pages in between, of a millisecond each.
 */
import { loadAtomic32, storeAtomic32, type Memory } from '#mem'
import { SpaceTable } from './layouts.js'

const { generation, shotRound, shotFrom, shotTo } = SpaceTable.words
/** Added to a generation: none that anybody may find now. */
const FAR = 2 ** 31

/** Pages [from, to) of a space. */
export interface Pages {
  readonly from: number
  readonly to: number
}

/** By the changer, before its round begins. `table`: word index of the SpaceTable. */
export function noteShot({ i32 }: Memory, table: number, { from, to }: Pages): void {
  // atomic: the number of no round that is under way.
  const now = loadAtomic32(i32, table + generation)
  // Y(space.shotRound) takes the last number away before the pages change; pairs with Z in
  // shotPages: pages of two rounds are not taken for those of one. Mutant: pagetable/shot-torn.
  storeAtomic32(i32, table + shotRound, (now + FAR) | 0)
  // atomic: between two stores of the number.
  storeAtomic32(i32, table + shotFrom, from)
  // atomic: as the one before.
  storeAtomic32(i32, table + shotTo, to)
}
/** By the changer, once its round has a number. */
export function publishShot({ i32 }: Memory, table: number, number: number): void {
  // atomic: as Y. Who looks before this forgets all.
  storeAtomic32(i32, table + shotRound, number)
}

/** The pages of the round of this number; undefined: all. */
export function shotPages({ i32 }: Memory, table: number, number: number): Pages | undefined {
  const isOf = (): boolean =>
    // Z(space.shotRound) is the same before and after the pages are read; pairs with Y in noteShot:
    // they are those of that round. Mutant: pagetable/shot-torn.
    loadAtomic32(i32, table + shotRound) === number
  if (!isOf()) return undefined
  // atomic: between two looks at the number.
  const from = loadAtomic32(i32, table + shotFrom)
  // atomic: as the one before.
  const to = loadAtomic32(i32, table + shotTo)
  // No pages: there was no such round yet.
  return isOf() && from < to ? { from, to } : undefined
}
