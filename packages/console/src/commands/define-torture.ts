/** `percpu torture`: its options and their defaults. */
import { Option, type Command } from 'commander'
import { DEFAULTS, FLAVOURS, MAX_THREADS, type FlavourName } from '../torture/options.js'
import { parseInteger, parseSeconds } from './values.js'

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

export function addTortureCommand(program: Command): void {
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
      const { torture, tortureWalking } = await import('./torture.js')
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
}

function threads(flags: string, description: string, value: number, least = 1): Option {
  return new Option(flags, description).argParser(parseInteger(least, MAX_THREADS)).default(value)
}
