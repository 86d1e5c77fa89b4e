/** How many ranges a table has, by family. */
export interface RowCounts {
  readonly ipv4: number
  readonly ipv6: number
}

/** What the next table must not fall behind. */
export interface ShrinkLimit {
  /** Ranges of the table that is served. */
  readonly served: RowCounts
  /** Percent of a family's ranges, 0 to 100, that may be missing in the next table. */
  readonly maxShrink: number
}

/** Percent; see {@link ShrinkLimit}. */
export const MAX_SHRINK = 50

/** How many ranges each family has gained; negative: lost. */
export function changeOf(now: RowCounts, before: RowCounts): RowCounts {
  return { ipv4: now.ipv4 - before.ipv4, ipv6: now.ipv6 - before.ipv6 }
}
