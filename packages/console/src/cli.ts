/**
 * The `percpu` command: options and their defaults. The work is done in commands/. Each is loaded
 * when it is run: what one needs, such as a server, takes the others a second.
 */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { PercpuError } from 'percpu/errors'
import { addServeCommand } from './commands/define-serve.js'
import { addTortureCommand } from './commands/define-torture.js'
import {
  addressRules,
  addTableOptions,
  tableFiles,
  tableFlags,
  type TableFlags,
} from './commands/table-options.js'
import {
  parseInteger,
  parsePath,
  parsePaths,
  parseSeconds,
  parseServer,
  parseSocket,
  parseTarget,
} from './commands/values.js'
import { UsageError } from './errors.js'
import type { InputFormat } from './lookup/stream.js'
import { TABLE_NAME } from './serve/settings.js'
import { MAX_EVERY, MIN_EVERY } from './inspect/protocol.js'

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

addServeCommand(program)

addTableOptions(
  program
    .command('lookup')
    .description('answer addresses from files or standard input, one a line, as NDJSON'),
)
  .argument('[files...]', 'files of addresses; - or none for standard input', parsePaths)
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

const logCommand = program
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
logCommand
  .command('drop')
  .description('take a table out of a data directory that no service uses, with all its changes')
  .argument('<directory>', 'the directory of `percpu serve --data`', parsePath)
  .argument('<table>', 'its name; the next start reads its file again')
  .action(async (directory: string, table: string) => {
    const { drop } = await import('./commands/log-drop.js')
    process.stdout.write(await drop(directory, table))
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

addTortureCommand(program)

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
