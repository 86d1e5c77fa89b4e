/**
 * How a table's files are written: which column is what, and what is taken although it is not as
 * it should be. The same for both families.
 */
import { UsageError } from '../errors.js'

/** What a column is for. */
export type ColumnRole = 'first' | 'last' | 'network' | 'address' | 'data' | 'ignored'

/**
 * How the cells of a column are read. Those of the range: `text` is an address, `number` a whole
 * number. Those of data: `asn` is a whole number below 2^32, `as` the same after the letters `AS`,
 * `number` any decimal number. An empty `as` or `number` is null.
 */
export type ColumnType = 'text' | 'number' | 'asn' | 'as'

export interface ColumnFormat {
  /** Of a column of data, its field in answers. */
  readonly name: string
  readonly role: ColumnRole
  readonly type: ColumnType
}

export interface TableFormat {
  readonly columns: readonly ColumnFormat[]
  /** One character. */
  readonly separator: string
  /** Whether the first line names the columns: it is skipped. */
  readonly header: boolean
  readonly encoding: 'utf8' | 'latin1'
  /** Whether a quoted cell may hold line ends. */
  readonly multiline: boolean
  /** What becomes of ranges that overlap. */
  readonly overlap: 'refuse' | 'most-specific'
  /** Lines that may be skipped, in both files together. */
  readonly skipBad: number
}

const ROLES: ReadonlySet<string> = new Set<ColumnRole>(['first', 'last', 'network', 'address'])
/** Fields that answers have anyway. */
const TAKEN: ReadonlySet<string> = new Set(['range', 'error'])
const NAME = /^[A-Za-z_][\w.-]{0,63}$/
const TYPES: readonly string[] = ['text', 'number', 'asn', 'as'] satisfies ColumnType[]
/** Of data. What an answer has beside them fits into a line whatever they are called. */
const MAX_DATA_COLUMNS = 24

/**
 * Columns as `first,last,asn:as,country,-`: the name of each, and after a colon its type. `-` is
 * left out.
 *
 * @throws UsageError
 */
export function parseColumns(text: string): readonly ColumnFormat[] {
  const columns = text.split(',').map((column) => parseColumn(column.trim()))
  const has = (role: ColumnRole) => columns.some((column) => column.role === role)
  const isRange = has('first') && has('last') && !has('network') && !has('address')
  const isOther = has('network') !== has('address') && !has('first') && !has('last')
  if (!isRange && !isOther) throw new UsageError('columns need either first and last, or network, or address')
  const names = columns.filter(({ role }) => role !== 'ignored').map(({ name }) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new UsageError(`column ${twice} is there twice`)
  const data = fieldsOf(columns).length
  if (data === 0) throw new UsageError('no column is left to answer with')
  if (data > MAX_DATA_COLUMNS)
    throw new UsageError(`${data} columns of data, ${MAX_DATA_COLUMNS} at most: leave some out with -`)
  return columns
}

function parseColumn(text: string): ColumnFormat {
  if (text === '-') return { name: '-', role: 'ignored', type: 'text' }
  const [name = '', type = name === 'asn' ? 'asn' : 'text', ...more] = text.split(':')
  if (!NAME.test(name) || TAKEN.has(name))
    throw new UsageError(`column '${text}' has no name that a field of an answer can have`)
  if (more.length > 0 || !TYPES.includes(type))
    throw new UsageError(`column '${text}' has no type that there is: ${TYPES.join(', ')}`)
  const role = ROLES.has(name) ? (name as ColumnRole) : 'data'
  if (role !== 'data' && !(type === 'text' || (type === 'number' && role !== 'network')))
    throw new UsageError(`column '${text}' holds addresses: as text, or first, last and address as number`)
  return { name, role, type: type as ColumnType }
}

/** Columns as they are written. */
export function columnsText(columns: readonly ColumnFormat[]): string {
  return columns
    .map(({ name, type }) => {
      const usual = name === 'asn' ? 'asn' : 'text'
      return type === usual ? name : `${name}:${type}`
    })
    .join(',')
}

/** The fields of an answer that come from a table of these columns. */
export function fieldsOf(columns: readonly ColumnFormat[]): readonly string[] {
  return columns.filter(({ role }) => role === 'data').map(({ name }) => name)
}

/** That of the packaged tables. */
export const USUAL_FORMAT: TableFormat = {
  columns: parseColumns('first,last,asn,organisation'),
  separator: ',',
  header: false,
  encoding: 'utf8',
  multiline: false,
  overlap: 'refuse',
  skipBad: 0,
}
export const USUAL_FIELDS = fieldsOf(USUAL_FORMAT.columns)
