/**
 * The words of the index of a version: for each block of keys a word that gives the answer, or says
 * where it is close by. (After DXR: Zec, Rizzo, Mikuc, "DXR: towards a billion routing lookups per
 * second in software", CCR 2012.)
 *
 *     version │ 4080 words ──▶ page │ link │ a word for each of 64 blocks │ tails
 *                                                 └──▶ page of that block
 *
 *     0             no key has a value
 *     odd, above 0  all keys have this value, in the upper bits
 *     WALK          it is looked up from the topmost node on
 *     PAGES or more, below 0: minus the reference of a page
 *     less          of a page: a tail of it, where it begins and how many steps it has
 *
 * What the index sees of a key is its *position*, a whole number: positions.ts. A word of a version
 * is that of 2^20 positions of keys of 32 bits, of 2^38 of keys of 128 bits. A block of a page has
 * 2^6 times fewer than the page.
 *
 * A *tail* has, for each step, where it begins in the block, in 16 bits or 32, and then a word that
 * is not below 0. Blocks of more than 2^14 positions have short tails, or pages of their own. The
 * last positions are not in the index, so that a version has four pages of memory.
 *
 * Pages are immutable, as nodes are: a change makes those anew in which there are keys of its own,
 * and copies the blocks that have none. So versions share pages of blocks.
 */
import { RangeVersion } from './range-layout.js'

/** Blocks of a page, of how many bits of a position they are, and the first word of theirs. */
export const BLOCK_BITS = 6
export const BLOCKS = 2 ** BLOCK_BITS
export const FIRST = 1
export const WALK = 2
/** Of the word of a tail: bits of its number of steps, and the greatest of what it says. */
export const COUNT_BITS = 14
export const MAX_COUNT = 2 ** COUNT_BITS - 1
export const MAX_START = 2 ** 16 - 1
export const SIGN = -(2 ** 31)
/** The least word that names a page: references have 30 bits. */
export const PAGES = -(2 ** 30)

/** The first word of the index in a version, and how many there are. */
export const INDEX_AT = RangeVersion.stride / 4
export const INDEX_WORDS = 4096 - INDEX_AT
/** The sign, and the lowest bit: of a value it is only the latter. */
export const VALUE_BITS = SIGN | 1
