/** The options that say which table there is, how its files are written, and who looks up in it. */
import { devNull } from 'node:os'
import { Option, type Command } from 'commander'
import { availableCpus, usableCpus } from '../available-cpus.js'
import type { AddressRules } from '../address/rules.js'
import { packagedFiles } from '../table/load.js'
import { parseColumns, USUAL_FORMAT, type TableFormat } from '../table/format.js'
import type { TableFiles } from '../table/read.js'
import { UsageError } from '../errors.js'
import type { NatsOptions } from '../nats/nats-tables.js'
import { parseRowColumns, type RowFormat } from '../tables/source.js'
import { parseBytes, parseInteger, parsePath, parseSeparator } from './values.js'

const MAX_WORKERS = 240
const MAX_SKIPPED = 2 ** 31 - 1

export interface TableFlags extends Omit<TableFormat, 'columns'> {
  readonly ipv4?: string
  readonly ipv6?: string
  /** As given. */
  readonly columns?: string
  readonly tableFile: boolean
  readonly stripPort: boolean
  readonly nat64: boolean
  readonly memory: number
  readonly workers: number
}

function tableOptions(): Option[] {
  const packaged = 'default: that of @ip-location-db/asn'
  return [
    new Option('--ipv4 <file>', `CSV of IPv4 ranges (${packaged})`).argParser(parsePath),
    new Option('--ipv6 <file>', `CSV of IPv6 ranges (${packaged})`).argParser(parsePath),
    new Option(
      '--columns <list>',
      'what the columns are, in their order. For addresses: first and last, network, or address; asn, organisation or any other name. - leaves one out (default: first,last,asn,organisation; of other tables, as the first line names them)',
    ),
    new Option('--separator <character>', 'what is between columns; tab for a tab')
      .argParser(parseSeparator)
      .default(USUAL_FORMAT.separator),
    new Option('--header', 'the first line of each file names its columns').default(false),
    new Option('--encoding <name>', 'how characters are written').choices(['utf8', 'latin1']).default('utf8'),
    new Option('--multiline', 'cells in quotes may hold line ends').default(false),
    new Option('--overlap <what>', 'what becomes of ranges that overlap')
      .choices(['refuse', 'most-specific'])
      .default('refuse'),
    new Option('--skip-bad <number>', 'lines that may be left out because they cannot be read')
      .argParser(parseInteger(0, MAX_SKIPPED))
      .default(0),
    new Option('--no-table-file', 'keep no binary table file beside the CSV, and read none'),
    new Option('--strip-port', 'take addresses with a port: 1.0.1.1:443, [2001:db8::1]:443').default(false),
    new Option('--nat64', 'look up addresses of 64:ff9b::/96 as the IPv4 addresses in them').default(false),
    new Option('--workers <number>', 'worker threads')
      .argParser(parseInteger(1, MAX_WORKERS))
      .default(Math.min(MAX_WORKERS, usableCpus(availableCpus())), 'one a core, as far as a quota allows'),
    new Option('--memory <size>', 'shared memory; taken from the system as it is used')
      .argParser(parseBytes)
      .default(parseBytes('1GiB'), '1GiB'),
  ]
}
/** Their names as flags: none means anything where another process has the table. */
export const tableFlags = tableOptions().map((option) => option.attributeName())

export function addTableOptions(command: Command): Command {
  for (const option of tableOptions()) command.addOption(option)
  return command
}

/** @throws UsageError for columns; FileError if a file is needed that is not installed */
export function tableFiles(flags: TableFlags): TableFiles {
  const { separator, header, encoding, multiline, overlap, skipBad } = flags
  const columns = flags.columns === undefined ? USUAL_FORMAT.columns : parseColumns(flags.columns)
  const format = { columns, separator, header, encoding, multiline, overlap, skipBad }
  const { ipv4, ipv6, tableFile: keepPacked } = flags
  if (ipv4 !== undefined && ipv6 !== undefined) return { ipv4, ipv6, format, keepPacked }
  // A table of other columns has nothing to do with the packaged one.
  const isOwn = flags.columns !== undefined && (ipv4 ?? ipv6) !== undefined
  const packaged = isOwn ? { ipv4: devNull, ipv6: devNull } : packagedFiles()
  return { ipv4: ipv4 ?? packaged.ipv4, ipv6: ipv6 ?? packaged.ipv6, format, keepPacked }
}

export function addressRules({ stripPort, nat64 }: TableFlags): AddressRules {
  return { stripPort, nat64 }
}

/** How the files of tables of one's own are written. @throws UsageError */
export function rowFormat({
  columns,
  separator,
  header,
  encoding,
  multiline,
  skipBad,
}: TableFlags): RowFormat {
  return {
    columns: columns === undefined ? undefined : parseRowColumns(columns),
    ...{ separator, header, encoding, multiline, skipBad },
  }
}

/** Options that say nothing where there are tables of one's own, and the other way round. */
export const ADDRESS_OPTIONS = [
  ...['ipv4', 'ipv6', 'overlap', 'tableFile', 'stripPort', 'nat64', 'attribution'],
]
export const OWN_TABLE_OPTIONS = [
  ...['key', 'range', 'data', 'sync', 'nats', 'bucket', 'natsCreds', 'tokenFile', 'history'],
]

/** The bucket of several nodes, if there is one. @throws UsageError */
export function natsOptions({
  nats,
  bucket,
  natsCreds,
  data,
}: {
  readonly nats?: string
  readonly bucket?: string
  readonly natsCreds?: string
  readonly data?: string
}): NatsOptions | undefined {
  if (nats === undefined) {
    if ((bucket ?? natsCreds) === undefined) return undefined
    throw new UsageError('--bucket and --nats-creds say nothing without --nats')
  }
  if (bucket === undefined) throw new UsageError('--nats needs the name of a bucket: --bucket NAME')
  if (data !== undefined)
    throw new UsageError('--data says nothing beside --nats: the bucket keeps the tables')
  return { url: nats, bucket, credentials: natsCreds }
}

/** @throws UsageError if one of these options was given */
export function refuseOptions(command: Command, names: readonly string[], why: string): void {
  const given = command.options.find(
    (option) =>
      names.includes(option.attributeName()) &&
      command.getOptionValueSource(option.attributeName()) === 'cli',
  )
  if (given) throw new UsageError(`${given.long ?? given.flags} says nothing: ${why}`)
}
