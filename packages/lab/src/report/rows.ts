/**
 * The rows of the text diagram. As a rule an event has a row of its own. In the middle of a long
 * run of one process several share a row (`store a = 1, b = 2`), and equal ones in a row are
 * counted.
 */
import type { Item, Mark, Model } from './model.js'
import { textWidth } from './text.js'

export interface Row {
  /** The events of the row, in order: one or more that follow each other. */
  readonly items: readonly Item[]
  readonly text: string
  /** Their places in the source: `a.ts:3`, `a.ts:3…9`. */
  readonly place: string
  readonly mark: Mark | undefined
}

/**
 * A run shorter than this keeps a row for each event. A longer one keeps its first and last two.
 */
const LONG_RUN = 8
const KEPT = 2

/**
 * Packs the events into rows. `widthOf` gives the number of characters that a packed row may have
 * in its column.
 */
export function rowsOf(model: Model, widthOf: (item: Item) => number): Row[] {
  const rows: Row[] = []
  for (const run of runsOf(model.items)) {
    const long = run.length >= LONG_RUN
    const head = long ? run.slice(0, KEPT) : []
    const tail = long ? run.slice(-KEPT) : []
    const middle = long ? run.slice(KEPT, -KEPT) : run
    for (const item of head) rows.push(rowOf([item], item.text))
    rows.push(...(long ? packed(middle, widthOf) : counted(middle).map((row) => rowOf(row, textOf(row)))))
    for (const item of tail) rows.push(rowOf([item], item.text))
  }
  return rows
}

/** Splits the events where another process goes on, and around the ones that must not be packed. */
function runsOf(items: readonly Item[]): Item[][] {
  const runs: Item[][] = []
  let open: Item | undefined
  for (const item of items) {
    const joins =
      open !== undefined && open.process.id === item.process.id && mayShareRow(open) && mayShareRow(item)
    if (joins) runs.at(-1)?.push(item)
    else runs.push([item])
    open = item
  }
  return runs
}

/** Whether the event may share a row: it neither decides nor ends anything. */
function mayShareRow({ event, mark, stale, begins }: Item): boolean {
  return mark === undefined && !stale && !begins && !aloneInRow.has(event.name)
}
const aloneInRow = new Set([
  'enter',
  'leave',
  'exit',
  'kill',
  'timeout',
  'ipi',
  'turn',
  'choose',
  'call',
  'return',
  'wait',
  'wake',
  'mask',
  'unmask',
])

/** Puts equal events in a row together, such as the ones of a spin. */
function counted(items: readonly Item[]): Item[][] {
  const groups: Item[][] = []
  for (const item of items) {
    const group = groups.at(-1)
    const first = group?.[0]
    if (group && first && first.text === item.text && first.place === item.place) group.push(item)
    else groups.push([item])
  }
  return groups
}

function textOf(group: readonly Item[]): string {
  const text = group[0]?.text ?? ''
  return group.length > 1 ? `${text} ×${group.length}` : text
}

/** Fills rows with as many events as fit. */
function packed(items: readonly Item[], widthOf: (item: Item) => number): Row[] {
  const rows: Row[] = []
  let held: Item[] = []
  let text = ''
  const flush = () => {
    if (held.length > 0) rows.push(rowOf(held, text))
    held = []
  }
  for (const group of counted(items)) {
    const first = group[0]
    if (!first) continue
    const before = held.at(-1)
    const next = textOf(group)
    const joined =
      before?.event.name === first.event.name ? `${text}, ${withoutVerb(next)}` : `${text} · ${next}`
    // A row has one symbol: plain and atomic operations do not share one.
    if (before?.event.order === first.event.order && textWidth(joined) <= widthOf(first)) {
      text = joined
      held.push(...group)
    } else {
      flush()
      text = next
      held = [...group]
    }
  }
  flush()
  return rows
}

/** `store a = 1` after another store is `a = 1`. */
function withoutVerb(text: string): string {
  return text.replace(/^(?:load|store|add|sub|and|or|exchange|compareExchange) /, '')
}

function rowOf(items: readonly Item[], text: string): Row {
  return { items, text, place: placeOf(items), mark: items[0]?.mark }
}

function placeOf(items: readonly Item[]): string {
  const places = [...new Set(items.map(({ place }) => place))]
  const first = places[0] ?? ''
  const last = places.at(-1) ?? ''
  if (first === last) return first
  const [, file, line] = /^(.*):(\d+)$/.exec(last) ?? []
  return file !== undefined && line !== undefined && first.startsWith(`${file}:`)
    ? `${first}…${line}`
    : `${first} …`
}
