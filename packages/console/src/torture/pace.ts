/**
 * Of so many sections, one looks at the numbers of grace periods. The others do not: that is an
 * atomic operation, and orders more than a section does.
 */
export const COUNTED_READS = 8
