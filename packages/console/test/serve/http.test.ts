/** Every endpoint over a real server, and what it answers to requests that are wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attribution, attributionOf, packagedFiles } from 'percpu-console'
import { metric, testService } from '../helpers/service.js'

const cloudflare = { asn: 13335, organisation: 'Cloudflare, Inc.' }
const documentation = {
  address: '2001:db8::1',
  range: { start: '2001:db8::', end: '2001:db8::ffff' },
  asn: 64500,
  organisation: 'Documentation Ü',
}

async function getJson(url: string): Promise<readonly [status: number, body: unknown]> {
  const response = await fetch(url)
  return [response.status, await response.json()]
}

async function post(
  url: string,
  type: string | undefined,
  body: string | Uint8Array<ArrayBuffer>,
): Promise<readonly [status: number, text: string]> {
  const response = await fetch(`${url}/lookup`, {
    method: 'POST',
    body,
    headers: type === undefined ? {} : { 'content-type': type },
  })
  return [response.status, await response.text()]
}

function errorOf(text: string): { error: string; code: string } {
  return JSON.parse(text) as { error: string; code: string }
}

test('GET /lookup answers IPv4, IPv6, and IPv4 mapped to IPv6', async (t) => {
  const { url } = await testService(t)
  const range = { start: '1.1.1.0', end: '1.1.1.255' }
  assert.deepEqual(await getJson(`${url}/lookup/1.1.1.1`), [
    200,
    { address: '1.1.1.1', range, ...cloudflare },
  ])
  assert.deepEqual(await getJson(`${url}/lookup/::ffff:1.1.1.1`), [
    200,
    { address: '::ffff:1.1.1.1', range, ...cloudflare },
  ])
  assert.deepEqual(await getJson(`${url}/lookup/2001:db8::1`), [200, documentation])
  assert.deepEqual(await getJson(`${url}/lookup/2001%3Adb8%3A%3A1`), [200, documentation])
})

test('GET /lookup of an address in a gap is 404, of anything else 400, both with a reason', async (t) => {
  const { url } = await testService(t)
  const gap = { error: 'no range of the table holds 10.0.0.1', code: 'NO_RANGE', address: '10.0.0.1' }
  assert.deepEqual(await getJson(`${url}/lookup/10.0.0.1`), [404, gap])
  assert.equal((await getJson(`${url}/lookup/2001:db9::`))[0], 404)
  for (const [text, why] of [
    ['example.org', /'example.org' is not an IPv4 or IPv6 address/],
    ['1.2.3.256', /256 is above 255/],
    ['fe80::1%25eth0', /has a zone \('%eth0'\)/],
    ['1.1.1.0%2F24', /is a network/],
    ['9'.repeat(900), /…' is not an IPv4 address: has 1 of 4 numbers/],
  ] as const) {
    const [status, body] = await getJson(`${url}/lookup/${text}`)
    const { error, code } = body as { error: string; code: string }
    assert.deepEqual([status, code], [400, 'BAD_ADDRESS'])
    assert.match(error, why)
  }
})

test('the page is at /, and is told what there is and which workers look up', async (t) => {
  const { url } = await testService(t, { attribution: ['somebody'], fronts: 0 })
  assert.match(await (await fetch(url)).text(), /<title>percpu</)
  await fetch(`${url}/lookup/1.1.1.1`)
  const response = await fetch(`${url}/live`)
  let text = ''
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += piece
    if (/event: frame\n.*\n\n/.test(text)) break
  }
  assert.match(text, /event: hello\ndata: {"lookup":true,"tables":\w+,"attribution":\["somebody"\]}\n/)
  const { lookups } = JSON.parse(/event: frame\ndata: (.*)\n/.exec(text)?.[1] ?? '') as {
    lookups: { name: string; count: number }[]
  }
  const counts = lookups.map(({ name, count }) => `${name}: ${count}`)
  assert.deepEqual(counts, ['requests: 1', 'worker 0: 0', 'worker 1: 0'])
})

test('paths and methods that do not exist are told what does', async (t) => {
  const { url } = await testService(t)
  for (const [method, path, allowed] of [
    ['GET', '/page/', null],
    ['POST', '/', 'GET, HEAD'],
    ['POST', '/live', 'GET'],
    ['GET', '/lookup/a/b', null],
    ['POST', '/healthy', null],
    ['GET', '/lookup', 'POST'],
    ['PUT', '/lookup', 'POST'],
    ['OPTIONS', '/lookup', 'POST'],
    ['POST', '/lookup/1.1.1.1', 'GET, HEAD'],
    ['DELETE', '/lookup/1.1.1.1?now', 'GET, HEAD'],
    ['PUT', '/health', 'GET, HEAD'],
    ['DELETE', '/metrics', 'GET, HEAD'],
  ] as const) {
    const response = await fetch(url + path, { method })
    const { error, code } = (await response.json()) as { error: string; code: string }
    const expected = allowed === null ? [404, 'NO_SUCH_PATH'] : [405, 'METHOD_NOT_ALLOWED']
    assert.deepEqual([response.status, code], expected, `${method} ${path}`)
    assert.equal(response.headers.get('allow'), allowed)
    assert.match(error, /GET \/lookup\/\{address\}, POST \/lookup/)
  }
  const [status, body] = await getJson(`${url}/lookup/%zz`)
  assert.deepEqual([status, body], [400, { error: "'/lookup/%zz' is not a valid URL", code: 'BAD_URL' }])
})

const lines = [
  '{"address":"8.8.8.8","range":{"start":"8.8.8.0","end":"8.8.8.255"},"asn":15169,"organisation":"Google LLC"}',
  '{"address":"10.0.0.1","range":null,"asn":null,"organisation":null}',
  '{"address":"nonsense","error":"not an IPv4 or IPv6 address"}',
  JSON.stringify(documentation),
  '',
].join('\n')

test('POST /lookup takes text, a JSON array and NDJSON, and answers a line each, in order', async (t) => {
  const { url } = await testService(t)
  const strings = ['8.8.8.8', '10.0.0.1', 'nonsense', '2001:db8::1']
  assert.deepEqual(await post(url, 'text/plain', strings.join('\n')), [200, lines])
  assert.deepEqual(
    await post(
      url,
      'text/plain; charset=utf-8',
      ` 8.8.8.8\r\n\r\n10.0.0.1 \r\n\tnonsense\n\n${strings[3]}\n`,
    ),
    [200, lines],
  )
  assert.deepEqual(await post(url, 'application/json', JSON.stringify(strings)), [200, lines])
  assert.deepEqual(await post(url, 'application/json', JSON.stringify(strings, undefined, 2)), [200, lines])
  const ndjson = strings.map((text) => `${JSON.stringify(text)}\n`).join('')
  assert.deepEqual(await post(url, 'application/x-ndjson', ndjson), [200, lines])
  assert.deepEqual(await post(url, 'application/json', '[]'), [200, ''])
})

test('bad addresses are repeated safely: quotes, control characters, other scripts, and only the beginning of long ones', async (t) => {
  const { url } = await testService(t)
  const bad = ['"', '\\', 'a\u0001b', 'ü😀', 'a\nb', '', 'x'.repeat(5000)]
  const [status, text] = await post(url, 'application/json', JSON.stringify(bad))
  assert.equal(status, 200)
  const answers = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { address: string; error: string })
  assert.deepEqual(
    answers.map(({ address }) => address),
    [...bad.slice(0, -1), `${'x'.repeat(256)}…`],
  )
  assert.match(answers.at(-1)?.error ?? '', /is 5000 bytes long/)
  assert.match(answers.at(-2)?.error ?? '', /empty/)
})

for (const [name, type, body, status, code, message] of [
  [
    'malformed JSON',
    'application/json',
    '["1.1.1.1",',
    400,
    'MALFORMED_BODY',
    /JSON ends at byte 11.*expected a string/,
  ],
  [
    'JSON that is no array',
    'application/json',
    '{"address":"1.1.1.1"}',
    400,
    'MALFORMED_BODY',
    /byte 0: expected a JSON array/,
  ],
  [
    'JSON with something else than strings',
    'application/json',
    '["1.1.1.1",16843009]',
    400,
    'MALFORMED_BODY',
    /byte 11, after string 1: expected a string, found '1'/,
  ],
  [
    'a bad escape in a JSON string',
    'application/json',
    '["1.1.1.1","\\x"]',
    400,
    'MALFORMED_BODY',
    /string 2 of the array is not a JSON string/,
  ],
  [
    'a line of NDJSON that is no JSON',
    'application/x-ndjson',
    '"1.1.1.1"\n1.1.1.1\n',
    400,
    'MALFORMED_BODY',
    /line 2 is not a JSON string/,
  ],
  [
    'a line of NDJSON that is no string',
    'application/x-ndjson',
    '"1.1.1.1"\n["1.1.1.1"]',
    400,
    'MALFORMED_BODY',
    /line 2 is a JSON array, expected a string/,
  ],
  [
    'a line that never ends',
    'text/plain',
    '1'.repeat(100_000),
    400,
    'MALFORMED_BODY',
    /line that begins at byte 0 is longer than/,
  ],
  ['an empty body', 'text/plain', '', 400, 'EMPTY_BODY', /no address/],
  ['an empty JSON body', 'application/json', '', 400, 'MALFORMED_BODY', /ends at byte 0/],
  ['a body of blank lines', 'text/plain', '\n\r\n \n', 400, 'EMPTY_BODY', /no address/],
  [
    'another type',
    'text/html',
    '<p>1.1.1.1</p>',
    415,
    'UNSUPPORTED_TYPE',
    /'text\/html' is not supported: send text\/plain, application\/json/,
  ],
] as const) {
  test(`refused: ${name}`, async (t) => {
    const { url } = await testService(t)
    const [found, text] = await post(url, type, body)
    const error = errorOf(text)
    assert.deepEqual([found, error.code], [status, code])
    assert.match(error.error, message)
    // The connection's end has done no harm: the next request is answered.
    assert.equal((await post(url, 'text/plain', '8.8.8.8'))[0], 200)
  })
}

test('refused: no type, and an encoding that there is not', async (t) => {
  const { url } = await testService(t)
  const [status, text] = await post(url, undefined, new Uint8Array(Buffer.from('1.1.1.1')))
  assert.deepEqual([status, errorOf(text).code], [415, 'UNSUPPORTED_TYPE'])
  const response = await fetch(`${url}/lookup`, {
    method: 'POST',
    body: 'x',
    headers: { 'content-type': 'text/plain', 'content-encoding': `br${'x'.repeat(900)}` },
  })
  const error = errorOf(await response.text())
  assert.deepEqual([response.status, error.code], [415, 'UNSUPPORTED_ENCODING'])
  assert.ok(error.error.length < 256 && /send (zstd, )?gzip, deflate, or/.test(error.error))
})

test('GET /health tells the table, the workers and whom the data is owed to', async (t) => {
  const { url, service } = await testService(t, { attribution, fronts: 0 })
  const [status, body] = await getJson(`${url}/health`)
  const { attribution: owed, lastLoad, uptimeSeconds, bytes, ...rest } = body as Record<string, unknown>
  assert.equal(status, 200)
  assert.deepEqual(rest, {
    status: 'ok',
    generation: 1,
    rows: { ipv4: 3, ipv6: 1 },
    entries: 3,
    workers: { ready: 2, stuck: 0, wanted: 2 },
  })
  assert.match(String(owed), /DB-IP, https:\/\/db-ip.com.*routeviews.org.*CC BY 4.0/)
  assert.deepEqual(
    { ...(lastLoad as object), at: 0 },
    { at: 0, reason: 'start', published: true, rows: { ipv4: 3, ipv6: 1 }, change: { ipv4: 3, ipv6: 1 } },
  )
  assert.ok(Number(uptimeSeconds) >= 0 && Number(bytes) > 0)
  assert.equal(service.machine.online.length, 3)
})

test('own tables are owed to nobody, unless somebody is named', async (t) => {
  const { url, log, files } = await testService(t)
  const [, body] = await getJson(`${url}/health`)
  assert.ok(!('attribution' in (body as object)))
  assert.ok(log.every((line) => !('attribution' in line)))
  assert.deepEqual(attributionOf(files), [])
  assert.deepEqual(attributionOf({ ...files, ipv6: packagedFiles().ipv6 }), attribution)
})

test('GET /metrics counts lookups by path and by worker, and shows table, memory and process', async (t) => {
  const { url } = await testService(t, { fronts: 0 })
  for (const address of ['1.1.1.1', '10.0.0.1', 'x', '8.8.8.8'])
    await (await fetch(`${url}/lookup/${address}`)).text()
  await post(url, 'text/plain', '1.1.1.1\n8.8.8.8\nx\n')
  const expected = {
    'percpu_lookups_total{path="single",result="found"}': 2,
    'percpu_lookups_total{path="single",result="gap"}': 1,
    'percpu_lookups_total{path="single",result="refused"}': 1,
    'percpu_lookups_total{path="batch",result="answered"}': 3,
    'percpu_batches_total{outcome="complete"}': 1,
    'percpu_table_loads_total{result="published"}': 1,
    percpu_table_last_load_published: 1,
    'percpu_table_last_load_change{family="4"}': 3,
    'percpu_table_last_load_change{family="6"}': 1,
    'percpu_table_rows{family="4"}': 3,
    'percpu_table_rows{family="6"}': 1,
    percpu_table_generation: 1,
    percpu_workers_ready: 2,
    percpu_cpus_online: 3,
    'percpu_cpu_activity{cpu="0",activity="working"}': 0,
    'percpu_cpu_incarnation{cpu="0"}': 1,
    percpu_lookup_seconds_count: 4,
    percpu_batch_seconds_count: 1,
  }
  for (const [name, value] of Object.entries(expected)) assert.equal(await metric(url, name), value, name)
  const perWorker = await Promise.all(
    ['0', '1'].map((worker) => metric(url, `percpu_worker_lookups_total{worker="${worker}"}`)),
  )
  assert.equal(
    perWorker.reduce((sum, value) => sum + value),
    3,
  )
  assert.ok((await metric(url, 'percpu_memory_bytes{state="used"}')) > 0)
  assert.ok((await metric(url, 'process_resident_memory_bytes')) > 0)
})
