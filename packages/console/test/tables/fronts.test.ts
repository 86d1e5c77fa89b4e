/**
 * Threads that accept connections themselves. Where several can listen on one port there are two;
 * elsewhere one, and the same tests run once more in a Node that can.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import http from 'node:http'
import path from 'node:path'
import test, { type TestContext } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { boot } from 'percpu'
import {
  canSharePort,
  History,
  Table,
  tableFronts,
  TableMetrics,
  ThreadWatch,
  Token,
  Writer,
} from 'percpu-console'
import { pino } from 'pino'
import { isSabotaged, NEWER_NODE, NEWER_NODE_FROM, runAgain } from '../helpers/again.js'
import { missing } from '../helpers/programs.js'
import { sabotagePath } from '../helpers/sabotage.js'
import { assertReplaced } from '../helpers/service.js'
import { ask, ndjson, testTables } from '../helpers/tables.js'

const COUNT = canSharePort() ? 2 : 1
/** Milliseconds. */
const PATIENCE = 5000
const TOKEN = 'a token of the test'.replaceAll(' ', '-')

async function open(t: TestContext) {
  const machine = boot({ memory: '64 MiB', cpus: 8 })
  const tables = new Map([['t', new Table(machine, { name: 't', keys: 'text', isRange: false })]])
  const logger = pino({ level: 'silent' })
  const history = new History(2 ** 20)
  const writer: Writer = new Writer({
    ...{ history, log: undefined, logger },
    reserve: () => Promise.resolve(() => undefined),
    relieve: () => Promise.resolve(),
    onMade: (table, count) => metrics.writes.inc({ table: table.name }, count),
    onBroken: (error) => assert.fail(error),
  })
  const metrics = new TableMetrics({
    ...{ machine, tables },
    sequence: () => history.last,
    waiting: () => writer.waiting,
    clients: () => 0,
    logBytes: () => 0,
  })
  const fronts: ReturnType<typeof tableFronts> = tableFronts({
    ...{ machine, tables, logger, metrics, changes: writer, feed: history },
    workers: COUNT,
    host: '127.0.0.1',
    port: 0,
    token: new Token(TOKEN, false),
    historyBytes: 2 ** 20,
    bodyLimit: 2 ** 24,
    timeoutMilliseconds: 30_000,
    sequence: () => history.last,
    health: () => ({ isAlive: true, body: { workers: fronts.listening } }),
    onFailed: (error) => assert.fail(error),
  })
  const watch = new ThreadWatch(machine, PATIENCE, logger)
  watch.add(fronts)
  await fronts.start()
  t.after(async () => {
    watch.stop()
    await fronts.close()
    await machine.offline()
  })
  const url = `http://127.0.0.1:${fronts.port}`
  return {
    ...{ fronts, history, machine, url },
    ask: (method: string, path: string, body?: string, token = TOKEN) => ask(url, token, method, path, body),
  }
}

test('a change by any thread is read by all, told to followers, and counted', async (t) => {
  const { ask, fronts, history, url } = await open(t)
  assert.equal(fronts.listening, COUNT)
  const events: string[] = []
  const following = http.get(`${url}/changes`)
  t.after(() => following.destroy())
  const [response] = (await once(following, 'response')) as [http.IncomingMessage]
  response.setEncoding('utf8').on('data', (text: string) => events.push(text))
  while (!events.join('').includes('event: open')) await once(response, 'data')
  for (let i = 0; i < 20; i++) {
    assert.equal((await ask('PUT', `/tables/t/k${i}`, String(i))).status, 201)
    assert.equal((await ask('GET', `/tables/t/k${i}`)).text, String(i))
  }
  const batch = await ask(
    'POST',
    '/tables/t?atomic',
    ndjson([
      { key: 'k0', delete: true },
      { key: 'k1', value: 'new' },
    ]),
  )
  assert.equal(batch.status, 200)
  assert.equal((await ask('PUT', '/tables/t/k1', '1', 'wrong')).status, 401)
  assert.equal((await ask('PUT', '/tables/t/k1', '{')).status, 400)
  assert.equal((await ask('GET', '/tables')).text.includes(`"sequence":${history.last}`), true)
  assert.deepEqual((await ask('GET', '/health')).json, { workers: COUNT })
  while (!events.join('').includes(`id: ${history.last}\n`)) await once(response, 'data')
  assert.equal(events.join('').match(/^event: (set|delete)$/gm)?.length, 22)
  const { text } = await ask('GET', '/metrics')
  assert.match(text, /^percpu_change_streams 1$/m)
  assert.match(text, /^percpu_table_reads_total\{table="t",result="found"\} 20$/m)
  assert.match(text, /^percpu_table_writes_total\{table="t"\} 22$/m)
  assert.match(text, /^percpu_table_entries\{table="t"\} 19$/m)
  response.destroy()
  while (!(await ask('GET', '/metrics')).text.includes('\npercpu_change_streams 0\n'));
})

test('a thread that ends is replaced, and requests to the others do not notice', async (t) => {
  const { ask, fronts, machine, url } = await open(t)
  await ask('PUT', '/tables/t/a', '1')
  // Connections that are kept, more than enough that each thread has some.
  const agents = Array.from({ length: 24 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }))
  t.after(() => agents.forEach((agent) => agent.destroy()))
  const read = (agent: http.Agent) =>
    new Promise<number | undefined>((resolve, reject) => {
      const request = http.get(`${url}/tables/t/a`, { agent }, (response) => {
        response.resume().once('end', () => resolve(response.statusCode))
      })
      request.once('error', reject)
    })
  await Promise.all(agents.map(read))
  const [victim] = fronts.threads
  let isOver = false
  const outcomes = agents.map(async (agent) => {
    // Once an agent's connection breaks, it has been one to the thread that ended.
    let failures = 0
    while (!isOver || failures > 0) {
      try {
        assert.equal(await read(agent), 200)
        if (isOver) break
      } catch (error) {
        if (!(error instanceof Error && 'code' in error)) throw error
        failures++
        await new Promise((resolve) => setTimeout(resolve, 5))
        if (isOver) break
      }
    }
    return failures
  })
  await victim?.terminate()
  while (fronts.listening < COUNT || fronts.threads[0] === victim)
    await new Promise((resolve) => setTimeout(resolve, 5))
  isOver = true
  const failed = (await Promise.all(outcomes)).filter((failures) => failures > 0).length
  if (COUNT > 1)
    assert.ok(failed > 0 && failed < agents.length, `${failed} of ${agents.length} connections broke`)
  assert.equal((await ask('PUT', '/tables/t/a', '2')).status, 200)
  assert.equal(await read(agents[0] as http.Agent).catch(() => read(agents[0] as http.Agent)), 200)
  assert.equal(machine.online.length, COUNT + 1)
})

test(
  'a thread in an endless loop is told, ended and replaced, and others answer meanwhile',
  { skip: isSabotaged && canSharePort() ? false : 'it is part of the last test' },
  async (t) => {
    const { service, folder, ask, log } = await testTables(t, { workers: 3, patienceMilliseconds: 1500 })
    const marker = path.join(folder, 'marker')
    await writeFile(marker, '')
    const wanted = { listening: 3, wanted: 3 }
    const workers = async () => ((await ask('GET', '/health')).json as { workers: unknown }).workers
    assert.deepEqual(await workers(), wanted)
    const stuck = http.get(`${service.url}/tables/${sabotagePath('stick once', marker)}`, { agent: false })
    await assert.rejects(once(stuck, 'response'), { code: 'ECONNRESET' })
    assertReplaced(log)
    while (!isDeepStrictEqual(await workers(), wanted));
    assert.equal((await ask('PUT', '/tables/users/new', '1')).status, 201)
    for (let i = 0; i < 20; i++) assert.equal((await ask('GET', '/tables/users/new')).text, '1')
    assert.ok(
      log.some(({ msg }) => msg === 'a thread that answers requests ended; another one takes its place'),
    )
  },
)

test(
  'several threads listen on one port, in a Node that can',
  { skip: isSabotaged ? 'this is it' : missing(NEWER_NODE, NEWER_NODE_FROM) },
  async () => {
    assert.deepEqual(await runAgain(NEWER_NODE, import.meta.url), { passed: 3, failed: [] })
  },
)
