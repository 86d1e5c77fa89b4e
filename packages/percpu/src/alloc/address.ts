/**
 * References: addresses in units of 8 bytes, in which the heap reckons. They are numbers below
 * 2^30, small integers to every engine, as in words with an address (layout/addresses.ts).
 */
export const PAGE_SHIFT = 12
/** References in a page, as a shift. */
export const PAGE_REF_SHIFT = PAGE_SHIFT - 3
