/** `percpu bench`: what it measures, with services that answer in known ways. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { measure, type MeasureOptions } from 'percpu-console'
import { percpu } from '../helpers/command.js'
import { temporaryFolder } from '../helpers/files.js'

async function service(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
const usual: Omit<MeasureOptions, 'url'> = { connections: 2, milliseconds: 200, rate: undefined, keys: [] }
/** Until it is given up. */
const hour = 3_600_000

test('counts answers by status, and asks for the keys in turn', async (t) => {
  const asked: string[] = []
  const enough = new AbortController()
  const url = await service(t, (request, response) => {
    asked.push(request.url ?? '')
    if (asked.length === 5) enough.abort()
    response.writeHead(request.url === '/a%2Fb?x' ? 200 : 404).end('text')
  })
  const options = { ...usual, connections: 1, milliseconds: hour, signal: enough.signal }
  const result = await measure({ ...options, url: `${url}/{}?x`, keys: ['a/b', '"ü'] })
  // The first one is not measured.
  const [one, other] = ['/a%2Fb?x', '/%22%C3%BC?x']
  assert.deepEqual(asked, [one, one, other, one, other])
  assert.deepEqual(result.statuses, { '200': 2, '404': 2 })
  const { answered, bytes, errors, unsent, latency } = result
  assert.deepEqual([answered, latency.count, bytes, errors, unsent], [4, 4, 16, {}, 0])
})

test('at a rate, a stop of the service counts for each request that was due meanwhile', async (t) => {
  const rate = 100
  const last = 60
  const enough = new AbortController()
  let number = 0
  let stopped = 0
  const url = await service(t, (_request, response) => {
    number++
    // The first one is not measured; the service stops at the second.
    if (number === 2) {
      const began = performance.now()
      setTimeout(() => {
        stopped = performance.now() - began
        response.end()
      }, 400)
      return
    }
    if (number === last) enough.abort()
    response.end()
  })
  const options = { ...usual, connections: 1, milliseconds: hour, signal: enough.signal }
  const { latency, answered } = await measure({ ...options, url, rate })
  assert.equal(answered, last - 1)
  for (const share of [0.25, 0.5, 0.75]) {
    // Those that were due in the first part of the stop waited for the rest at least.
    const due = Math.min(answered, Math.floor((stopped * share * rate) / 1000))
    const waited = stopped * (1 - share)
    const found = latency.percentile(100 * (1 - (due - 1) / answered)) / 1e6
    assert.ok(found >= waited * 0.99, `${due} of ${answered} waited ${waited} ms, and not ${found} ms`)
  }
})

test('what no connection was free for is told', async (t) => {
  const url = await service(t, (_request, response) => void setTimeout(() => response.end(), 50))
  const { answered, unsent } = await measure({ ...usual, url, connections: 1, milliseconds: 300, rate: 1000 })
  assert.equal(answered + unsent, 300)
  assert.ok(answered <= 7, `${answered} answers`)
})

test('an end that is asked for comes at once, whatever is due later', async (t) => {
  const url = await service(t, (_request, response) => response.end())
  const ended = new AbortController()
  const asking = measure({ ...usual, url, rate: 1, milliseconds: hour, signal: ended.signal })
  ended.abort()
  const { answered, unsent } = await asking
  assert.ok(answered <= 1)
  assert.equal(unsent, 0)
})

test('connections that break are counted by their codes', async (t) => {
  let number = 0
  const url = await service(t, (request, response) => {
    if (++number === 1) response.end()
    else request.socket.destroy()
  })
  const { answered, errors } = await measure({ ...usual, url })
  assert.equal(answered, 0)
  assert.match(Object.keys(errors).join(), /^(UND_ERR_SOCKET|ECONNRESET)(,|$)/)
})

test('the command prints latencies, and exits with 1 if no answer is a success', async (t) => {
  const url = await service(t, (request, response) => {
    response.writeHead(request.url === '/missing' ? 404 : 200).end('text')
  })
  const keys = join(await temporaryFolder(t), 'keys')
  writeFileSync(keys, 'a\r\n\nb\n')
  const usual = ['--connections', '2', '--seconds', '0.1']
  const found = await percpu(['bench', `${url}/{}`, '--keys', keys, ...usual])
  assert.equal(found.code, 0, found.stderr)
  assert.match(found.stdout, /p50 .*p99\.9 .*\n[^]*\d µs|ms[^]*\d+ answers, \d+ a second/)
  const missing = await percpu(['bench', `${url}/missing`, ...usual, '--rate', '100', '--json'])
  assert.equal(missing.code, 1)
  const { answered, statuses, latency } = JSON.parse(missing.stdout) as Record<string, unknown>
  assert.deepEqual(statuses, { '404': answered })
  assert.deepEqual(Object.keys(latency as object), ['mean', 'p50', 'p90', 'p99', 'p99.9', 'p99.99', 'p100'])
  const wrong = await percpu(['bench', `${url}/{}`])
  assert.deepEqual([wrong.code, wrong.stderr], [2, 'percpu: the URL has {}: name a file of --keys\n'])
})

test('a service that is not there is told at once', async () => {
  const url = 'http://127.0.0.1:1/'
  const message = 'cannot ask http://127.0.0.1:1/: ECONNREFUSED'
  await assert.rejects(measure({ ...usual, url, milliseconds: hour }), { code: 'PERCPU_SERVICE', message })
})
