/**
 * Threads that accept connections for addresses. Where several can listen on one port there are
 * two; elsewhere one. The tests that sabotage threads run in a process of their own, and all of
 * them once more in a Node in which several threads can listen.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import http from 'node:http'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { canSharePort, type ServiceOptions } from 'percpu-console'
import { isSabotaged, NEWER_NODE, NEWER_NODE_FROM, runAgain } from '../helpers/again.js'
import { missing } from '../helpers/programs.js'
import { sabotagePath, saboteur } from '../helpers/sabotage.js'
import { assertReplaced, metric, testService, untilMetric, writeSmallTable } from '../helpers/service.js'
import { temporaryFolder } from '../helpers/files.js'

const COUNT = canSharePort() ? 2 : 1
const WHOLE = { listening: COUNT, wanted: COUNT }

const open = (t: TestContext, options: Partial<ServiceOptions> = {}) =>
  testService(t, { fronts: COUNT, ...options })

async function listeners(url: string): Promise<unknown> {
  const { listeners: found } = (await (await fetch(`${url}/health`)).json()) as { listeners: unknown }
  return found
}

/** A request on a connection of its own. Resolves with the status. */
async function statusOf(url: string, agent: http.Agent | false = false): Promise<number | undefined> {
  const request = http.get(url, { agent })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  await once(response.resume(), 'end')
  return response.statusCode
}

function post(url: string, type: string, body: string): Promise<Response> {
  return fetch(`${url}/lookup`, { method: 'POST', body, headers: { 'content-type': type } })
}

test('they look up addresses, have batches answered, and all that is counted is added up', async (t) => {
  const { url, service } = await open(t, { attribution: ['somebody'] })
  assert.equal(service.app, undefined)
  assert.equal(service.machine.online.length, 1 + 2 + COUNT)
  for (let i = 0; i < 10; i++) {
    assert.equal(await statusOf(`${url}/lookup/1.1.1.1`), 200)
    assert.equal(await statusOf(`${url}/lookup/10.0.0.1`), 404)
    assert.equal(await statusOf(`${url}/lookup/x`), 400)
  }
  const lines = 100_000
  const answered = await (await post(url, 'text/plain', '1.1.1.1\n'.repeat(lines))).text()
  assert.equal(answered.length, lines * (answered.indexOf('\n') + 1))
  assert.match(answered, /^{"address":"1.1.1.1","range":.*"asn":13335,/)
  assert.equal((await post(url, 'application/json', '{"address":"1.1.1.1"}')).status, 400)
  const expected = {
    'percpu_lookups_total{path="single",result="found"}': 10,
    'percpu_lookups_total{path="single",result="gap"}': 10,
    'percpu_lookups_total{path="single",result="refused"}': 10,
    'percpu_lookups_total{path="batch",result="answered"}': lines,
    'percpu_batches_total{outcome="complete"}': 1,
    'percpu_batches_total{outcome="refused"}': 1,
    'percpu_table_loads_total{result="published"}': 1,
    percpu_lookup_seconds_count: 30,
    percpu_workers_ready: 2,
    percpu_table_generation: 1,
  }
  for (const [name, value] of Object.entries(expected)) assert.equal(await metric(url, name), value, name)
  const health = (await (await fetch(`${url}/health`)).json()) as Record<string, unknown>
  assert.deepEqual(
    [health['status'], health['workers'], health['listeners'], health['attribution']],
    ['ok', { ready: 2, stuck: 0, wanted: 2 }, WHOLE, 'somebody'].map((each) =>
      each === 'somebody' ? ['somebody'] : each,
    ),
  )
})

test('the page is told what each of the threads has looked up', async (t) => {
  const { url } = await open(t, { attribution: ['somebody'] })
  assert.match(await (await fetch(url)).text(), /<title>percpu</)
  for (let i = 0; i < 10; i++) await statusOf(`${url}/lookup/1.1.1.1`)
  const response = await fetch(`${url}/live`)
  let text = ''
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += piece
    if (/event: frame\n.*\n\n/.test(text)) break
  }
  assert.match(text, /event: hello\ndata: {"lookup":true,"tables":\w+,"attribution":\["somebody"\]}\n/)
  const { lookups } = JSON.parse(/event: frame\ndata: (.*)\n/.exec(text)?.[1] ?? '') as {
    lookups: { name: string; cpu: number; count: number }[]
  }
  const names = Array.from({ length: COUNT }, (_, place) => `requests ${place}`)
  assert.deepEqual(
    lookups.map(({ name }) => name),
    [...names, 'worker 0', 'worker 1'],
  )
  assert.equal(new Set(lookups.map(({ cpu }) => cpu)).size, COUNT + 2)
  assert.equal(
    lookups.reduce((sum, { count }) => sum + count, 0),
    10,
  )
})

test('a reload is seen by all of them', async (t) => {
  const { url, service, files } = await open(t)
  assert.equal(await statusOf(`${url}/lookup/1.1.1.1`), 200)
  await writeSmallTable(files, 'two')
  assert.equal((await service.reload('test')).table?.generation, 2)
  for (let i = 0; i < 20; i++) {
    const request = http.get(`${url}/lookup/1.1.1.1`, { agent: false })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    let text = ''
    for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) text += piece
    assert.equal((JSON.parse(text) as { asn: number }).asn, 64501)
  }
})

test('one that ends is replaced, and no request to the others fails', async (t) => {
  const { url, service, log } = await open(t)
  const agents = Array.from({ length: 24 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }))
  t.after(() => agents.forEach((agent) => agent.destroy()))
  const read = (agent: http.Agent) => statusOf(`${url}/lookup/1.1.1.1`, agent)
  await Promise.all(agents.map(read))
  let isOver = false
  /** Resolves with how many requests of a connection, kept as long as it lasts, have failed. */
  const follow = async (agent: http.Agent): Promise<number> => {
    let failures = 0
    do {
      try {
        assert.equal(await read(agent), 200)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error) || error instanceof assert.AssertionError)
          throw error
        failures++
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    } while (!isOver)
    return failures
  }
  const outcomes = agents.map(follow)
  const { fronts } = service
  const [victim] = fronts?.threads ?? []
  await victim?.terminate()
  while (fronts?.threads[0] === victim || fronts?.listening !== COUNT)
    await new Promise((resolve) => setTimeout(resolve, 5))
  isOver = true
  const failed = (await Promise.all(outcomes)).filter((failures) => failures > 0).length
  if (COUNT > 1)
    assert.ok(failed > 0 && failed < agents.length, `${failed} of ${agents.length} connections broke`)
  assert.deepEqual(await listeners(url), WHOLE)
  assert.equal(service.machine.online.length, 1 + 2 + COUNT)
  assert.ok(
    log.some(({ msg }) => msg === 'a thread that answers requests ended; another one takes its place'),
  )
})

const sabotaged = { skip: isSabotaged ? false : 'it is part of the last tests' }

async function marked(t: TestContext): Promise<string> {
  const marker = path.join(await temporaryFolder(t), 'marker')
  await writeFile(marker, '')
  return marker
}

test('sabotaged: one in an endless loop is told, ended and replaced', sabotaged, async (t) => {
  const { url, log } = await open(t, { patienceMilliseconds: 1500 })
  const stuck = http.get(`${url}/lookup/${sabotagePath('stick once', await marked(t))}`, { agent: false })
  await assert.rejects(once(stuck, 'response'), { code: 'ECONNRESET' })
  assertReplaced(log)
  // Those that the system gives to the thread before it is gone break, too.
  while (!isDeepStrictEqual(await listeners(url).catch(() => undefined), WHOLE));
  for (let i = 0; i < 20; i++) assert.equal(await statusOf(`${url}/lookup/1.1.1.1`), 200)
})

test('sabotaged: a service whose accepting thread is stuck can be stopped', sabotaged, async (t) => {
  const { url, service, log } = await open(t, { patienceMilliseconds: 1500 })
  const stuck = http.get(`${url}/lookup/${sabotagePath('stick once', await marked(t))}`, { agent: false })
  const broken = assert.rejects(once(stuck, 'response'), { code: 'ECONNRESET' })
  while (!log.some(({ msg }) => msg === 'a thread is stuck'))
    await new Promise((resolve) => setTimeout(resolve, 5))
  await service.close()
  await broken
})

test(
  'sabotaged: a batch whose workers die is answered by others, and none of them ends for it',
  sabotaged,
  async (t) => {
    const { url, log } = await open(t)
    const body = `"1.1.1.1"\n${saboteur('die once', await marked(t))}"8.8.8.8"\n`
    const answers = (await (await post(url, 'application/x-ndjson', body)).text()).trimEnd().split('\n')
    assert.deepEqual(
      answers.map((line) => (JSON.parse(line) as { asn?: number }).asn),
      [13335, undefined, 15169],
    )
    await untilMetric(url, 'percpu_workers_ready', 2)
    assert.deepEqual(
      log.filter(({ front, level }) => front !== undefined && level >= 50),
      [],
    )
    const poison = await post(url, 'application/x-ndjson', saboteur('die', await marked(t)))
    assert.equal(poison.status, 503)
    assert.equal(((await poison.json()) as { code: string }).code, 'WORKER_LOST')
  },
)

test('threads can be sabotaged, in this Node', { skip: isSabotaged ? 'this is it' : false }, async () => {
  const again = await runAgain(process.execPath, import.meta.url, '^sabotaged')
  assert.deepEqual(again, { passed: 3, failed: [] })
})

const inNewer = { skip: isSabotaged || canSharePort() ? 'this is one' : missing(NEWER_NODE, NEWER_NODE_FROM) }

test('several threads listen on one port, in a Node that can', inNewer, async () => {
  const again = await runAgain(NEWER_NODE, import.meta.url)
  assert.deepEqual(again, { passed: 7, failed: [] })
})

for (const name of ['http', 'stream'])
  test(`${name}.test passes where several threads accept connections`, inNewer, async () => {
    const { passed, failed } = await runAgain(NEWER_NODE, import.meta.resolve(`./${name}.test.js`))
    assert.deepEqual(failed, [])
    assert.ok(passed > 4)
  })
