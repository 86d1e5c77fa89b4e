/** `percpu bench`: loads a service, and prints what it took. */
import { readFile } from 'node:fs/promises'
import Table from 'cli-table3'
import { measure, type Measurement } from '../bench/measure.js'
import { codeOf } from '../error-code.js'
import { FileError, UsageError } from '../errors.js'
import { bytesText } from '../maps/bytes.js'
import { duration } from '../top/render.js'
import { timeProgress } from './progress.js'

export interface BenchOptions {
  readonly url: string
  readonly connections: number
  readonly milliseconds: number
  readonly rate: number | undefined
  /** A file with a key a line. */
  readonly keys: string | undefined
  readonly json: boolean
  readonly output: NodeJS.WritableStream
  readonly signal: AbortSignal
}

const PERCENTILES = [50, 90, 99, 99.9, 99.99, 100] as const

/**
 * @returns whether any request was answered with success
 * @throws FileError if the keys cannot be read; UsageError for `{}` without keys, or the reverse;
 *   ServiceError if the service is not there
 */
export async function bench({ keys: file, json, output, ...options }: BenchOptions): Promise<boolean> {
  const hasPlace = options.url.includes('{}')
  if (hasPlace !== (file !== undefined))
    throw new UsageError(
      hasPlace ? 'the URL has {}: name a file of --keys' : '--keys needs {} in the URL, where keys come',
    )
  const keys = file === undefined ? [] : await readKeys(file)
  const progress = await timeProgress(options.milliseconds)
  const result = await measure({ ...options, keys, onProgress: progress.update }).finally(progress.stop)
  const summary = summaryOf(result, options)
  output.write(json ? `${JSON.stringify(summary)}\n` : text(summary))
  return summary.succeeded > 0
}

async function readKeys(file: string): Promise<string[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new FileError(`cannot read ${file}: ${codeOf(error) ?? String(error)}`, { file }, { cause: error })
  }
  const keys = text.split(/\r?\n/).filter((line) => line !== '')
  if (keys.length === 0) throw new FileError(`${file} has no key: write one a line`, { file })
  return keys
}

type Summary = ReturnType<typeof summaryOf>

/** Times in ms. */
function summaryOf(
  result: Measurement,
  { url, connections, rate }: Omit<BenchOptions, 'keys' | 'json' | 'output'>,
) {
  const { latency, statuses, errors, answered, bytes, unsent } = result
  const succeeded = Object.entries(statuses).reduce(
    (sum, [status, n]) => (status.startsWith('2') ? sum + n : sum),
    0,
  )
  const failed = Object.values(errors).reduce((sum, n) => sum + n, 0)
  const percentiles = PERCENTILES.map((each) => [`p${each}`, latency.percentile(each) / 1e6] as const)
  return {
    ...{ url, connections, rate, seconds: result.duration / 1000 },
    ...{ answered, succeeded, failed, unsent, statuses, errors, bytes },
    perSecond: answered / (result.duration / 1000),
    latency: answered === 0 ? undefined : { mean: latency.mean / 1e6, ...Object.fromEntries(percentiles) },
  }
}

function text({ url, connections, rate, seconds, perSecond, latency, ...counts }: Summary): string {
  const { answered, succeeded, failed, unsent, statuses, errors, bytes } = counts
  const pace =
    rate === undefined ? 'each asks again when it is answered' : `${rate} requests a second are due`
  const lines = [`${url}: ${connections} connections; ${pace}; ${seconds.toFixed(1)} s`]
  if (latency) {
    const table = new Table({ head: Object.keys(latency), style: { head: [], border: [], compact: true } })
    table.push(Object.values(latency).map(duration))
    lines.push(table.toString())
  }
  lines.push(`${answered} answers, ${Math.round(perSecond)} a second, ${bytesText(bytes)}`)
  if (succeeded < answered) lines.push(`by status: ${named(statuses)}`)
  if (failed > 0) lines.push(`not answered: ${named(errors)}`)
  if (unsent > 0) lines.push(`not sent: ${unsent} that were due, since no connection was free`)
  return `${lines.join('\n')}\n`
}
function named(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')
}
