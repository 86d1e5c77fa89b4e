/** `percpu torture`: grace periods under load, and the verdict. */
import { createLogUpdate } from 'log-update'
import { REAL, type FlavourName, type TortureOptions } from '../torture/options.js'
import { progressLine, report } from '../torture/report.js'
import { torture as run } from '../torture/run.js'
import { UsageError } from '../errors.js'
import { COMMON } from '../torture/walk/board.js'
import { reportWalks } from '../torture/walk/report.js'
import { tortureWalks } from '../torture/walk/run.js'
import type { TortureResult } from '../torture/verdict.js'

export interface TortureCommand extends Omit<TortureOptions, 'flavour'> {
  /** `all`: those of the library, one after the other. */
  readonly flavour: FlavourName | 'all'
  readonly json: boolean
  readonly output: NodeJS.WritableStream
  readonly signal?: AbortSignal | undefined
}

/**
 * Prints the verdict. Returns whether all went well.
 *
 * @throws UsageError for options that contradict each other.
 */
export async function torture({
  flavour,
  json,
  output,
  signal,
  ...options
}: TortureCommand): Promise<boolean> {
  const update = process.stderr.isTTY ? createLogUpdate(process.stderr) : undefined
  const results: TortureResult[] = []
  const tortured =
    flavour === 'all' ? REAL.map((name) => optionsOf(name, options)) : [{ ...options, flavour }]
  for (const each of tortured) {
    if (signal?.aborted) break
    const result = await run(each, {
      signal,
      progress: (counted) => update?.(progressLine(each.flavour, counted)),
    })
    update?.clear()
    results.push(result)
    if (!json) output.write(report(result))
  }
  const verdict = results.every((result) => result.verdict === 'SUCCESS') ? 'SUCCESS' : 'FAILURE'
  if (json) output.write(`${JSON.stringify({ verdict, runs: results })}\n`)
  else if (results.length > 1) output.write(`${verdict}\n`)
  return verdict === 'SUCCESS'
}

export interface WalkCommand {
  readonly milliseconds: number
  readonly readers: number
  readonly writers: number
  readonly kill: boolean
  /** Refused: they are of the other torture. */
  readonly onoff: boolean
  readonly flavour: string
  readonly seed: number
  readonly json: boolean
  readonly output: NodeJS.WritableStream
  readonly signal?: AbortSignal | undefined
}
/** Prints the verdict on walks. Returns whether all went well. @throws UsageError. */
export async function tortureWalking({ json, output, signal, ...flags }: WalkCommand): Promise<boolean> {
  const { milliseconds, readers, writers, kill, seed } = flags
  if (flags.onoff || flags.flavour !== 'all')
    throw new UsageError('--walk takes no --flavour, and no --onoff', { option: '--walk' })
  if (writers > COMMON)
    throw new UsageError(`--writers ${writers}: at most ${COMMON} threads map in one space`, {
      writers,
      limit: COMMON,
    })
  const result = await tortureWalks({ milliseconds, readers, writers, kill, seed }, signal)
  output.write(json ? `${JSON.stringify(result)}\n` : reportWalks(result))
  return result.verdict === 'SUCCESS'
}

/** A machine of one CPU has nobody to kill, and cannot lose its only CPU. */
function optionsOf(flavour: FlavourName, options: Omit<TortureOptions, 'flavour'>): TortureOptions {
  return flavour === 'tiny' ? { ...options, flavour, kill: false, onoff: false } : { ...options, flavour }
}
