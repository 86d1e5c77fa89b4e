/** Live tables over HTTP, beside a Map in a server of Node's, and redis by its own protocol. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Absent, type Effort, type Measure, type Row, type Suite } from './harness/suite.js'
import { command, CONNECTIONS, load, Server, type Load } from './server-process.js'

const ROWS = 200_000
const PATH = '/tables/t/key-123456'
/** A Node in which several threads can listen on one port. */
const OTHER_NODE = fileURLToPath(new URL('../../runtimes/node_modules/node24/bin/node', import.meta.url))
const mapServer = fileURLToPath(new URL('./tables-map-server.js', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'percpu-tables-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const rows = join(folder, 't.ndjson')
writeFileSync(
  rows,
  Array.from(
    { length: ROWS },
    (_, i) => `${JSON.stringify({ key: `key-${i}`, name: `name of ${i}`, price: i / 100 })}\n`,
  ).join(''),
)

/** A server that runs from its first use to the end of the process. */
class Lazy {
  readonly #start: () => Server
  #server: Promise<Server> | undefined

  constructor(start: () => Server) {
    this.#start = start
  }
  get(): Promise<Server> {
    return (this.#server ??= this.#begin())
  }
  async close(): Promise<void> {
    const server = await this.#server
    await server?.close()
    this.#server = undefined
  }
  async #begin(): Promise<Server> {
    const server = this.#start()
    process.once('exit', () => server.child.kill('SIGKILL'))
    await server.ready()
    return server
  }
}

const serve =
  (workers: number, more: readonly string[] = [], node?: string) =>
  () => {
    if (node !== undefined && !existsSync(node)) throw new Absent('no Node 24 here: npm ci --prefix runtimes')
    const args = [
      'serve',
      rows,
      '--key',
      'key',
      '--port',
      '0',
      '--workers',
      String(workers),
      '--no-watch',
      ...more,
    ]
    return new Server([command, ...args], node)
  }
const one = new Lazy(serve(1))
const two = new Lazy(serve(2, [], OTHER_NODE))
const map = new Lazy(() => new Server([mapServer, rows, '1']))

/** Redis, and what its own load generator says of it. */
class Redis {
  readonly #directory = mkdtempSync(join(folder, 'redis-'))
  readonly #more: readonly string[]
  #server: ChildProcess | undefined

  constructor(more: readonly string[]) {
    this.#more = more
  }
  async load(test: 'get' | 'set', { roundTime }: Effort): Promise<Load> {
    await this.#open()
    const socket = join(this.#directory, 'socket')
    const requests = Math.round(roundTime * (test === 'get' ? 20_000 : 500))
    const args = [
      '-s',
      socket,
      '-c',
      String(CONNECTIONS),
      '-n',
      String(requests),
      '-t',
      test,
      '-d',
      '50',
      '--csv',
    ]
    const { stdout } = await promisify(execFile)('redis-benchmark', args)
    const [names = [], values = []] = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(',').map((cell) => cell.replaceAll('"', '')))
    const value = (name: string) => Number(values[names.indexOf(name)])
    return { rate: value('rps'), usual: value('p50_latency_ms'), late: value('p99_latency_ms') }
  }
  async #open(): Promise<void> {
    if (this.#server !== undefined) return
    const args = ['--port', '0', '--unixsocket', join(this.#directory, 'socket'), '--save', '', ...this.#more]
    const server = spawn('redis-server', args, { stdio: 'ignore', cwd: this.#directory })
    const failed = once(server, 'error').then(() => true)
    if (await Promise.race([failed, once(server, 'spawn').then(() => false)]))
      throw new Absent('no redis-server here')
    this.#server = server
    process.once('exit', () => server.kill('SIGKILL'))
    while (!existsSync(join(this.#directory, 'socket'))) await sleep(10)
  }
  async close(): Promise<void> {
    if (this.#server === undefined) return
    this.#server.kill()
    await once(this.#server, 'exit')
    this.#server = undefined
  }
}
const redis = new Redis(['--appendonly', 'no'])
const redisKept = new Redis(['--appendonly', 'yes', '--appendfsync', 'always'])

type Figure = keyof Load
type MeasureLoad = (effort: Effort) => Promise<Load>

/** One run gives all figures: the suites of the others show what it has found, round by round. */
class Recorded {
  readonly #loads: Load[] = []
  readonly #shown = new Map<Figure, number>()
  readonly #measure: MeasureLoad

  constructor(measure: MeasureLoad) {
    this.#measure = measure
  }
  figure(name: Figure): Measure {
    return async (effort) => {
      const at = this.#shown.get(name) ?? 0
      this.#shown.set(name, at + 1)
      const found = (this.#loads[at] ??= await this.#measure(effort))
      return found[name]
    }
  }
}
const http = (server: Lazy) =>
  new Recorded(async (effort) => load(`${(await server.get()).url}${PATH}`, effort))
const readers = {
  one: http(one),
  two: http(two),
  map: http(map),
  redis: new Recorded((effort) => redis.load('get', effort)),
}
const MAP = 'a Map in a server of node:http'

function reading(figure: Figure, title: string, unit: string, take: Suite['take']): Suite {
  return {
    title,
    unit,
    ...(take === undefined ? {} : { take }),
    note:
      `${ROWS.toLocaleString('en')} rows, ${CONNECTIONS} connections kept alive, on the same computer: wrk with one thread ` +
      'for HTTP. Redis is asked by its own protocol, through a Unix socket, by redis-benchmark.',
    rows: [
      {
        name: 'percpu serve, one thread',
        role: 'ours',
        compareWith: MAP,
        measure: readers.one.figure(figure),
      },
      {
        name: 'percpu serve, 2 threads, Node 24',
        role: 'ours',
        compareWith: MAP,
        measure: readers.two.figure(figure),
      },
      { name: MAP, role: 'peer', measure: readers.map.figure(figure) },
      { name: 'redis, GET', role: 'peer', measure: readers.redis.figure(figure) },
    ],
  }
}

const TOKEN = 'a-token-of-the-benchmark'
const tokenFile = join(folder, 'token')
writeFileSync(tokenFile, TOKEN)
const script = join(folder, 'put.lua')
writeFileSync(
  script,
  `wrk.method = "PUT"
wrk.body = '{"name":"another name","price":12.5,"more":"12345"}'
wrk.headers["authorization"] = "Bearer ${TOKEN}"
local i = 0
request = function() i = i + 1; return wrk.format(nil, "/tables/t/key-" .. (i % 10000)) end`,
)
const kept = new Lazy(serve(1, ['--data', join(folder, 'kept'), '--token-file', tokenFile]))
const relaxed = new Lazy(
  serve(1, ['--data', join(folder, 'relaxed'), '--token-file', tokenFile, '--sync', '1']),
)
const writing = (server: Lazy) =>
  new Recorded(async (effort) => load((await server.get()).url, effort, ['-s', script]))
const writers = {
  kept: writing(kept),
  relaxed: writing(relaxed),
  redis: new Recorded((effort) => redisKept.load('set', effort)),
}

function changing(figure: Figure, title: string, unit: string, take: Suite['take']): Suite {
  const REDIS = 'redis, SET, appendfsync always'
  return {
    title,
    unit,
    ...(take === undefined ? {} : { take }),
    note: 'Values of 50 bytes; each answer is given when the change is on the disk, but for the second row.',
    rows: [
      { name: 'percpu serve, PUT', role: 'ours', compareWith: REDIS, measure: writers.kept.figure(figure) },
      {
        name: 'percpu serve, PUT, synced each second',
        role: 'ours',
        compareWith: REDIS,
        measure: writers.relaxed.figure(figure),
      },
      { name: REDIS, role: 'peer', measure: writers.redis.figure(figure) },
    ],
  }
}

// -------------------------------------------------------------------------------------------------
// Memory.

/** Resident sets of a process and its children, in MiB. */
function residentSet(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const own = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return (
    own +
    children
      .split(' ')
      .filter(Boolean)
      .reduce((sum, child) => sum + residentSet(Number(child)), 0)
  )
}
/** Of a server that has answered a while. Measured once: it hardly changes. */
function memoryOf(start: () => Server): Measure {
  let result: Promise<number> | undefined
  const measure = async (effort: Effort) => {
    const server = start()
    try {
      await server.ready()
      await load(`${server.url}${PATH}`, effort)
      return residentSet(server.child.pid ?? 0)
    } finally {
      await server.close()
    }
  }
  return (effort) => (result ??= measure(effort))
}
const memory: Suite = {
  title: `memory of a service of ${ROWS.toLocaleString('en')} rows, under load`,
  unit: 'MiB',
  take: 'median',
  note: 'Resident sets of all processes. Several threads or processes accept connections; Node 24.',
  rows: [1, 2, 4].flatMap((count): Row[] => {
    const other = `a Map each, ${count} process${count === 1 ? '' : 'es'}`
    return [
      {
        name: `percpu serve, ${count} thread${count === 1 ? '' : 's'}`,
        role: 'ours',
        compareWith: other,
        measure: memoryOf(serve(count, [], OTHER_NODE)),
      },
      { name: other, role: 'peer', measure: memoryOf(() => new Server([mapServer, rows, String(count)])) },
    ]
  }),
  tearDown: async () => {
    for (const server of [one, two, map, kept, relaxed, redis, redisKept]) await server.close()
  },
}

export const suites: readonly Suite[] = [
  reading('rate', 'GET of one key', 'requests/s', 'highest'),
  reading('usual', 'GET of one key: half are answered within', 'ms', 'median'),
  reading('late', 'GET of one key: 99 of 100 are answered within', 'ms', 'median'),
  changing('rate', 'changes that are kept', 'requests/s', 'highest'),
  changing('late', 'changes that are kept: 99 of 100 are answered within', 'ms', 'median'),
  memory,
]
