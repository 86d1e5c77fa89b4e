/** Requests that are answered without the framework: nothing tells them from those that are not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { DurationTally, metricsText, Tallies } from 'percpu-console'
import { Histogram, Registry } from 'prom-client'
import { metric, testService } from '../helpers/service.js'
import { testTables } from '../helpers/tables.js'

interface Got {
  readonly status: number | undefined
  readonly headers: http.IncomingHttpHeaders
  /** Their names, as they came. */
  readonly names: readonly string[]
  readonly body: string
}

async function get(url: string, headers: Record<string, string> = {}): Promise<Got> {
  const request = http.get(url, { headers, agent: false })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  let body = ''
  for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) body += piece
  const { date: _date, ...others } = response.headers
  const names = response.rawHeaders.filter((_text, i) => i % 2 === 0)
  return { status: response.statusCode, headers: others, names, body }
}

/** With one character encoded, which only the framework reads. */
function encoded(path: string): string {
  const last = path.charCodeAt(path.length - 1).toString(16)
  return `${path.slice(0, -1)}%${last}`
}

test('a lookup is answered as by the framework, byte by byte, and counted alike', async (t) => {
  const { url } = await testService(t, { fronts: 0 })
  for (const address of ['1.1.1.1', '::ffff:8.8.8.8', '2001:db8::1', '2001:DB8::00:1']) {
    const direct = await get(`${url}/lookup/${address}`)
    assert.equal(direct.status, 200)
    assert.equal(direct.headers['content-type'], 'application/json; charset=utf-8')
    assert.equal(direct.headers['content-length'], String(Buffer.byteLength(direct.body)))
    assert.deepEqual(direct, await get(`${url}${encoded(`/lookup/${address}`)}`), address)
    assert.deepEqual(direct, await get(`${url}/lookup/${address}?x`), address)
  }
  assert.equal(await metric(url, 'percpu_lookups_total{path="single",result="found"}'), 12)
  assert.equal(await metric(url, 'percpu_lookups_total{path="single",result="found"}'), 12)
  assert.equal(await metric(url, 'percpu_lookup_seconds_count'), 12)
  assert.equal(await metric(url, 'percpu_lookup_seconds_bucket{le="+Inf"}'), 12)
  assert.equal((await get(`${url}/lookup/10.0.0.1`)).status, 404)
  assert.equal(await metric(url, 'percpu_lookups_total{path="single",result="gap"}'), 1)
})

test('a key is answered as by the framework, and conditions are heeded', async (t) => {
  const { service, ask } = await testTables(t)
  await ask('PUT', '/tables/users/uml', '{"name":"Ü & Söhne"}')
  const { url } = service
  for (const path of [
    '/tables/users/ann',
    '/tables/users/uml',
    '/tables/nets/10.0.0.7',
    '/tables/nets/2001:db8::1',
  ]) {
    const direct = await get(url + path)
    assert.equal(direct.status, 200)
    assert.equal(direct.headers['content-length'], String(Buffer.byteLength(direct.body)))
    assert.deepEqual(direct, await get(url + encoded(path)), path)
    const { etag = '' } = direct.headers
    assert.equal((await get(url + path, { 'if-none-match': etag })).status, 304)
    assert.equal((await get(url + path, { 'if-none-match': '"1"' })).status, 200)
  }
  assert.match((await get(`${url}/tables/nets/10.0.0.7`)).headers['content-range-of'] as string, /^10.0.0.0-/)
  assert.equal((await get(`${url}/tables/users/none`)).status, 404)
  const { text } = await ask('GET', '/metrics')
  assert.match(text, /^percpu_table_reads_total\{table="users",result="found"\} 8$/m)
  assert.match(text, /^percpu_table_reads_total\{table="nets",result="found"\} 9$/m)
  assert.match(text, /^percpu_table_reads_total\{table="users",result="missing"\} 1$/m)
})

test('requests in one piece are answered in their order, whoever answers them', async (t) => {
  const { url } = await testService(t, { fronts: 0 })
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8')
  const paths = [
    '/lookup/1.1.1.1',
    '/health',
    '/lookup/8.8.8.8',
    '/metrics',
    '/lookup/10.0.0.1',
    '/lookup/2001:db8::1',
  ]
  const requests = paths.map((path, i) => {
    const isLast = i === paths.length - 1
    return `GET ${path} HTTP/1.1\r\nhost: x\r\n${isLast ? 'connection: close\r\n' : ''}\r\n`
  })
  socket.write(requests.join(''))
  let text = ''
  for await (const piece of socket as AsyncIterable<string>) text += piece
  const found = [
    ...text.matchAll(
      /"asn":13335|"status":"ok"|"asn":15169|# TYPE percpu_lookup_seconds|NO_RANGE|"asn":64500/g,
    ),
  ]
  assert.deepEqual(
    found.map(([what]) => what),
    [
      '"asn":13335',
      '"status":"ok"',
      '"asn":15169',
      '# TYPE percpu_lookup_seconds',
      'NO_RANGE',
      '"asn":64500',
    ],
  )
  assert.equal(text.match(/HTTP\/1.1 (200|404)/g)?.length, 6)
})

test('what follows a request and is none gets no answer of its own', async (t) => {
  const { url } = await testService(t, { fronts: 0 })
  for (const path of ['/lookup/1.1.1.1', encoded('/lookup/1.1.1.1')]) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8')
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`)
    let text = ''
    for await (const piece of socket as AsyncIterable<string>) text += piece
    assert.deepEqual(text.match(/HTTP\/1.1 \d+/g), ['HTTP/1.1 200'], path)
  }
})

test('a service that stops answers no more than what is under way', async (t) => {
  const { url, service } = await testService(t, { fronts: 0 })
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8')
  // It keeps the connection open while the service closes.
  socket.write(
    'POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\n1.1.',
  )
  let text = ''
  socket.on('data', (piece: string) => (text += piece))
  while ((await metric(url, 'nodejs_active_resources{type="TCPSocketWrap"}')) < 2);
  const closed = service.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  socket.write('1.1GET /lookup/1.1.1.1 HTTP/1.1\r\nhost: x\r\n\r\n')
  await once(socket, 'close')
  assert.match(text, /"asn":13335/)
  assert.equal(text.match(/HTTP\/1.1 200/g)?.length, 1)
  await closed
})

test('tallies are what a counter and a histogram would have', async () => {
  const [ours, theirs] = [new Registry(), new Registry()]
  const bounds = [0.001, 0.01, 0.1]
  const tally = new DurationTally(ours, 'seconds', 'Time', bounds)
  const histogram = new Histogram({ name: 'seconds', help: 'Time', buckets: bounds, registers: [theirs] })
  for (const seconds of [0.0005, 0.001, 0.0011, 0.05, 0.1, 3]) {
    tally.observe(seconds)
    histogram.observe(seconds)
  }
  assert.equal(await ours.metrics(), await theirs.metrics())
  const twice = async (registry: Registry) => {
    const collected = await registry.getMetricsAsJSON()
    return metricsText([collected, collected])
  }
  assert.equal(await twice(ours), await twice(theirs))
  const registry = new Registry()
  const tallies = new Tallies({ registry, name: 'all_total', help: 'All', labelNames: ['what'] })
  const [one, other] = [tallies.tally({ what: 'one' }), tallies.tally({ what: 'other' })]
  one.count += 2
  assert.match(await registry.metrics(), /^all_total\{what="one"\} 2$/m)
  one.count++
  other.count++
  const text = await registry.metrics()
  assert.match(text, /^all_total\{what="one"\} 3$/m)
  assert.match(text, /^all_total\{what="other"\} 1$/m)
})
