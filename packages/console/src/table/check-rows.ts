/**
 * Whether a file holds as many ranges as it should. A file that is emptied or cut short between two
 * lines is still a file of CSV; only the number of its ranges tells.
 */
import { devNull } from 'node:os'
import type { Problems } from './problems.js'
import type { ShrinkLimit } from './row-counts.js'

/**
 * A file without ranges is a problem, unless it is the null device: that stands for a family
 * without ranges.
 */
export function checkRows(
  file: string,
  rows: number,
  served: number,
  { maxShrink }: Pick<ShrinkLimit, 'maxShrink'>,
  problems: Problems,
): void {
  if (rows === 0 && file !== devNull)
    problems.refuse(file, 0, `holds no range (for a family that has none, name ${devNull})`)
  else if (served - rows > (served * maxShrink) / 100)
    problems.refuse(
      file,
      0,
      `has ${rows} ranges, ${served - rows} fewer than the table that is served: ` +
        `at most ${maxShrink} % may go at once (--max-shrink)`,
    )
}
