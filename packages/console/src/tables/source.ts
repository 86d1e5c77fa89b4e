/**
 * What a table is read from: a file of CSV or NDJSON, and which columns or fields are its keys.
 *
 * `--key` and `--range` are for all files, or for one table after its name and a colon.
 */
import path from 'node:path'
import { shorten } from '../address/parse.js'
import { UsageError } from '../errors.js'
import type { RecordFormat } from '../table/records.js'
import { visible } from '../visible.js'
import type { TableSpec } from './change.js'

/** Which columns or fields are the keys. One column of a range holds networks, or `FROM-TO`. */
export interface KeyColumns {
  readonly isRange: boolean
  readonly columns: readonly string[]
}

export interface TableSource extends KeyColumns {
  readonly name: string
  readonly file: string
  readonly format: RowFormat
}

export interface RowFormat extends Omit<RecordFormat, 'header'> {
  /** The columns of CSV, in their order; undefined: as the first line names them. */
  readonly columns: readonly RowColumn[] | undefined
  /** Whether the first line is skipped, where there are `columns`. */
  readonly header: boolean
  readonly skipBad: number
}
export interface RowColumn {
  /** Its field in values; `-` is left out. */
  readonly name: string
  readonly isNumber: boolean
}

export const MAX_TABLES = 64
/** Of the name of a column that is a key. */
const MAX_COLUMN_BYTES = 255
const NAME = /^\w[\w.-]{0,63}$/
const EXTENSIONS = /(\.(csv|tsv|txt|ndjson|jsonl|json))?(\.gz)?$/i

/** A file argument: `FILE`, or `NAME=FILE`. Without a name it is that of the file. */
export function parseFile(argument: string): { readonly name: string; readonly file: string } {
  const [, given, named] = /^([^=/\\]+)=(.+)$/s.exec(argument) ?? []
  const file = named ?? argument
  if (file === '') throw new UsageError('a table has no file: expected FILE, or NAME=FILE')
  const name = given ?? path.basename(file).replace(EXTENSIONS, '')
  if (!NAME.test(name))
    throw new UsageError(
      `table '${visible(name)}' has no name that a URL can have: letters, digits, '_', and behind the first '.' and '-', at most 64; write NAME=${visible(file)}`,
    )
  return { name, file }
}

/** Values of an option: for all tables, or `TABLE:VALUE`. */
export interface KeyOption {
  readonly table: string | undefined
  readonly key: KeyColumns
}

export function parseKeyOption(text: string, isRange: boolean, tables: readonly string[]): KeyOption {
  const [, table, rest] = /^([^:]+):(.+)$/s.exec(text) ?? []
  const isNamed = table !== undefined && tables.includes(table)
  if (table !== undefined && !isNamed)
    throw new UsageError(`there is no table '${visible(table)}': there are ${tables.join(', ')}`)
  const columns = (isNamed ? (rest ?? '') : text).split(',').map((name) => name.trim())
  const most = isRange ? 2 : 1
  const long = columns.find((name) => Buffer.byteLength(name) > MAX_COLUMN_BYTES)
  if (long !== undefined)
    throw new UsageError(`column '${visible(shorten(long))}' has more than ${MAX_COLUMN_BYTES} bytes`)
  if (columns.includes('') || columns.length > most)
    throw new UsageError(
      isRange
        ? `--range '${visible(text)}' is not FROM,TO, nor one column`
        : `--key '${visible(text)}' is not one column`,
    )
  return { table: isNamed ? table : undefined, key: { isRange, columns } }
}

/** As a command line has it. */
export function keyOption({ isRange, columns }: KeyColumns): string {
  return `${isRange ? '--range' : '--key'} ${columns.map(visible).join(',')}`
}

/**
 * That a data directory keeps a table with these keys.
 *
 * @throws UsageError that names both, for other ones
 */
export function assertSameKeys(directory: string, source: TableSource, spec: TableSpec): void {
  const { columns, isRange } = spec
  const isSame =
    isRange === source.isRange && (columns === undefined || columns.join() === source.columns.join())
  if (isSame) return
  const asked = keyOption(source)
  // A directory of an earlier version does not say which columns.
  const kept = columns ? keyOption({ isRange, columns }) : isRange ? '--range' : '--key'
  throw new UsageError(
    `table ${spec.name} was read with ${kept}, and is asked for with ${asked}: ${visible(directory)} keeps the first; ` +
      `say that, or drop the table first, with its changes: percpu log drop ${visible(directory)} ${spec.name}`,
    { directory, table: spec.name, kept, asked },
  )
}

/** The tables that a command line asks for. @throws UsageError */
export function tableSources(
  files: readonly string[],
  keys: readonly string[],
  ranges: readonly string[],
  format: RowFormat,
): readonly TableSource[] {
  const named = files.map(parseFile)
  const names = named.map(({ name }) => name)
  if (names.length > MAX_TABLES) throw new UsageError(`${names.length} tables, ${MAX_TABLES} at most`)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new UsageError(`table ${twice} is there twice: write NAME=FILE`)
  const options = [
    ...keys.map((text) => parseKeyOption(text, false, names)),
    ...ranges.map((text) => parseKeyOption(text, true, names)),
  ]
  return named.map(({ name, file }) => {
    const own = options.filter(({ table }) => table === name)
    const given = own.length > 0 ? own : options.filter(({ table }) => table === undefined)
    const [option, ...more] = given
    if (!option) throw new UsageError(`table ${name} has no keys: say --key COLUMN, or --range FROM,TO`)
    if (more.length > 0)
      throw new UsageError(
        `table ${name} has keys more than once: say --key ${name}:COLUMN, or --range ${name}:FROM,TO`,
      )
    return { name, file, format, ...option.key }
  })
}

/** Columns as `id,name,price:number,-`. @throws UsageError */
export function parseRowColumns(text: string): readonly RowColumn[] {
  const columns = text.split(',').map((column): RowColumn => {
    const [name = '', type = 'text', ...more] = column.trim().split(':')
    if (name === '' || more.length > 0 || !['text', 'number'].includes(type))
      throw new UsageError(`column '${visible(column)}' is neither NAME nor NAME:number, nor -`)
    return { name, isNumber: type === 'number' }
  })
  const names = columns.map(({ name }) => name).filter((name) => name !== '-')
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new UsageError(`column ${visible(twice)} is there twice`)
  return columns
}
