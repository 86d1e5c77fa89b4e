import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { Service, type ServiceOptions, type TableFiles } from 'percpu-console'
import { smallTables, temporaryFolder, writeTables } from './files.js'

export interface TestService {
  readonly service: Service
  readonly files: TableFiles
  readonly url: string
  /** Lines of the log so far, parsed. */
  readonly log: readonly LogLine[]
}
export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

/** A service in this process, with the first of the small tables, closed after the test. */
export async function testService(
  t: Pick<TestContext, 'after'>,
  options: Partial<ServiceOptions> = {},
): Promise<TestService> {
  const { ipv4, ipv6 } = smallTables.one
  const files = await writeTables(await temporaryFolder(t), ipv4, ipv6)
  const log: LogLine[] = []
  const logger = pino({ level: 'debug' }, { write: (line) => log.push(JSON.parse(line) as LogLine) })
  const service = await Service.start({
    host: '127.0.0.1',
    port: 0,
    workers: 2,
    files,
    memory: '64 MiB',
    bodyLimit: 64 * 2 ** 20,
    timeoutMilliseconds: 30_000,
    watch: false,
    logger,
    ...options,
  })
  t.after(() => service.close())
  return { service, files, url: service.url, log }
}

export async function writeSmallTable(files: TableFiles, name: keyof typeof smallTables): Promise<void> {
  await writeFile(files.ipv6, smallTables[name].ipv6)
  await writeFile(files.ipv4, smallTables[name].ipv4)
}

/** The value of a metric, by its name and labels as they stand in the exposition. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  return line === undefined ? 0 : Number(line.slice(name.length + 1))
}

/** Asks again until the metric has the value; the test's own time limit is the only one. */
export async function untilMetric(url: string, name: string, value: number): Promise<void> {
  while ((await metric(url, name)) !== value);
}
/** As {@link untilMetric}, of a number that only grows, and may have grown further. */
export async function untilMetricReaches(url: string, name: string, value: number): Promise<void> {
  while ((await metric(url, name)) < value);
}

/**
 * A thread that accepts connections was told to be stuck, and then replaced. Of others, and of its
 * end, the log may tell before, between and behind: it depends on what this thread notices first.
 */
export function assertReplaced(log: readonly LogLine[]): void {
  const replaced = log.find(({ msg }) => msg === 'a thread that answers requests stays stuck: it is replaced')
  const own = log.filter(({ front }) => front !== undefined && front === replaced?.['front'])
  const before = own[own.findIndex((line) => line === replaced) - 1]
  assert.equal(before?.msg, 'a thread is stuck', JSON.stringify(log))
}
