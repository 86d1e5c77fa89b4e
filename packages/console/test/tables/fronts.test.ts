/**
 * Threads that accept connections themselves. Where several can listen on one port there are two;
 * elsewhere one, and the same tests run once more in a Node that can.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import test, { type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { boot } from 'percpu'
import { canSharePort, Fronts, History, metricsText, Table, TableMetrics, Writer } from 'percpu-console'
import { pino } from 'pino'
import { missing } from '../helpers/programs.js'
import { ask, ndjson } from '../helpers/tables.js'

const COUNT = canSharePort() ? 2 : 1
const TOKEN = 'a token of the test'.replaceAll(' ', '-')
const OTHER_NODE = fileURLToPath(
  new URL('../../../../runtimes/node_modules/node24/bin/node', import.meta.url),
)

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
  const fronts = await Fronts.start({
    ...{ machine, tables, logger, changes: writer, feed: history },
    count: COUNT,
    port: 0,
    setup: {
      host: '127.0.0.1',
      specs: [...tables.values()].map(({ spec }) => spec),
      token: TOKEN,
      history: 2 ** 20,
      bodyLimit: 2 ** 24,
      timeoutMilliseconds: 30_000,
      logLevel: 'silent',
    },
    sequence: () => history.last,
    health: () => ({ isAlive: true, body: { workers: fronts.listening } }),
    exposition: async (collected) => metricsText([await metrics.collected(), ...collected]),
    onFailed: (error) => assert.fail(error),
  })
  t.after(async () => {
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
  'several threads listen on one port, in a Node that can',
  {
    skip: canSharePort() ? 'this is one' : missing(OTHER_NODE, 'npm ci --prefix runtimes'),
  },
  async () => {
    const args = ['--test-reporter=tap', fileURLToPath(import.meta.url)]
    const { NODE_TEST_CONTEXT: _context, ...env } = process.env
    const { stdout } = await promisify(execFile)(OTHER_NODE, args, { env })
    assert.match(stdout, /^# pass 2$/m)
    assert.match(stdout, /^# fail 0$/m)
  },
)
