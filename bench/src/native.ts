/**
 * Programs in C that measure what exists outside of JavaScript. They are built with the system's
 * compiler when they are first run; where it or a library is missing, their rows are absent.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Absent } from './harness/suite.js'

const run = promisify(execFile)
const sources = fileURLToPath(new URL('../native/', import.meta.url))

let directory: string | undefined
function builtDirectory(): string {
  if (directory === undefined) {
    mkdirSync(tmpdir(), { recursive: true })
    const made = (directory = mkdtempSync(join(tmpdir(), 'percpu-native-')))
    process.once('exit', () => rmSync(made, { recursive: true, force: true }))
  }
  return directory
}

/** A flavour of Userspace RCU. */
export type UrcuFlavour = 'memb' | 'mb' | 'bp'

const programs = new Map<UrcuFlavour, Promise<string>>()

/**
 * Runs bench/native/liburcu.c with these arguments, and returns the number that it prints.
 *
 * @throws Absent if it cannot be built.
 */
export async function runUrcu(flavour: UrcuFlavour, ...args: readonly string[]): Promise<number> {
  const program = programs.get(flavour) ?? buildUrcu(flavour)
  programs.set(flavour, program)
  const { stdout } = await run(await program, args)
  const value = Number(stdout)
  if (!(value > 0)) throw new Error(`liburcu ${flavour} ${args.join(' ')} printed ${stdout}`)
  return value
}

function buildUrcu(flavour: UrcuFlavour): Promise<string> {
  const how = flavour === 'memb' ? 'RCU_MEMBARRIER' : flavour === 'mb' ? 'RCU_MB' : 'RCU_BP'
  return build('liburcu.c', `liburcu-${flavour}`, [`-D${how}`, `-lurcu-${flavour}`])
}

let rculfhash: Promise<string> | undefined
/**
 * Runs bench/native/rculfhash.c with these arguments, and returns the number that it prints.
 *
 * @throws Absent if it cannot be built.
 */
export async function runRculfhash(count: number, milliseconds: number): Promise<number> {
  rculfhash ??= build('rculfhash.c', 'rculfhash', ['-DRCU_MEMBARRIER', '-lurcu-memb', '-lurcu-cds'])
  const { stdout } = await run(await rculfhash, [String(count), String(milliseconds)])
  const value = Number(stdout)
  if (!(value > 0)) throw new Error(`rculfhash ${count} printed ${stdout}`)
  return value
}

async function build(source: string, name: string, flags: readonly string[]): Promise<string> {
  const program = join(builtDirectory(), name)
  const defines = flags.filter((flag) => flag.startsWith('-D'))
  const libraries = flags.filter((flag) => flag.startsWith('-l'))
  try {
    await run('cc', ['-O2', ...defines, join(sources, source), '-o', program, ...libraries, '-lpthread'])
  } catch (error) {
    throw new Absent(reasonOf(error))
  }
  return program
}

function reasonOf(error: unknown): string {
  const { code, stderr = '' } = error as { code?: unknown; stderr?: string }
  if (code === 'ENOENT') return 'no C compiler (cc)'
  if (/urcu(-\w+)?\.h|-lurcu/.test(stderr)) return 'no liburcu (the package liburcu-dev)'
  return `cc failed: ${stderr.split('\n')[0] ?? ''}`
}
