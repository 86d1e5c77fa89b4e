/** The `percpu-lab` command. Exit codes: 0 no failure, 1 a failure, 2 wrong usage. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { toSent } from './outcome.js'
import { runProgram } from './program.js'
import type { Request } from './request.js'
import { runShards, ShardError } from './shards.js'
import { tableOf, type Row } from './table.js'

interface Flags {
  readonly mode?: 'exhaustive' | 'enumerate' | 'pct' | 'random'
  readonly preemptions?: number
  readonly seed?: number
  readonly executions?: number
  readonly replay?: string
  readonly only?: string
  readonly report?: string
  readonly instrument: readonly string[]
  readonly jobs: number
}

const whole =
  (least: number, most: number) =>
  (text: string): number => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= least && number <= most) return number
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`)
  }
const many = 2 ** 31 - 1

const program = new Command('percpu-lab')
  .description('Runs the explorations in JavaScript modules: every interleaving of code on shared memory')
  .version(version(), '-V, --version', 'print the version')
  .showSuggestionAfterError()
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(`percpu-lab: ${text.replace(/^error: /, '')}`) })
  .argument('<files...>', 'modules that call explore()')
  .addOption(
    new Option('--mode <mode>', 'how to search, in place of what the files say').choices([
      'exhaustive',
      'enumerate',
      'pct',
      'random',
    ]),
  )
  .addOption(
    new Option('--preemptions <number>', 'explore executions with at most so many').argParser(whole(0, 100)),
  )
  .addOption(new Option('--seed <number>', 'for the modes pct and random').argParser(whole(0, many)))
  .addOption(new Option('--executions <number>', 'at most so many').argParser(whole(1, many)))
  .option(
    '--replay <schedule>',
    'run one execution of the first exploration, or of the one that --only names',
  )
  .option('--only <name>', 'only explorations whose name contains it; the others give an empty report')
  .addOption(
    new Option('--jobs <number>', 'processes that share each search').argParser(whole(1, 64)).default(1),
  )
  .option('--report <folder>', 'where the pages of failures go')
  .option(
    '--instrument <path>',
    'a file of foreign code, or a folder (ending in a slash), to be explored too; may be given again',
    (path: string, before: readonly string[]) => [...before, path],
    [],
  )
  .action(async (files: string[], flags: Flags) => {
    process.exitCode = await run(requestOf(files, flags), flags.jobs)
  })

function requestOf(files: readonly string[], flags: Flags): Request {
  const urls = flags.instrument.filter((path) => path.startsWith('file:'))
  const missing = [...files, ...flags.instrument].find((file) => !urls.includes(file) && !existsSync(file))
  if (missing !== undefined) program.error(`there is no file ${missing}`)
  const { only, instrument, mode, preemptions, seed, executions, replay, report } = flags
  const given = Object.entries({ mode, preemptions, seed, executions, replay, report })
  return {
    files: files.map((file) => path.resolve(file)),
    names: files,
    override: Object.fromEntries(given.filter(([, value]) => value !== undefined)),
    only,
    instrument,
  }
}

async function run(request: Request, jobs: number): Promise<number> {
  const rows: Row[] = []
  const errors = jobs === 1 ? await runHere(request, rows) : await runApart(request, jobs, rows)
  for (const error of errors) process.stdout.write(`${error}\n\n`)
  if (rows.length > 0) process.stdout.write(`${tableOf(rows)}\n`)
  else if (errors.length === 0) process.stderr.write(`percpu-lab: ${whyNothing(request)}\n`)
  return errors.length > 0 || rows.length === 0 ? 1 : Number(process.exitCode ?? 0)
}

function whyNothing({ only }: Request): string {
  return only === undefined
    ? 'the files explore nothing'
    : `the files explore nothing whose name contains ${JSON.stringify(only)}`
}

function runHere(request: Request, rows: Row[]): Promise<readonly string[]> {
  return runProgram(request, {
    stopped: () => false,
    ended(name, outcome) {
      rows.push({ name, outcome: toSent(outcome) })
      return Promise.resolve(outcome)
    },
  })
}

async function runApart(request: Request, jobs: number, rows: Row[]): Promise<readonly string[]> {
  try {
    return await runShards(request, jobs, (name, outcome) => void rows.push({ name, outcome }))
  } catch (error) {
    if (error instanceof ShardError) return [error.message]
    throw error
  }
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

try {
  await program.parseAsync()
} catch (error) {
  // Commander has printed its message. The options --help and --version end here, too.
  if (!(error instanceof CommanderError)) throw error
  process.exitCode = error.exitCode === 0 ? 0 : 2
}
