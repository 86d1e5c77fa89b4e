/**
 * The `percpu` command: options and their defaults. The work is done in commands/. Each is loaded
 * when it is run: what one needs, such as a server, takes the others a second.
 */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { PercpuError } from 'percpu'
import {
  ADDRESS_OPTIONS,
  addressRules,
  addTableOptions,
  natsOptions,
  OWN_TABLE_OPTIONS,
  refuseOptions,
  rowFormat,
  tableFiles,
  tableFlags,
  type TableFlags,
} from './commands/table-options.js'
import {
  parseBucket,
  parseBytes,
  parseInteger,
  parseNats,
  parsePath,
  parsePercent,
  parseSeconds,
  parseServer,
  parseSocket,
  parseSync,
  parseTarget,
} from './commands/values.js'
import { UsageError } from './errors.js'
import type { InputFormat } from './lookup/stream.js'
import { PATIENCE_MILLISECONDS, TABLE_NAME } from './serve/settings.js'
import { MAX_EVERY, MIN_EVERY } from './inspect/protocol.js'
import { DEFAULTS, FLAVOURS, MAX_THREADS, type FlavourName } from './torture/options.js'
import { MAX_SHRINK } from './table/row-counts.js'
import { tableSources } from './tables/source.js'
import type { StoreOptions } from './store/store.js'

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
interface LookupFlags extends TableFlags {
  readonly table: string
  readonly server?: URL
  readonly output?: string
  readonly format: InputFormat
}
interface TopFlags {
  readonly interval: number
  readonly once: boolean
  readonly json: boolean
  readonly web: boolean
  readonly host: string
  readonly port: number
}
interface MapsFlags {
  readonly json: boolean
  readonly svg: boolean
  readonly output?: string
}

/** Of `percpu bench`: a system gives a process some thousands. */
const MAX_CONNECTIONS = 10_000

const program = new Command('percpu')
  .description('Address lookups from one table in shared memory, and tools for percpu machines')
  .version(version(), '-V, --version', 'print the version')
  .showSuggestionAfterError()
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(`percpu: ${text.replace(/^error: /, '')}`) })

addTableOptions(
  program
    .command('serve')
    .description('serve lookups of addresses over HTTP, or tables of your own')
    .argument(
      '[files...]',
      'tables: FILE or NAME=FILE, of CSV or NDJSON; none: the table of addresses',
      addPath,
    ),
)
  .addOption(
    new Option('--key <column>', 'the column that is the key: of all tables, or TABLE:COLUMN')
      .argParser(addText)
      .default([], 'none'),
  )
  .addOption(
    new Option('--range <from,to>', 'the columns where ranges begin and end: of all tables, or TABLE:FROM,TO')
      .argParser(addText)
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
      'how long a worker may give no sign of life before it is replaced and its batches are given to others',
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
    new Option('--pid-file <file>', 'file for the number of the process, while it runs').argParser(parsePath),
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
    async (files: string[], { timeout, patience, ...flags }: ServeFlags & TablesFlags, command: Command) => {
      // `percpu top` shows it, and so does ps.
      process.title = 'percpu serve'
      const nats = natsOptions(flags)
      if (files.length > 0 || flags.data !== undefined || nats) {
        refuseOptions(command, ADDRESS_OPTIONS, 'it is for the table of addresses')
        const sources = tableSources(files, flags.key, flags.range, rowFormat(flags))
        const { serveTables } = await import('./commands/serve.js')
        process.exitCode = await serveTables({ ...flags, nats, timeoutMilliseconds: timeout, sources })
        return
      }
      refuseOptions(command, OWN_TABLE_OPTIONS, 'it is for tables of your own: name their files')
      const { serve } = await import('./commands/serve.js')
      process.exitCode = await serve({
        ...flags,
        timeoutMilliseconds: timeout,
        patienceMilliseconds: patience,
        files: tableFiles(flags),
        rules: addressRules(flags),
      })
    },
  )

addTableOptions(
  program
    .command('lookup')
    .description('answer addresses from files or standard input, one a line, as NDJSON'),
)
  .argument('[files...]', 'files of addresses; - or none for standard input', addPath)
  .addOption(new Option('--table <name>', 'the table to look in').choices([TABLE_NAME]).default(TABLE_NAME))
  .addOption(
    new Option('--server <url>', 'have this service answer, from its table')
      .argParser(parseServer)
      .conflicts(tableFlags),
  )
  .addOption(
    new Option('--format <format>', 'how addresses are written')
      .choices(['text', 'ndjson', 'json'])
      .default('text'),
  )
  .addOption(
    new Option('-o, --output <file>', 'write answers to this file instead of standard output').argParser(
      parsePath,
    ),
  )
  .action(async (inputs: string[], { output, server, ...flags }: LookupFlags) => {
    const given = inputs.length > 0 ? inputs : ['-']
    const source = server ?? tableFiles(flags)
    const options = { ...flags, rules: addressRules(flags), output, inputs: given, source }
    const { lookup } = await import('./commands/lookup.js')
    process.exitCode = await lookup(options)
  })

program
  .command('layout')
  .description('print the size and the fields of every struct that a JavaScript module exports')
  .argument('<file>', 'the module', parsePath)
  .argument('[names...]', 'only the structs of these names')
  .option('--json', 'print JSON', false)
  .option('--nested', 'also the structs nested in them, and their members', false)
  .action(async (file: string, names: string[], flags: { json: boolean; nested: boolean }) => {
    const { layout } = await import('./commands/layout.js')
    process.stdout.write(await layout({ file, names, ...flags }))
  })

program
  .command('top')
  .description('watch what every CPU of a running machine is doing')
  .argument('<socket>', 'the local socket on which its process serves inspections', parseSocket)
  .addOption(
    new Option('--interval <ms>', 'milliseconds between inspections')
      .argParser(parseInteger(MIN_EVERY, MAX_EVERY))
      .default(1000),
  )
  .option('--once', 'print one inspection and end', false)
  .option('--json', 'print JSON, a line for each inspection', false)
  .addOption(new Option('--web', 'serve it as a page').default(false).conflicts(['once', 'json']))
  .addOption(
    new Option('--port <number>', 'port of the page; 0 for any free one')
      .argParser(parseInteger(0, 65_535))
      .default(0)
      .implies({ web: true }),
  )
  .addOption(
    new Option('--host <address>', 'address of the page').default('127.0.0.1').implies({ web: true }),
  )
  .action(async (socket: string, { web, host, port, ...flags }: TopFlags) => {
    const ended = new AbortController()
    process.once('SIGINT', () => {
      ended.abort()
    })
    const { signal } = ended
    const output = process.stdout
    if (web) {
      const { topWeb } = await import('./commands/top-web.js')
      await topWeb({ socket, host, port, output, signal })
      return
    }
    const { top } = await import('./commands/top.js')
    await top({ socket, ...flags, output, signal })
  })

program
  .command('maps')
  .description('print or draw what the address spaces of a running machine have mapped')
  .argument('<socket>', 'the local socket on which its process serves inspections', parseSocket)
  .argument('[names...]', 'only the spaces of these names')
  .option('--json', 'as JSON', false)
  .addOption(new Option('--svg', 'as a picture of the page tables').default(false).conflicts('json'))
  .addOption(new Option('-o, --output <file>', 'write to a file').argParser(parsePath))
  .action(async (socket: string, names: string[], { json, svg, output }: MapsFlags) => {
    const { maps } = await import('./commands/maps.js')
    await maps({ socket, names, format: svg ? 'svg' : json ? 'json' : 'text', output })
  })

program
  .command('log')
  .description('check and print what a data directory holds; exits with 1 if something is damaged')
  .argument('<directory>', 'the directory of `percpu serve --data`; it may be in use', parsePath)
  .option('--json', 'print JSON', false)
  .action(async (directory: string, { json }: { json: boolean }) => {
    const { log } = await import('./commands/log.js')
    const { text, isWhole } = await log({ directory, json })
    process.stdout.write(text)
    process.exitCode = isWhole ? 0 : 1
  })

interface BenchFlags {
  readonly connections: number
  readonly seconds: number
  readonly rate?: number
  readonly keys?: string
  readonly json: boolean
}

program
  .command('bench')
  .description('load a service with requests, and print latencies; exits with 1 if none succeeded')
  .argument('<url>', 'what to ask for; a key comes where it has {}', parseTarget)
  .addOption(
    new Option('--connections <number>', 'connections that ask at once')
      .argParser(parseInteger(1, MAX_CONNECTIONS))
      .default(32),
  )
  .addOption(
    new Option('--seconds <seconds>', 'how long').argParser(parseSeconds).default(parseSeconds('10'), '10'),
  )
  .addOption(
    new Option(
      '--rate <number>',
      'requests a second, whether they are answered in time or not (default: as many as are answered)',
    ).argParser(parseInteger(1, 1_000_000)),
  )
  .addOption(new Option('--keys <file>', 'keys for the URL, one a line').argParser(parsePath))
  .option('--json', 'print JSON', false)
  .action(async (url: string, { seconds, rate, keys, ...flags }: BenchFlags) => {
    const ended = new AbortController()
    process.once('SIGINT', () => {
      ended.abort()
    })
    const { bench } = await import('./commands/bench.js')
    const options = { ...flags, url, rate, keys, milliseconds: seconds, output: process.stdout }
    process.exitCode = (await bench({ ...options, signal: ended.signal })) ? 0 : 1
  })

interface TortureFlags {
  readonly flavour: FlavourName | 'all'
  readonly seconds: number
  readonly readers: number
  readonly writers: number
  readonly fakeWriters: number
  readonly kill: boolean
  readonly onoff: boolean
  readonly walk: boolean
  readonly fanout: number
  readonly seed?: number
  readonly json: boolean
}

program
  .command('torture')
  .description('check grace periods under load on this computer; exits with 1 if one was too short')
  .addOption(
    new Option('--flavour <name>', 'what to torture; busted-* have a fault that must be found')
      .choices(['all', ...FLAVOURS])
      .default('all'),
  )
  .addOption(
    new Option('--seconds <seconds>', 'how long, each flavour')
      .argParser(parseSeconds)
      .default(DEFAULTS.milliseconds, String(DEFAULTS.milliseconds / 1000)),
  )
  .addOption(threads('--readers <number>', 'threads that read', DEFAULTS.readers))
  .addOption(threads('--writers <number>', 'threads that replace what is read', DEFAULTS.writers))
  .addOption(
    threads('--fake-writers <number>', 'threads that ask for grace periods', DEFAULTS.fakeWriters, 0),
  )
  .option('--walk', 'torture walks of page tables instead: --readers, --writers, --kill', false)
  .option('--kill', 'terminate random threads, and start others', false)
  .option('--onoff', 'threads take their CPUs offline, and join again', false)
  .addOption(
    new Option('--fanout <number>', 'children of a node of the tree of grace periods')
      .argParser(parseInteger(2, 32))
      .default(DEFAULTS.fanout),
  )
  .addOption(
    new Option('--seed <number>', 'of the random choices (default: another one each time)').argParser(
      parseInteger(0, 2 ** 31 - 1),
    ),
  )
  .option('--json', 'print JSON', false)
  .action(async ({ seconds, seed = Math.floor(Math.random() * 2 ** 31), ...flags }: TortureFlags) => {
    const ended = new AbortController()
    process.once('SIGINT', () => {
      ended.abort()
    })
    const { signal } = ended
    const { torture, tortureWalking } = await import('./commands/torture.js')
    if (flags.walk) {
      const isGood = await tortureWalking({
        ...flags,
        milliseconds: seconds,
        seed,
        output: process.stdout,
        signal,
      })
      process.exitCode = isGood ? 0 : 1
      return
    }
    const isGood = await torture({ ...flags, milliseconds: seconds, seed, output: process.stdout, signal })
    process.exitCode = isGood ? 0 : 1
  })

function threads(flags: string, description: string, value: number, least = 1): Option {
  return new Option(flags, description).argParser(parseInteger(least, MAX_THREADS)).default(value)
}

function addPath(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), parsePath(text)]
}

function addText(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text]
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** Exit codes: 0 done, 1 it could not be done, 2 it was asked for wrongly. */
async function run(): Promise<void> {
  try {
    await program.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed its message; help and version come here too.
      process.exitCode = error.exitCode === 0 ? 0 : 2
      return
    }
    process.exitCode = error instanceof UsageError ? 2 : 1
    const expected = error instanceof PercpuError || (error instanceof Error && 'code' in error)
    const text =
      error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error)
    const isPortInUse =
      error instanceof Error && 'port' in error && 'code' in error && error.code === 'EADDRINUSE'
    process.stderr.write(`percpu: ${text}${isPortInUse ? '; choose another one with --port' : ''}\n`)
  }
}

await run()
