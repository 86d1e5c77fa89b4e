/**
 * Tells how a file is written that is not read as it was said to be: one diagnosis, with the
 * options that read it.
 */
import { parse } from 'csv-parse/sync'
import { isIP } from 'node:net'
import { shorten } from '../address/parse.js'
import { columnsText, parseColumns, USUAL_FORMAT, type ColumnFormat, type TableFormat } from './format.js'
import { RowReader } from './row-reader.js'

/** Lines that are looked at. */
const LINES = 6
const SEPARATORS = [',', ';', '\t', '|']
const MOST_COLUMNS = 24
const SHOWN: Readonly<Record<string, string>> = { '\t': 'tab' }

type Kind = 'address' | 'network' | 'whole' | 'number' | 'as' | 'text'

interface Guess {
  readonly separator: string
  readonly header: boolean
  readonly columns: readonly ColumnFormat[]
}

/**
 * What is to be said of a file that begins with `text`, if its first line is not read as `format`
 * says; undefined if it is, or nothing better is known. Then each line is told for itself.
 */
export function diagnose(text: string, family: 4 | 6, format: TableFormat): string | undefined {
  const lines = firstLines(text)
  const records = recordsOf(lines, format)
  if (lines.length === 0 || isRead(records.slice(0, 1), family, format)) return undefined
  const seen = `line 1 is '${shorten(lines[0] ?? '')}'`
  const other = family === 4 ? 6 : 4
  if (isRead(records, other, format))
    return `holds ranges of IPv${other}, not of IPv${family}: ${seen}; --ipv${other} takes them`
  for (const separator of SEPARATORS) {
    const guess = guessColumns(recordsOf(lines, { separator, header: false }), separator)
    if (!guess || !isRead(recordsOf(lines, guess), family, guess)) continue
    const options = optionsOf(guess, format)
    if (options !== '')
      return `is not written as ${columnsText(format.columns)}: ${seen}. These options read it: ${options}`
  }
  return undefined
}

function firstLines(text: string): string[] {
  const whole = text.replace(/^\ufeff/, '').split(/\r\n|\n|\r/)
  // The last one may be cut.
  return whole
    .slice(0, -1)
    .filter((line) => line !== '')
    .slice(0, LINES)
}

/** Without the header. None, if they are no CSV. */
function recordsOf(
  lines: readonly string[],
  { separator, header }: Pick<Guess, 'separator' | 'header'>,
): string[][] {
  try {
    const records = parse(lines.join('\n'), { delimiter: separator, relax_column_count: true })
    return header ? records.slice(1) : records
  } catch {
    // A sample that ends in quotes: each line is told for itself.
    return []
  }
}

/** Whether there are records, and all are read. */
function isRead(records: readonly string[][], family: 4 | 6, { columns }: Guess): boolean {
  const reader = new RowReader(family, columns)
  return records.length > 0 && records.every((record) => reader.read(record, () => undefined) !== undefined)
}

function guessColumns(records: readonly string[][], separator: string): Guess | undefined {
  const width = records[0]?.length ?? 0
  if (width < 2 || width > MOST_COLUMNS || records.some(({ length }) => length !== width)) return undefined
  const header = records.length > 1 && (records[0] ?? []).every((cell) => kindOf(cell) === 'text')
  const names = header ? (records[0] ?? []).map(fieldName) : []
  const body = header ? records.slice(1) : records
  const kinds = Array.from({ length: width }, (_, at) => kindOfAll(body.map((record) => record[at] ?? '')))
  const range = rangeColumns(kinds)
  if (!range || kinds.includes(undefined)) return undefined
  const taken = new Set(range.map((column) => column.replace(/:.*/, '')))
  const name = (wanted: string, at: number) => {
    const free = taken.has(wanted) || wanted === '' ? `column${at + 1}` : wanted
    taken.add(free)
    return free
  }
  const data = kinds.slice(range.length).map((kind, i) => {
    const at = range.length + i
    const given = names[at]
    if (kind === 'as') return `${name('asn', at)}:as`
    if (kind === 'number') return `${name(given ?? '', at)}:number`
    if (given !== undefined) return name(given, at)
    if (kind === 'whole') return name('asn', at)
    const isCountry = body.every((record) => /^[A-Z]{2}$/.test(record[at] ?? ''))
    return name(isCountry ? 'country' : taken.has('asn') ? 'organisation' : '', at)
  })
  return { separator, header, columns: parseColumns([...range, ...data].join(',')) }
}

function rangeColumns(kinds: readonly (Kind | undefined)[]): string[] | undefined {
  const [first, second] = kinds
  if (first === 'network') return ['network']
  if (first === 'address') return second === 'address' ? ['first', 'last'] : ['address']
  return first === 'whole' && second === 'whole' ? ['first:number', 'last:number'] : undefined
}

/** That of all cells that are not empty; `text` if there are none, undefined if they differ. */
function kindOfAll(cells: readonly string[]): Kind | undefined {
  const kinds = new Set(cells.filter((cell) => cell !== '').map(kindOf))
  if (kinds.has('number') && kinds.has('whole')) kinds.delete('whole')
  return kinds.size > 1 ? undefined : ([...kinds][0] ?? 'text')
}

function kindOf(cell: string): Kind {
  if (isIP(cell) !== 0) return 'address'
  if (isIP(cell.replace(/\/\d+$/, '')) !== 0) return 'network'
  if (/^\d+$/.test(cell)) return 'whole'
  if (/^-?\d+\.\d+$/.test(cell)) return 'number'
  return /^as\d+$/i.test(cell) ? 'as' : 'text'
}

/** A field's name for a column that a header calls so. */
function fieldName(title: string): string {
  const name = title.trim().toLowerCase().replace(/\W+/g, '_')
  if (/^(asn|as_number|autonomous_system_number)$/.test(name)) return 'asn'
  if (/^(autonomous_system_organi[sz]ation|as_name|as_org|organi[sz]ation)$/.test(name)) return 'organisation'
  return /^[a-z_]\w{0,63}$/.test(name) &&
    !['range', 'error', 'first', 'last', 'network', 'address'].includes(name)
    ? name
    : ''
}

function optionsOf(guess: Guess, current: Guess): string {
  const columns = columnsText(guess.columns)
  return [
    guess.separator === current.separator
      ? ''
      : `--separator ${SHOWN[guess.separator] ?? `'${guess.separator}'`}`,
    guess.header && !current.header ? '--header' : '',
    columns === columnsText(current.columns) && columns === columnsText(USUAL_FORMAT.columns)
      ? ''
      : `--columns ${columns}`,
  ]
    .filter((option) => option !== '')
    .join(' ')
}
