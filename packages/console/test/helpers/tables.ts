/** A service of tables in this process, and requests to it. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import { TableService, tableSources, type RowFormat, type TableServiceOptions } from 'percpu-console'
import { temporaryFolder } from './files.js'
import type { LogLine } from './service.js'

export const CSV_FORMAT: RowFormat = {
  columns: undefined,
  separator: ',',
  header: false,
  encoding: 'utf8',
  multiline: false,
  skipBad: 0,
}

export interface TestTables {
  readonly service: TableService
  readonly folder: string
  readonly token: string
  readonly log: readonly LogLine[]
  /** Asks; with the token unless told otherwise. */
  readonly ask: (
    method: string,
    path: string,
    body?: string,
    headers?: Record<string, string>,
  ) => Promise<Answered>
}
export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: unknown
}

export interface TestTablesOptions extends Partial<TableServiceOptions> {
  /** Files of the folder, by their names. */
  readonly files?: Readonly<Record<string, string>>
  readonly keys?: readonly string[]
  readonly ranges?: readonly string[]
  readonly format?: Partial<RowFormat>
}

export const USERS = 'id,name,city\nann,Ann,Paris\nbob,Bob,Rome\ncyd,Cyd,Oslo\n'
export const NETS =
  'from,to,owner\n10.0.0.0,10.0.0.255,lab\n10.0.2.0,10.0.3.255,office\n2001:db8::,2001:db8::ffff,six\n'

/** With tables `users` (keys) and `nets` (ranges of addresses). Closed after the test. */
export async function testTables(t: TestContext, options: TestTablesOptions = {}): Promise<TestTables> {
  const { files = { 'users.csv': USERS, 'nets.csv': NETS }, keys, ranges, format, ...more } = options
  const folder = await temporaryFolder(t)
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const isUsual = options.files === undefined
  const sources = tableSources(
    Object.keys(files).map((name) => join(folder, name)),
    keys ?? (isUsual ? ['users:id'] : []),
    ranges ?? (isUsual ? ['nets:from,to'] : []),
    { ...CSV_FORMAT, ...format },
  )
  return startTables(t, folder, { sources, ...more })
}

export async function startTables(
  t: TestContext,
  folder: string,
  options: Partial<TableServiceOptions> & Pick<TableServiceOptions, 'sources'>,
): Promise<TestTables> {
  const log: LogLine[] = []
  const logger = pino({ level: 'debug' }, { write: (line) => log.push(JSON.parse(line) as LogLine) })
  const tokenFile = join(folder, 'token')
  const service = await TableService.start({
    host: '127.0.0.1',
    port: 0,
    memory: '64 MiB',
    bodyLimit: 64 * 2 ** 20,
    timeoutMilliseconds: 30_000,
    watch: false,
    logger,
    tokenFile,
    ...options,
  })
  t.after(() => service.close())
  const token = (await readFile(options.tokenFile ?? tokenFile, 'utf8')).trim()
  return {
    ...{ service, folder, token, log },
    ask: (method, path, body, headers) => ask(service.url, token, method, path, body, headers),
  }
}

/** A request to a service. */
export async function ask(
  url: string,
  token: string,
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const response = await fetch(`${url}${path}`, {
    method,
    ...(body === undefined ? {} : { body }),
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
  })
  const text = await response.text()
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  return { status: response.status, headers: response.headers, text, json }
}

/** Lines of NDJSON. */
export function ndjson(values: readonly unknown[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('')
}
export function lines(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown)
}
