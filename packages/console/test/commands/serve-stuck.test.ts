/**
 * The real `percpu serve`, whose workers get stuck or die: it goes on answering, and replaces them.
 */
import assert from 'node:assert/strict'
import { access, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { Report } from 'percpu-console'
import { percpu, ServeProcess } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { saboteur } from '../helpers/sabotage.js'
import { metric, untilMetric, untilMetricReaches } from '../helpers/service.js'

const preload = ['--import', new URL('../helpers/sabotage.js', import.meta.url).href]

interface Sabotaged {
  readonly serve: ServeProcess
  readonly url: string
  readonly socket: string
  /** Sabotage happens while it exists. */
  readonly marker: string
}

async function sabotaged(t: TestContext, workers: number, patience: number): Promise<Sabotaged> {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const [socket, marker] = [path.join(folder, 'inspect.sock'), path.join(folder, 'marker')]
  await writeFile(marker, '')
  const tables = ['--ipv4', ipv4, '--ipv6', ipv6, '--memory', '64MiB']
  const flags = ['--workers', String(workers), '--patience', String(patience), '--inspect', socket]
  const serve = new ServeProcess(t, [...tables, ...flags], preload)
  return { serve, url: await serve.url(), socket, marker }
}

function post(url: string, lines: string, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/lookup`, {
    method: 'POST',
    body: lines,
    ...(signal ? { signal } : {}),
    headers: { 'content-type': 'application/x-ndjson' },
  })
}
async function asns(response: Response): Promise<(number | undefined)[]> {
  assert.equal(response.status, 200)
  const lines = (await response.text()).trimEnd().split('\n')
  return lines.map((line) => (JSON.parse(line) as { asn?: number }).asn)
}
const ordinary = '"1.1.1.1"\n"8.8.8.8"\n'

test('a worker in an endless loop is named with its label while everything goes on being answered', async (t) => {
  const { serve, url, socket, marker } = await sabotaged(t, 2, 600)
  const givenUp = new AbortController()
  const stuckBatch = post(url, saboteur('stick once', marker), givenUp.signal)
  const stuck = await serve.line(/^a thread is stuck$/)
  assert.equal(stuck['work'], 'lookup batch')
  assert.ok(Number(stuck['heartbeats']) <= 2, `told after ${String(stuck['heartbeats'])} heartbeats`)

  for (let i = 0; i < 10; i++) {
    assert.deepEqual(await asns(await post(url, ordinary)), [13335, 15169])
    assert.equal((await fetch(`${url}/lookup/1.1.1.1`)).status, 200)
  }
  const { status, workers } = (await (await fetch(`${url}/health`)).json()) as Record<string, unknown>
  assert.deepEqual([status, workers], ['degraded', { ready: 1, stuck: 1, wanted: 2 }])
  assert.equal(await metric(url, 'percpu_workers_ready'), 1)
  const { stdout } = await percpu(['top', socket, '--once', '--json'])
  const cpu = (JSON.parse(stdout) as Report).inspection.cpus.find((one) => one.cpu === stuck['cpu'])
  assert.deepEqual([cpu?.activity, cpu?.work?.label], ['blocked', 'lookup batch'])

  givenUp.abort()
  await assert.rejects(stuckBatch, { name: 'AbortError' })
  assert.equal(await serve.stop('SIGTERM'), 0, 'it can be stopped all the same')
  await assert.rejects(access(socket), 'the socket is gone')
})

test('a worker that stays in an endless loop is replaced, and all that it held is answered', async (t) => {
  const { serve, url, marker } = await sabotaged(t, 2, 2)
  const stuckBatch = post(url, `"1.1.1.1"\n${saboteur('stick once', marker)}"8.8.8.8"\n`)
  // Some of them wait behind the stuck one until it is replaced.
  const crowd = Promise.all(Array.from({ length: 20 }, async () => asns(await post(url, ordinary))))
  const replaced = await serve.line(/^a worker stays stuck: it is replaced$/)
  assert.equal(replaced['work'], 'lookup batch')
  assert.equal((await serve.line(/^a thread died/))['work'], 'lookup batch')
  assert.deepEqual(await asns(await stuckBatch), [13335, undefined, 15169])
  for (const answers of await crowd) assert.deepEqual(answers, [13335, 15169])
  await untilMetric(url, 'percpu_workers_ready', 2)
  assert.equal(await metric(url, `percpu_worker_replaced_total{worker="${String(replaced['worker'])}"}`), 1)
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('a worker that dies is named with its label and replaced, and its batch is answered by another one', async (t) => {
  const { serve, url, marker } = await sabotaged(t, 1, 5)
  const answers = await asns(await post(url, `"1.1.1.1"\n${saboteur('die once', marker)}"8.8.8.8"\n`))
  assert.deepEqual(answers, [13335, undefined, 15169])
  assert.equal((await serve.line(/^a thread died/))['work'], 'lookup batch')
  await untilMetric(url, 'percpu_worker_replaced_total{worker="0"}', 1)
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('a process that was stopped for longer than its patience, and goes on, replaces nobody', async (t) => {
  const { serve, url } = await sabotaged(t, 2, 1)
  serve.child.kill('SIGSTOP')
  await setTimeout(1500)
  serve.child.kill('SIGCONT')
  assert.deepEqual(await asns(await post(url, ordinary)), [13335, 15169])
  // Longer than it would take to be found silent and to be replaced.
  await setTimeout(2000)
  assert.deepEqual(
    serve.lines.filter(({ msg }) => /replaced|ended/.test(msg)),
    [],
  )
  assert.equal(await serve.stop('SIGTERM'), 0)
})

test('a batch in which every worker gets stuck is refused with 503 after three of them; batches behind it are answered', async (t) => {
  const { serve, url, marker } = await sabotaged(t, 1, 0.5)
  const poison = post(url, saboteur('stick', marker))
  await serve.line(/^a thread is stuck$/)
  const behind = post(url, ordinary)
  const refused = await poison
  assert.equal(refused.status, 503)
  assert.equal(((await refused.json()) as { code: string }).code, 'WORKER_LOST')
  assert.deepEqual(await asns(await behind), [13335, 15169])
  // One that gets no processor for half a second is replaced as well.
  await untilMetricReaches(url, 'percpu_worker_replaced_total{worker="0"}', 3)
  assert.equal(await serve.stop('SIGTERM'), 0)
})
