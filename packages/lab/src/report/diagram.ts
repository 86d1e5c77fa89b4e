/**
 * A space-time diagram of one execution as text. Time goes down, each CPU has a column, and
 * handlers are boxes in the column of their CPU.
 *
 *               CPU 0                    CPU 1
 *               │                        │
 *     ╭>    0   ○ store data = 1         │                        mp.ts:12
 *     ╎     1   │                        ├─┐ irq tick
 *     ╎     2   │                        │ ● add ticks 0 → 1      mp.ts:31
 *     ╎     3   │                        ├─┘ end of irq tick
 *     ╰>    4   │                        ○ load data = 1          mp.ts:20
 *
 * ● is an atomic operation, ○ a plain one, · touches no memory. `←3` is the step whose write an
 * operation saw, if it was another process's. Below the drawing stand the failure, both stacks of a
 * race, the waits of each process, and the call that replays it.
 *
 * No line is wider than `width` terminal columns, of which there are 40 at least.
 */
import type { Trace } from '../trace.js'
import { BRACKET, geometryOf, roomFor, type Geometry } from './geometry.js'
import { modelOf, type Item, type Mark, type Model } from './model.js'
import { rowsOf, type Row } from './rows.js'
import { head, tail } from './sections.js'
import { cut, cutStart, Line, textWidth, wrap, type Style } from './text.js'

export interface DiagramOptions {
  /** Terminal columns, at least 40. Default 100. */
  readonly width?: number
  /** Colours by ANSI escape codes. Default false. */
  readonly color?: boolean
  /**
   * A shell command that replays the execution. It is printed beside the call of `explore` that
   * does.
   */
  readonly command?: string
  /** Whether the test's name and the failure stand above the drawing. Default true. */
  readonly heading?: boolean
}

/** Draws the execution. The string has no newline at its end. */
export function diagram(trace: Trace, options: DiagramOptions = {}): string {
  const width = Math.max(40, Math.floor(options.width ?? 100))
  const model = modelOf(trace)
  const lines = [
    ...((options.heading ?? true) ? head(trace, width) : []),
    ...drawing(model, width),
    ...tail(trace, model, width, options.command),
  ]
  return lines.map((line) => line.render(options.color ?? false)).join('\n')
}

function drawing(model: Model, width: number): Line[] {
  if (model.items.length === 0) return [new Line().add('(nothing happened)', 'dim'), new Line()]
  const geometry = geometryOf(model, width)
  const drawn = new Drawing(model, geometry)
  const rows = rowsOf(model, (item) => roomFor(geometry, item) - 4)
  return [...drawn.header(), ...rows.flatMap((row) => drawn.row(row)), new Line()]
}

const notes: Record<Mark, string> = {
  first: ' ◄ race',
  second: ' ◄ race',
  failure: ' ◄ here',
  stuck: ' ◄ stuck',
}
const alarm: Style = ['bold', 'red']
const columnStyles: readonly Style[] = ['cyan', 'yellow', 'green', 'magenta', 'blue']
const symbols = { atomic: '●', plain: '○', none: '·' }

class Drawing {
  readonly #geometry: Geometry
  /**
   * The lifeline of each column: the depth of handlers, or undefined if nothing runs there any
   * more.
   */
  readonly #lives: (number | undefined)[]
  readonly #model: Model
  /** Indices of the racing events, between which the bracket in the gutter is drawn. */
  readonly #race: { readonly first: number; readonly second: number } | undefined
  #index = 0

  constructor(model: Model, geometry: Geometry) {
    this.#model = model
    this.#geometry = geometry
    this.#lives = model.cpus.map(() => 0)
    const marked = [...model.items.keys()].filter((index) =>
      ['first', 'second'].includes(model.items[index]?.mark ?? ''),
    )
    const [first, second] = marked
    this.#race = first !== undefined && second !== undefined ? { first, second } : undefined
  }

  header(): Line[] {
    const { columns, source, width, labelEnd } = this.#geometry
    const line = new Line().add(' '.repeat(labelEnd - 4)).add('step', 'dim')
    for (const [column, cpu] of this.#model.cpus.entries()) {
      const left = columns[column] ?? 0
      const room = (columns[column + 1] ?? source) - left - 1
      const label = `CPU ${cpu}`.length <= room ? `CPU ${cpu}` : String(cpu)
      if (left >= line.width && label.length <= room) line.to(left).add(label, this.#style(column))
    }
    if (width - source >= 7) line.to(source).add('source', 'dim')
    return [line]
  }

  /**
   * The lines of a row. An event that begins a process without `enter` has a line with its name
   * before it.
   */
  row(row: Row): Line[] {
    const item = row.items[0]
    if (!item) return []
    const lines: Line[] = []
    if (item.begins) lines.push(this.#begin(item))
    const from = this.#index
    this.#index += row.items.length
    const [first = '', ...more] = this.#texts(row, item)
    const line = this.#gutter(labelOf(row), from)
    this.#before(line, item)
    this.#event(line, item, first)
    this.#after(line, item.column)
    this.#place(line, row.place)
    lines.push(line)
    this.#advance(item)
    for (const text of more) {
      const next = this.#gutter('', from + row.items.length - 1, true)
      this.#before(next, item)
      next.add('│ '.repeat(item.depth + 1), this.#style(item.column))
      next.add(text, styleOf(item))
      this.#after(next, item.column)
      lines.push(next)
    }
    return lines
  }

  #texts(row: Row, item: Item): string[] {
    const saw = row.items.length === 1 ? sawOf(item, this.#model) : ''
    const note = row.mark ? notes[row.mark] : ''
    return wrap(row.text + saw + note, roomFor(this.#geometry, item))
  }

  #begin(item: Item): Line {
    const line = this.#gutter('', this.#index, true)
    this.#before(line, item)
    const name = `${'│ '.repeat(item.depth - 1)}├─┐ ${item.process.name}`
    line.add(cut(name, this.#geometry.width - line.width), this.#style(item.column))
    return line
  }

  /** The bracket of the race and the label of the step. `index` is the first event of the line. */
  #gutter(label: string, index: number, between = false): Line {
    const { labelEnd } = this.#geometry
    const line = new Line()
    if (this.#race) {
      const { first, second } = this.#race
      if (index === first && !between) line.add('╭>', alarm)
      else if (index === second && !between) line.add('╰>', alarm)
      else if (
        between ? index >= first && index <= second && index !== second : index > first && index < second
      )
        line.add('╎', alarm)
    }
    return line.to(Math.max(BRACKET, labelEnd - textWidth(label))).add(label, 'dim')
  }

  /** The lifelines to the left of an event. */
  #before(line: Line, item: Item): void {
    for (let column = 0; column < item.column; column++) this.#life(line, column)
    line.to(this.#geometry.columns[item.column] ?? 0)
  }

  /** The lifelines to the right of an event, where its text has not covered them. */
  #after(line: Line, column: number): void {
    for (let other = column + 1; other < this.#model.cpus.length; other++) {
      if (line.width < (this.#geometry.columns[other] ?? 0)) this.#life(line, other)
    }
  }

  #life(line: Line, column: number): void {
    const left = this.#geometry.columns[column] ?? 0
    if (line.width > left) return
    const room = (this.#geometry.columns[column + 1] ?? this.#geometry.source) - left
    line.to(left).add(cut(this.#lifeline(column), Math.max(1, room - 1)), this.#style(column))
  }

  #lifeline(column: number): string {
    const depth = this.#lives[column]
    return depth === undefined ? '' : '│ '.repeat(depth + 1).trimEnd()
  }

  #event(line: Line, item: Item, text: string): void {
    const { name } = item.event
    const style = this.#style(item.column)
    line.add('│ '.repeat(item.depth), style)
    if (name === 'enter') line.add('├─┐ ', style)
    else if (name === 'leave') line.add('├─┘ ', style)
    else if (name === 'kill') line.add('✗ ', alarm)
    else if (name === 'exit') line.add('■ ', style)
    else line.add(`${symbols[item.event.order]} `, item.mark ? alarm : style)
    line.add(text, styleOf(item))
  }

  #place(line: Line, place: string): void {
    const left = Math.max(this.#geometry.source, line.width + 1)
    const room = this.#geometry.width - left
    if (place === '' || room < 4) return
    line.to(left)
    line.add(cutStart(place, room), 'dim')
  }

  /** Sets the lifeline of the event's column for the lines below it. */
  #advance(item: Item): void {
    const { name } = item.event
    const dead = name === 'kill' || (name === 'exit' && item.process.kind === 'cpu')
    this.#lives[item.column] = dead ? undefined : item.after
  }

  #style(column: number): Style {
    return columnStyles[column % columnStyles.length] ?? 'cyan'
  }
}

function labelOf({ items }: Row): string {
  const first = items[0]?.event.step ?? 0
  const last = items.at(-1)?.event.step ?? first
  return first === last ? String(first) : `${first}–${last}`
}

/** The write that an operation saw, if it was another process's, or is not the newest. */
function sawOf(item: Item, model: Model): string {
  if (item.saw === undefined) return ''
  const writer = model.items[item.saw]
  if (item.stale) return writer ? ` ←${writer.event.step}, stale` : ' ←initial, stale'
  return writer && writer.process.id !== item.process.id ? ` ←${writer.event.step}` : ''
}

function styleOf(item: Item): Style | undefined {
  if (item.mark) return alarm
  if (item.event.name === 'kill') return alarm
  return item.event.name === 'enter' || item.event.name === 'leave' || item.event.order === 'none'
    ? 'dim'
    : undefined
}
