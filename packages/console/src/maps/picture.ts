/**
 * The tables of spaces as a picture.
 *
 *     space     title and sums
 *     region    one table of level 1, for 4 GiB of addresses: its 1024 entries as cells, 64 a row,
 *               as far as there is anything
 *     cell      one table of pages, or one block, of 4 MiB; filled as far as its pages have memory
 *
 * Each filled cell says what it is when it is pointed at. Regions and areas beyond a number are
 * counted only.
 */
import type { AreaReport, BlockReport, SpaceReport, TableReport } from 'percpu'
import type { SpacesReport } from '../inspect/protocol.js'
import { visible } from '../visible.js'
import { addressText, bytesText } from './bytes.js'
import { plural, summaryOf, titleOf } from './sums.js'

const ENTRIES = 1024
const BLOCK = 2 ** 22
const COLUMNS = 64
const CELL = 13
const PITCH = CELL + 2
/** Width of the bar for pages that were written to. */
const DIRTY = 4
const LINE = 18
const MARGIN = 24
const WIDTH = COLUMNS * PITCH + 2 * MARGIN
const MAX_REGIONS = 32
const MAX_AREAS = 20

const style = `
  svg { background: #fff; font: 12px ui-monospace, monospace; fill: #222 }
  .title { font-weight: bold; font-size: 15px }
  .note { fill: #555 }
  .free { fill: url(#free) }
  .mapped { fill: url(#mapped) }
  .fixed { fill: url(#fixed) }
  .own { fill: #7fb0d8 }
  .shared { fill: #e8b04a }
  .dirty { fill: #1b3f5f }
  .block { fill: none; stroke: #1b3f5f; stroke-width: 1.5 }
`
/** What lies below cells: many of them are one rectangle. */
const grounds = { free: '#f3f3f3', mapped: '#d3e2ee', fixed: '#ecdcc0' } as const
type Ground = keyof typeof grounds
const patterns = Object.entries(grounds).map(
  ([kind, color]) =>
    `<pattern id="${kind}" width="${PITCH}" height="${PITCH}" patternUnits="userSpaceOnUse">` +
    `<rect width="${CELL}" height="${CELL}" fill="${color}"/></pattern>`,
)
const legend: readonly (readonly [kind: string, meaning: string])[] = [
  ['free', 'not mapped'],
  ['mapped', 'mapped'],
  ['fixed', 'mapped read-only'],
  ['own', 'has memory'],
  ['shared', 'shared with forks'],
  ['dirty', 'written to'],
  ['block', 'block of 4 MiB'],
]

/** An SVG document. */
export function drawMaps({ pid, title, spaces }: SpacesReport): string {
  const sheet = new Sheet()
  sheet.text(`${visible(title)} (process ${pid}): ${plural(spaces.length, 'space')}`, 'title')
  drawLegend(sheet)
  for (const space of spaces) drawSpace(sheet, space)
  return sheet.document(`Page tables of process ${pid}`)
}

/** What was drawn so far, from the top down. */
class Sheet {
  readonly #parts: string[] = []
  y = MARGIN

  text(text: string, kind = 'line'): void {
    this.y += LINE
    this.#parts.push(
      `<text class="${kind}" x="${MARGIN}" y="${this.y - 5}" xml:space="preserve">${escaped(text)}</text>`,
    )
  }
  add(part: string): void {
    this.#parts.push(part)
  }
  skip(height: number): void {
    this.y += height
  }
  document(title: string): string {
    const height = this.y + MARGIN
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
      `<title>${escaped(title)}</title>`,
      `<style>${style}</style>`,
      `<defs>${patterns.join('')}</defs>`,
      ...this.#parts,
      '</svg>\n',
    ].join('\n')
  }
}

function drawLegend(sheet: Sheet): void {
  let x = MARGIN
  for (const [kind, meaning] of legend) {
    const text = `<text class="note" x="${PITCH + 3}" y="11">${meaning}</text>`
    sheet.add(group(x, sheet.y + 4, rect(0, 0, CELL, CELL, kind) + text))
    x += PITCH + 15 + meaning.length * 7.3
  }
  sheet.skip(LINE + 6)
}

function drawSpace(sheet: Sheet, space: SpaceReport): void {
  sheet.skip(LINE)
  sheet.text(titleOf(space), 'title')
  sheet.text(summaryOf(space), 'note')
  for (const area of space.areas.slice(0, MAX_AREAS)) sheet.text(areaText(area))
  more(sheet, space.areas.length - MAX_AREAS, 'area')
  const regions = space.tables.filter(({ level }) => level === 1)
  for (const region of regions.slice(0, MAX_REGIONS)) drawRegion(sheet, space, region)
  more(sheet, regions.length - MAX_REGIONS, 'region')
}
function more(sheet: Sheet, left: number, noun: string): void {
  if (left > 0) sheet.text(`and ${plural(left, `more ${noun}`)}`, 'note')
}
function areaText({ address, bytes, write, resident }: AreaReport): string {
  const may = write ? 'read, write' : 'read'
  const range = `${addressText(address)}-${addressText(address + bytes - 1)}`
  return `${range}  ${may.padEnd(11)}  ${bytesText(bytes)}, ${bytesText(resident)} resident`
}

function drawRegion(sheet: Sheet, { areas, tables, blocks }: SpaceReport, region: TableReport): void {
  sheet.skip(6)
  sheet.text(
    `${addressText(region.address)}: ${region.present} of ${ENTRIES} entries lead on${region.isShared ? '; the table is shared' : ''}`,
    'note',
  )
  const isInside = ({ address }: { readonly address: number }): boolean =>
    address >= region.address && address < region.address + region.bytes
  const cells = [
    ...tables.filter((table) => table.level === 0 && isInside(table)),
    ...blocks.filter(isInside),
  ]
  const spans = areas.flatMap((area) => spanOf(area, region))
  let last = 0
  for (const span of spans) last = Math.max(last, span.last)
  for (const cell of cells) last = Math.max(last, indexOf(cell, region))
  const rows = Math.floor(last / COLUMNS) + 1
  const parts = [
    ...groundOf({ first: 0, last: rows * COLUMNS - 1, ground: 'free' }),
    ...spans.flatMap(groundOf),
    ...cells.map((cell) => drawCell(cell, region)),
  ]
  sheet.add(group(MARGIN, sheet.y, parts.join('\n')))
  sheet.skip(rows * PITCH)
}
function indexOf({ address }: { readonly address: number }, region: TableReport): number {
  return Math.floor((address - region.address) / BLOCK)
}

/** Cells one after the other, whatever lies in them. */
interface Span {
  readonly first: number
  readonly last: number
  readonly ground: Ground
}
/** Those of an area in a region. */
function spanOf({ address, bytes, write }: AreaReport, region: TableReport): Span[] {
  const first = Math.max(0, indexOf({ address }, region))
  const last = Math.min(ENTRIES - 1, indexOf({ address: address + bytes - 1 }, region))
  return first > last ? [] : [{ first, last, ground: write ? 'mapped' : 'fixed' }]
}

/** A rectangle for each row. */
function groundOf({ first, last, ground }: Span): string[] {
  const rows: string[] = []
  for (let from = first; from <= last;) {
    const row = Math.floor(from / COLUMNS)
    const next = Math.min(last + 1, (row + 1) * COLUMNS)
    rows.push(rect((from % COLUMNS) * PITCH, row * PITCH, (next - from) * PITCH, PITCH, ground))
    from = next
  }
  return rows
}

function drawCell(cell: TableReport | BlockReport, region: TableReport): string {
  const index = indexOf(cell, region)
  const [x, y] = [(index % COLUMNS) * PITCH, Math.floor(index / COLUMNS) * PITCH]
  const { present, shared, dirty } = sharesOf(cell)
  const own = Math.round(CELL * (1 - shared))
  const top = (share: number): number => Math.round(CELL * share)
  const text = 'isDirty' in cell ? blockText(cell) : tableText(cell)
  return [
    `<g><title>${addressText(cell.address)}: ${text}</title>`,
    rect(x, y + CELL - top(present), own, top(present), 'own'),
    rect(x + own, y + CELL - top(present), CELL - own, top(present), 'shared'),
    rect(x + CELL - DIRTY, y + CELL - top(dirty), DIRTY, top(dirty), 'dirty'),
    'isDirty' in cell ? rect(x + 0.75, y + 0.75, CELL - 1.5, CELL - 1.5, 'block') : '',
    '</g>',
  ].join('')
}

/** Of the pages of an entry: those with memory; of these, shared ones; of all, written ones. */
interface Shares {
  readonly present: number
  readonly shared: number
  readonly dirty: number
}
function sharesOf(report: TableReport | BlockReport): Shares {
  if ('isDirty' in report)
    return { present: 1, shared: report.isShared ? 1 : 0, dirty: report.isDirty ? 1 : 0 }
  const { present, shared, dirty } = report
  // A page that has memory is to be seen.
  const visibly = (count: number): number => (count === 0 ? 0 : Math.max(count / ENTRIES, 2 / CELL))
  return { present: visibly(present), shared: present === 0 ? 0 : shared / present, dirty: visibly(dirty) }
}
function tableText({ present, shared, dirty, accessed, isShared }: TableReport): string {
  const counts = `${present} of ${ENTRIES} pages have memory, ${dirty} written to, ${accessed} read, ${shared} shared`
  return isShared ? `${counts}; the table is shared` : counts
}
function blockText({ isShared, isDirty, isAccessed }: BlockReport): string {
  const said = [isDirty && 'written to', isAccessed && 'read', isShared && 'shared'].filter(Boolean)
  return ['a block of 4 MiB', ...said].join(', ')
}

function group(x: number, y: number, content: string): string {
  return `<g transform="translate(${x} ${y})">${content}</g>`
}
function rect(x: number, y: number, width: number, height: number, kind: string): string {
  if (width === 0 || height === 0) return ''
  return `<rect class="${kind}" x="${x}" y="${y}" width="${width}" height="${height}"/>`
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character)
}
