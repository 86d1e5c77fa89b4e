/**
 * The columns of the text diagram. With room for all, each CPU has a column of its own. With many
 * CPUs or a narrow terminal the columns move together: the text of an event runs over the empty
 * columns to its right, so that nothing is cut.
 */
import type { Item, Model } from './model.js'
import { textWidth } from './text.js'

export interface Geometry {
  readonly width: number
  /** The column at which the labels of the steps end. */
  readonly labelEnd: number
  /** Left edge of each CPU's column. */
  readonly columns: readonly number[]
  /** The column at which source places begin; equal to `width` if there is no room for them. */
  readonly source: number
}

/**
 * The columns of the gutter to the left of the labels, for the bracket between the accesses of a
 * race.
 */
export const BRACKET = 2
const MIN_TEXT = 36

export function geometryOf(model: Model, width: number): Geometry {
  const last = model.items.at(-1)?.event.step ?? 0
  const labelEnd = BRACKET + Math.max(4, String(last).length * 2 + 1)
  const longestPlace = Math.max(0, ...model.items.map(({ place }) => textWidth(place)))
  const source = width - Math.min(longestPlace + 4, Math.floor(width * 0.25))
  const needed = model.cpus.map((cpu, column) =>
    Math.max(
      `CPU ${cpu}`.length,
      ...model.items
        .filter((item) => item.column === column)
        .map((item) => indent(item) + textWidth(item.text) + notesOf(item)),
    ),
  )
  const room = source - labelEnd - 2
  const total = needed.reduce((sum, need) => sum + need + 2, 0)
  const columns: number[] = []
  if (total <= room) {
    let left = labelEnd + 2
    for (const need of needed) {
      columns.push(left)
      left += need + 2
    }
    // Rows that several events share run as far to the right as the source places let them.
    const wanted = model.items.length > 20 ? width : Math.max(left, labelEnd + 12)
    return { width, labelEnd, columns, source: Math.min(source, wanted) }
  }
  const tail = Math.min(MIN_TEXT, Math.floor(room * 0.6), Math.max(...needed) + 1)
  const stride = (room - tail) / Math.max(1, model.cpus.length - 1)
  for (let column = 0; column < model.cpus.length; column++)
    columns.push(labelEnd + 2 + Math.floor(Math.max(0, stride) * column))
  return { width, labelEnd, columns, source }
}

/** About the number of columns of the notes behind the text of an event: `←12, stale ◄ race`. */
function notesOf(item: Item): number {
  return (item.mark ? 8 : 0) + (item.stale ? 16 : item.saw !== undefined && item.saw >= 0 ? 5 : 0)
}

/** The columns of the lifeline and the boxes of handlers before the text of an event. */
export function indent(item: Item): number {
  return 2 + item.depth * 2 + (item.event.name === 'enter' || item.event.name === 'leave' ? 2 : 0)
}

/** Columns for the text of an event. */
export function roomFor(geometry: Geometry, item: Item): number {
  const left = geometry.columns[item.column] ?? 0
  return Math.max(8, geometry.source - 1 - left - indent(item))
}
