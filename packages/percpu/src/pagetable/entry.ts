/**
 * Entries of page tables, one word each, and how an address is cut up.
 *
 *     entry     number of a page of the memory, 22 bits │ unused │ flags
 *     address   index in the root, 10 bits │ in its table, 10 │ in that one's table, 10 │ byte, 12
 *
 * A table is a page with {@link ENTRIES} entries. Level 2 is that of the root, whose entries lead
 * to tables of level 1, and theirs to tables of level 0, whose entries lead to pages. An entry of
 * level 1 may lead to a block of 1024 pages instead: it is huge. An *edge* is the word of an entry
 * that leads to a table; the edge of the root lies in the space.
 *
 * A page number takes the bits above {@link FLAG_BITS}, so an entry without its flags is the word
 * index at which the page begins.
 *
 * Flags are a cache of what is allowed. An address may be written to through a path all of whose
 * entries have WRITE. Whoever sets WRITE at an edge has taken it from all entries of the table
 * before: those may be of another time.
 */

/** Entries of a table, and the bits that choose one. */
export const ENTRIES = 1024
export const INDEX_BITS = 10
/** The level of the root. */
export const ROOT_LEVEL = 2
/** That of a page, and of a leaf's target. */
export const PAGE_LEVEL = -1
/** Bits of the number of a page of a space. */
export const PAGE_NUMBER_BITS = INDEX_BITS * 3
/** Pages of a space. */
export const SPACE_PAGES = 2 ** PAGE_NUMBER_BITS
export const FLAG_BITS = 10

/** The entry leads somewhere. All other flags mean nothing without it. */
export const PRESENT = 1
/** What lies below may be written to, as far as this entry is concerned. */
export const WRITE = 2
/** Of a leaf: it may have been written to. */
export const DIRTY = 4
/** Of a leaf: it may have been read. */
export const ACCESSED = 8
/** Of an entry of level 1: a leaf, of 1024 pages side by side. */
export const HUGE = 16

const flags = 2 ** FLAG_BITS - 1

/** The word index at which the target of an entry begins. */
export function targetOf(entry: number): number {
  return entry & ~flags
}
/** The number of the page at which the target of an entry begins. */
export function frameOf(entry: number): number {
  return entry >>> FLAG_BITS
}
export function flagsOf(entry: number): number {
  return entry & flags
}
export function entryOf(frame: number, flags: number): number {
  return (frame << FLAG_BITS) | flags
}
/** The index of a page of the space in the table of a level. */
export function indexOf(page: number, level: number): number {
  return (page >>> (level * INDEX_BITS)) & (ENTRIES - 1)
}
/** How many pages of the space an entry of a table of this level covers. */
export function spanOf(level: number): number {
  return 2 ** (level * INDEX_BITS)
}
