/** `percpu serve`: its options and their defaults. */
import { Option, type Command } from 'commander'
import { PATIENCE_MILLISECONDS } from '../serve/settings.js'
import type { StoreOptions } from '../store/store.js'
import { MAX_SHRINK } from '../table/row-counts.js'
import { tableSources } from '../tables/source.js'
import {
  ADDRESS_OPTIONS,
  addressRules,
  addTableOptions,
  natsOptions,
  OWN_TABLE_OPTIONS,
  refuseOptions,
  rowFormat,
  tableFiles,
  type TableFlags,
} from './table-options.js'
import {
  parseBucket,
  parseBytes,
  parseInteger,
  parseNats,
  parsePath,
  parsePaths,
  parsePercent,
  parseSeconds,
  parseSocket,
  parseSync,
  parseTexts,
} from './values.js'

interface ServeFlags extends TableFlags {
  readonly host: string
  readonly port: number
  readonly bodyLimit: number
  readonly timeout: number
  readonly watch: boolean
  readonly maxShrink: number
  readonly patience: number
  readonly inspect?: string
  readonly attribution?: readonly string[]
  readonly pidFile?: string
  readonly logLevel: string
}
interface TablesFlags {
  readonly key: readonly string[]
  readonly range: readonly string[]
  readonly data?: string
  readonly sync: StoreOptions['sync']
  readonly nats?: string
  readonly bucket?: string
  readonly natsCreds?: string
  readonly tokenFile?: string
  readonly history: number
}

export function addServeCommand(program: Command): void {
  addTableOptions(
    program
      .command('serve')
      .description('serve lookups of addresses over HTTP, or tables of your own')
      .argument(
        '[files...]',
        'tables: FILE or NAME=FILE, of CSV or NDJSON; none: the table of addresses',
        parsePaths,
      ),
  )
    .addOption(
      new Option('--key <column>', 'the column that is the key: of all tables, or TABLE:COLUMN')
        .argParser(parseTexts)
        .default([], 'none'),
    )
    .addOption(
      new Option(
        '--range <from,to>',
        'the columns where ranges begin and end: of all tables, or TABLE:FROM,TO',
      )
        .argParser(parseTexts)
        .default([], 'none'),
    )
    .addOption(
      new Option('--data <directory>', 'where changes of tables are kept: a log and snapshots').argParser(
        parsePath,
      ),
    )
    .addOption(
      new Option(
        '--sync <when>',
        'when changes are written through to the disk: always, or every so many seconds',
      )
        .argParser(parseSync)
        .default('always'),
    )
    .addOption(
      new Option(
        '--nats <url>',
        'keep tables in a bucket of NATS JetStream, for several nodes: nats://USER:PASSWORD@HOST:PORT',
      ).argParser(parseNats),
    )
    .addOption(
      new Option('--bucket <name>', 'with --nats: the bucket; made if there is none').argParser(parseBucket),
    )
    .addOption(new Option('--nats-creds <file>', 'with --nats: a file of credentials').argParser(parsePath))
    .addOption(
      new Option(
        '--token-file <file>',
        'file of the token that changes need (default: token in the data directory)',
      ).argParser(parsePath),
    )
    .addOption(
      new Option('--history <size>', 'changes kept for clients that come back')
        .argParser(parseBytes)
        .default(parseBytes('16MiB'), '16MiB'),
    )
    .addOption(
      new Option('--port <number>', 'port to listen on; 0 for any free one')
        .argParser(parseInteger(0, 65_535))
        .default(8080),
    )
    .addOption(new Option('--host <address>', 'address to listen on').default('127.0.0.1'))
    .addOption(
      new Option('--body-limit <size>', 'largest body of a POST')
        .argParser(parseBytes)
        .default(parseBytes('1GiB'), '1GiB'),
    )
    .addOption(
      new Option(
        '--timeout <seconds>',
        'longest time for a request to arrive, and longest silence on a connection',
      )
        .argParser(parseSeconds)
        .default(parseSeconds('300'), '300'),
    )
    .option('--no-watch', 'do not reload when a file of the table changes (SIGHUP still does)')
    .addOption(
      new Option(
        '--max-shrink <percent>',
        'ranges of a file, compared with the table that is served, that may be missing in the next one',
      )
        .argParser(parsePercent)
        .default(MAX_SHRINK),
    )
    .addOption(
      new Option(
        '--patience <seconds>',
        'how long a thread may give no sign of life before it is replaced, and its batches are given to others',
      )
        .argParser(parseSeconds)
        .default(PATIENCE_MILLISECONDS, String(PATIENCE_MILLISECONDS / 1000)),
    )
    .addOption(
      new Option(
        '--inspect <socket>',
        'path of a local socket on which `percpu top` can watch the workers',
      ).argParser(parseSocket),
    )
    .addOption(
      new Option('--pid-file <file>', 'file for the number of the process, while it runs').argParser(
        parsePath,
      ),
    )
    .addOption(
      new Option(
        '--attribution <text>',
        'whom the data is owed to, for GET /health (default: as the package of the tables has it)',
      ).argParser((text) => (text === '' ? [] : [text])),
    )
    .addOption(
      new Option('--log-level <level>', 'least severe messages to log')
        .choices(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .default('info'),
    )
    .action(
      async (
        files: string[],
        { timeout, patience, ...flags }: ServeFlags & TablesFlags,
        command: Command,
      ) => {
        // `percpu top` shows it, and so does ps.
        process.title = 'percpu serve'
        const nats = natsOptions(flags)
        if (files.length > 0 || flags.data !== undefined || nats) {
          refuseOptions(command, ADDRESS_OPTIONS, 'it is for the table of addresses')
          if (flags.data === undefined) refuseOptions(command, ['sync'], 'there is no --data')
          const sources = tableSources(files, flags.key, flags.range, rowFormat(flags))
          const { serveTables } = await import('./serve.js')
          process.exitCode = await serveTables({
            ...{ ...flags, nats, sources },
            timeoutMilliseconds: timeout,
            patienceMilliseconds: patience,
          })
          return
        }
        refuseOptions(command, OWN_TABLE_OPTIONS, 'it is for tables of your own: name their files')
        const { serve } = await import('./serve.js')
        process.exitCode = await serve({
          ...flags,
          timeoutMilliseconds: timeout,
          patienceMilliseconds: patience,
          files: tableFiles(flags),
          rules: addressRules(flags),
        })
      },
    )
}
