import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rename, writeFile } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import test from 'node:test'
import { gunzipSync } from 'node:zlib'
import { lines, ndjson, testTables } from '../helpers/tables.js'

test('serves the rows of a file by their key, with a version', async (t) => {
  const { ask } = await testTables(t)
  const { status, json, headers } = await ask('GET', '/tables/users/bob')
  assert.equal(status, 200)
  assert.deepEqual(json, { name: 'Bob', city: 'Rome' })
  assert.match(headers.get('etag') ?? '', /^"\d+"$/)
  const again = await ask('GET', '/tables/users/bob', undefined, {
    'if-none-match': headers.get('etag') ?? '',
  })
  assert.deepEqual([again.status, again.text], [304, ''])
  const missing = await ask('GET', '/tables/users/nobody')
  assert.deepEqual(
    [missing.status, missing.json],
    [404, { error: 'the table says nothing of this key', code: 'NO_SUCH_KEY' }],
  )
  assert.equal((await ask('GET', '/tables/nothing/a')).status, 404)
  assert.deepEqual((await ask('GET', '/tables')).json, [
    { name: 'users', kind: 'key', keys: 'text', entries: 3, sequence: await sequenceOf(ask) },
    { name: 'nets', kind: 'range', keys: 'address', entries: 3, sequence: await sequenceOf(ask) },
  ])
})

type Ask = Awaited<ReturnType<typeof testTables>>['ask']
async function sequenceOf(ask: Ask): Promise<number> {
  return ((await ask('GET', '/health')).json as { sequence: number }).sequence
}

test('serves ranges by any key in them', async (t) => {
  const { ask } = await testTables(t)
  const { json, headers } = await ask('GET', '/tables/nets/10.0.2.77')
  assert.deepEqual(json, { owner: 'office' })
  assert.equal(headers.get('content-range-of'), '10.0.2.0-10.0.3.255')
  assert.deepEqual((await ask('GET', '/tables/nets/2001:db8::5')).json, { owner: 'six' })
  assert.equal((await ask('GET', '/tables/nets/10.0.1.0')).status, 404)
  assert.equal((await ask('GET', '/tables/nets/10.0.1')).status, 400)
})

test('puts and deletes with the token only', async (t) => {
  const { ask, service } = await testTables(t)
  const put = await ask('PUT', '/tables/users/dan', '{ "name": "Dan",\n "city": "Bern" }')
  assert.equal(put.status, 201)
  const { version } = put.json as { version: number }
  assert.equal(put.headers.get('etag'), `"${version}"`)
  assert.equal((await ask('GET', '/tables/users/dan')).text, '{"name":"Dan","city":"Bern"}')
  assert.equal((await ask('PUT', '/tables/users/dan', '5')).status, 200)
  for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Basic abc', 'Bearer a b'])
    for (const [method, path] of [
      ['PUT', '/tables/users/dan'],
      ['DELETE', '/tables/users/dan'],
      ['POST', '/tables/users'],
    ] as const) {
      const body = method === 'POST' ? '{"key":"dan","value":1}\n' : method === 'PUT' ? '6' : undefined
      const refused = await ask(method, path, body, { authorization })
      assert.equal(refused.status, 401, `${method} ${authorization}`)
      assert.equal((refused.json as { code: string }).code, 'UNAUTHORIZED')
      assert.match(refused.text, /with the token of this service/)
    }
  assert.equal((await ask('GET', '/tables/users/dan')).text, '5')
  const deleted = await ask('DELETE', '/tables/users/dan')
  assert.equal(deleted.status, 200)
  assert.equal((deleted.json as { version: number }).version, version + 2)
  assert.equal((await ask('GET', '/tables/users/dan')).status, 404)
  assert.equal((await ask('DELETE', '/tables/users/dan')).status, 404)
  assert.equal(service.tables.get('users')?.size, 3)
})

test('changes on a condition', async (t) => {
  const { ask } = await testTables(t)
  const absent = { 'if-none-match': '*' }
  const first = await ask('PUT', '/tables/users/dan', '1', absent)
  assert.equal(first.status, 201)
  const refused = await ask('PUT', '/tables/users/dan', '2', absent)
  assert.deepEqual([refused.status, (refused.json as { code: string }).code], [412, 'VERSION_CHANGED'])
  const etag = first.headers.get('etag') ?? ''
  const second = await ask('PUT', '/tables/users/dan', '2', { 'if-match': etag })
  assert.equal(second.status, 200)
  assert.equal((await ask('PUT', '/tables/users/dan', '3', { 'if-match': etag })).status, 412)
  assert.equal((await ask('DELETE', '/tables/users/dan', undefined, { 'if-match': etag })).status, 412)
  assert.equal((await ask('GET', '/tables/users/dan')).text, '2')
  assert.equal((await ask('PUT', '/tables/users/eve', '3', { 'if-match': '*' })).status, 412)
  assert.equal(
    (await ask('DELETE', '/tables/users/dan', undefined, { 'if-match': second.headers.get('etag') ?? '' }))
      .status,
    200,
  )
  for (const bad of ['W/"1"', '"1", "2"', 'x'])
    assert.equal((await ask('PUT', '/tables/users/eve', '3', { 'if-match': bad })).status, 400, bad)
})

test('puts ranges over others, which keep their rest', async (t) => {
  const { ask } = await testTables(t)
  assert.equal(
    (await ask('PUT', `/tables/nets/${encodeURIComponent('10.0.2.128/25')}`, '{"owner":"guests"}')).status,
    200,
  )
  assert.deepEqual((await ask('GET', '/tables/nets/10.0.2.128')).json, { owner: 'guests' })
  assert.deepEqual((await ask('GET', '/tables/nets/10.0.2.127')).json, { owner: 'office' })
  assert.deepEqual((await ask('GET', '/tables/nets/10.0.3.0')).json, { owner: 'office' })
  assert.equal(
    (await ask('PUT', '/tables/nets/10.0.0.5-10.0.0.9', '1', { 'if-none-match': '*' })).status,
    412,
  )
  assert.equal(
    (await ask('PUT', '/tables/nets/10.0.1.0-10.0.1.255', '1', { 'if-none-match': '*' })).status,
    201,
  )
  assert.equal((await ask('DELETE', '/tables/nets/10.0.0.0-10.255.255.255')).status, 200)
  assert.equal((await ask('GET', '/tables/nets/10.0.3.0')).status, 404)
  const { entries } = (await ask('GET', '/tables/nets')).json as { entries: unknown[] }
  assert.equal(entries.length, 1)
})

test('refuses bad keys, values and paths in words', async (t) => {
  const { ask } = await testTables(t)
  const code = async (...request: Parameters<Ask>) => {
    const { status, json } = await ask(...request)
    return [status, (json as { code: string }).code]
  }
  assert.deepEqual(await code('PUT', '/tables/users/x', '{"a":'), [400, 'BAD_VALUE'])
  assert.deepEqual(await code('PUT', '/tables/users/x', ''), [400, 'BAD_VALUE'])
  assert.deepEqual(await code('PUT', `/tables/users/${'x'.repeat(256)}`, '1'), [400, 'BAD_KEY'])
  assert.deepEqual(await code('PUT', '/tables/users/a%00b', '1'), [400, 'BAD_KEY'])
  assert.deepEqual(await code('PUT', '/tables/users/x', JSON.stringify('y'.repeat(2 ** 20))), [
    413,
    'VALUE_TOO_LARGE',
  ])
  assert.deepEqual(await code('PUT', '/tables/users/x', ' '.repeat(5 * 2 ** 20)), [413, 'BODY_TOO_LARGE'])
  assert.deepEqual(await code('PUT', '/tables/nets/10.0.0.9-10.0.0.1', '1'), [400, 'BAD_KEY'])
  assert.deepEqual(await code('POST', '/tables/users/x', '1'), [405, 'METHOD_NOT_ALLOWED'])
  assert.deepEqual(await code('GET', '/nothing'), [404, 'NO_SUCH_PATH'])
  assert.deepEqual(await code('GET', '/tables/'), [404, 'NO_SUCH_TABLE'])
  assert.match((await ask('GET', '/tables/')).text, /the table has no name: GET \/tables lists them/)
  for (const path of ['/health', '/changes', '/tables/users/a']) {
    const { status, text } = await ask('GET', `${path}/?x=1`)
    assert.equal(status, 404)
    assert.ok(text.includes(`leave out the slash at the end, as in ${path}"`), text)
  }
  // Who writes a network with its slash is told how.
  const network = await ask('PUT', '/tables/nets/10.1.0.0/16', '1')
  assert.equal(network.status, 404)
  assert.match(network.text, /%2F for a slash in a key/)
  assert.deepEqual(await code('GET', '/tables/users?limit=0'), [400, 'BAD_QUERY'])
  assert.deepEqual(await code('GET', '/tables/users?cursor=%25%'), [400, 'BAD_QUERY'])
  assert.deepEqual(await code('GET', '/tables/users?cursor=!'), [400, 'BAD_QUERY'])
  for (const [method, path] of [
    ['GET', '/tables/users?colour=red'],
    ['GET', '/tables/users?limit=1&limit=2'],
    ['GET', '/tables/users/ann?x'],
    ['PUT', '/tables/users/ann?ifMatch=3'],
    ['DELETE', '/tables/users/ann?ifMatch=3'],
    ['POST', '/tables/users?atomc'],
    ['GET', '/changes?foo=1'],
  ] as const)
    assert.deepEqual(await code(method, path, method === 'GET' ? undefined : '1'), [400, 'BAD_QUERY'], path)
  for (const huge of ['1e400', '[{"a":-1e999}]'])
    assert.deepEqual(await code('PUT', '/tables/users/x', huge), [400, 'BAD_VALUE'])
  assert.equal((await ask('GET', '/tables/users')).status, 200)
})

test('a page of a list is packed for clients that take it', async (t) => {
  const rows = Array.from({ length: 300 }, (_, i) => `key ${i},name of ${i}`)
  const { service } = await testTables(t, {
    files: { 'k.csv': `id,name\n${rows.join('\n')}\n` },
    keys: ['id'],
  })
  const list = async (limit: number, encodings: string | undefined) => {
    const headers = encodings === undefined ? {} : { 'accept-encoding': encodings }
    const asked = request(`${service.url}/tables/k?limit=${limit}`, { headers }).end()
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    const encoding = response.headers['content-encoding']
    assert.equal(response.headers.vary, 'accept-encoding')
    return { encoding, bytes: await buffer(response) }
  }
  const plain = await list(300, undefined)
  assert.equal(plain.encoding, undefined)
  assert.equal((JSON.parse(plain.bytes.toString()) as { entries: unknown[] }).entries.length, 300)
  const packed = await list(300, 'br, gzip')
  assert.equal(packed.encoding, 'gzip')
  assert.ok(packed.bytes.length * 4 < plain.bytes.length)
  assert.deepEqual(gunzipSync(packed.bytes), plain.bytes)
  for (const [limit, encodings] of [
    [300, 'gzip;q=0'],
    [300, 'br'],
    [3, 'gzip'],
  ] as const)
    assert.equal((await list(limit, encodings)).encoding, undefined)
})

test('lists by prefix, by range, in both directions, page by page', async (t) => {
  const names = Array.from(
    { length: 57 },
    (_, i) => `${i % 2 === 0 ? 'even' : 'odd'}/${String(i).padStart(2, '0')}`,
  )
  const { ask } = await testTables(t, {
    files: { 'n.csv': `k,v\n${names.map((name, i) => `${name},${i}\n`).join('')}` },
    keys: ['k'],
  })
  const all = async (query: string, limit: number) => {
    const keys: string[] = []
    for (let cursor: string | undefined = ''; cursor !== undefined;) {
      const more: string = cursor === '' ? '' : `&cursor=${cursor}`
      const { json, status } = await ask('GET', `/tables/n?${query}&limit=${limit}${more}`)
      assert.equal(status, 200)
      const page = json as { entries: { key: string; value: unknown }[]; cursor?: string }
      assert.ok(page.entries.length <= limit)
      keys.push(...page.entries.map(({ key }) => key))
      cursor = page.cursor
    }
    return keys
  }
  const sorted = names.toSorted()
  for (const limit of [1, 7, 57, 1000]) {
    assert.deepEqual(await all('', limit), sorted)
    assert.deepEqual(await all('reverse', limit), sorted.toReversed())
  }
  assert.deepEqual(
    await all('prefix=odd/', 5),
    sorted.filter((name) => name.startsWith('odd/')),
  )
  assert.deepEqual(
    await all('prefix=odd/&reverse=true', 5),
    sorted.filter((name) => name.startsWith('odd/')).toReversed(),
  )
  assert.deepEqual(
    await all('from=even/10&to=even/20', 2),
    sorted.filter((name) => name >= 'even/10' && name <= 'even/20'),
  )
  assert.deepEqual(await all('from=z&to=a', 2), [])
})

test('answers a batch line by line, in order, bad lines too', async (t) => {
  const { ask } = await testTables(t)
  const body =
    ndjson([
      { key: 'ann' },
      { key: 'new', value: { a: 1 } },
      { key: 'new', value: { a: 2 }, ifNoneMatch: '*' },
      { key: 'new' },
      { key: 'bob', delete: true },
      { key: 'bob', delete: true },
      { key: 'x', valu: 1 },
      { value: 1 },
    ]) + 'nonsense\n\n'
  const { text, status } = await ask('POST', '/tables/users', body)
  assert.equal(status, 200)
  const answers = lines(text) as Record<string, unknown>[]
  assert.deepEqual(
    answers.map(({ code, value }) => code ?? value ?? 'made'),
    [
      { name: 'Ann', city: 'Paris' },
      'made',
      'VERSION_CHANGED',
      { a: 1 },
      'made',
      'NO_SUCH_KEY',
      'BAD_LINE',
      'BAD_KEY',
      'BAD_LINE',
    ],
  )
  const reading = await ask('POST', '/tables/users', ndjson([{ key: 'cyd' }]), { authorization: '' })
  assert.deepEqual((lines(reading.text)[0] as { value: unknown }).value, { name: 'Cyd', city: 'Oslo' })
})

test('each line of a batch is answered as if it came alone', async (t) => {
  const { ask } = await testTables(t)
  const codes = async (path: string, batch: readonly unknown[]) =>
    (lines((await ask('POST', path, ndjson(batch))).text) as Record<string, unknown>[]).map(
      ({ code, value }) => code ?? value ?? 'made',
    )
  assert.deepEqual(
    await codes('/tables/users', [
      { key: 'a' },
      { key: 'a', value: 1 },
      { key: 'a' },
      { key: 'a', value: 2 },
      { key: 'a' },
      { key: 'a', delete: true },
      { key: 'a' },
    ]),
    ['NO_SUCH_KEY', 'made', 1, 'made', 2, 'made', 'NO_SUCH_KEY'],
  )
  assert.deepEqual(
    await codes('/tables/nets', [
      { from: '1.0.0.0', to: '1.0.0.9', value: 'x' },
      { key: '1.0.0.5' },
      { key: '1.0.0.5', value: 'y', ifNoneMatch: '*' },
      { key: '1.0.0.3-1.0.0.6', delete: true },
      { key: '1.0.0.5' },
      { key: '1.0.0.5', value: 'z', ifNoneMatch: '*' },
      { key: '1.0.0.9' },
      { key: '1.0.0.0/24', delete: true },
      { key: '1.0.0.0/24', delete: true },
    ]),
    ['made', 'x', 'VERSION_CHANGED', 'made', 'NO_SUCH_KEY', 'made', 'x', 'made', 'NO_SUCH_KEY'],
  )
  // All at once: what a line says of a range that the batch has changed is not a condition.
  const range = { from: '2.0.0.0', to: '2.0.0.9' }
  assert.deepEqual(
    await codes('/tables/nets?atomic', [
      { ...range, value: 1 },
      { ...range, delete: true },
    ]),
    ['made', 'made'],
  )
  assert.deepEqual(
    await codes('/tables/nets?atomic', [
      { ...range, value: 1 },
      { ...range, value: 2, ifMatch: '*' },
    ]),
    ['NOT_APPLIED', 'VERSION_CHANGED'],
  )
  assert.equal((await ask('GET', '/tables/nets/2.0.0.0')).status, 404)
})

test('makes a batch as a whole, or nothing of it', async (t) => {
  const { ask, service } = await testTables(t)
  const before = (await ask('GET', '/tables/users')).text
  const versions = service.tables.get('users')?.map.version
  for (const wrong of [
    { key: 'ann', value: 9, ifMatch: 1 },
    { key: 'gone', delete: true },
    { key: '', value: 1 },
  ]) {
    const { text, status } = await ask(
      'POST',
      '/tables/users?atomic',
      ndjson([{ key: 'a1', value: 1 }, wrong, { key: 'a2', value: 2 }]),
    )
    assert.equal(status, 409)
    const codes = (lines(text) as { code: string }[]).map(({ code }) => code)
    assert.equal(codes[0], 'NOT_APPLIED')
    assert.equal(codes[2], 'NOT_APPLIED')
    assert.notEqual(codes[1], 'NOT_APPLIED')
    assert.equal((await ask('GET', '/tables/users')).text, before)
  }
  assert.equal(service.tables.get('users')?.map.version, versions)
  const { text } = await ask(
    'POST',
    '/tables/users?atomic',
    ndjson([
      { key: 'a1', value: 1 },
      { key: 'a2', value: 2 },
    ]),
  )
  assert.equal((lines(text) as { version: number }[]).length, 2)
  assert.equal(service.tables.get('users')?.map.version, (versions ?? 0) + 1, 'one version for readers')
})

test('reads a changed file again, and keeps versions of what is the same', async (t) => {
  const { ask, folder, service, log } = await testTables(t)
  const etag = (await ask('GET', '/tables/users/ann')).headers.get('etag')
  await ask('PUT', '/tables/users/lost', '1')
  await writeFile(join(folder, 'new'), 'id,name,city\nann,Ann,Paris\nbob,Bob,Turin\n')
  await rename(join(folder, 'new'), join(folder, 'users.csv'))
  await service.reload('asked')
  assert.equal((await ask('GET', '/tables/users/ann')).headers.get('etag'), etag)
  assert.deepEqual((await ask('GET', '/tables/users/bob')).json, { name: 'Bob', city: 'Turin' })
  assert.equal((await ask('GET', '/tables/users/lost')).status, 404)
  await writeFile(join(folder, 'users.csv'), 'id,name,city\nann,Ann,Paris\nann,Ann,Paris\n')
  await service.reload('asked')
  assert.ok(log.some(({ msg }) => msg.includes('has the same key as line 2')))
  assert.equal((await ask('GET', '/health')).status, 200)
  assert.equal(((await ask('GET', '/health')).json as { status: string }).status, 'degraded')
  assert.deepEqual((await ask('GET', '/tables/users/bob')).json, { name: 'Bob', city: 'Turin' })
})

test('ranges side by side that say the same keep their version when the file is read again', async (t) => {
  const files = { 'nets.csv': 'from,to,v\n1,2,x\n3,4,x\n' }
  const { ask, service } = await testTables(t, { files, ranges: ['from,to'] })
  const etag = (await ask('GET', '/tables/nets/3')).headers.get('etag')
  await service.reload('asked')
  assert.equal((await ask('GET', '/tables/nets/3')).headers.get('etag'), etag)
})

test('changes for which there is no memory are refused, also if they cut a large value', async (t) => {
  const files = { 'nets.csv': 'from,to,v\n1,2,x\n' }
  const { ask, log } = await testTables(t, { files, ranges: ['from,to'], memory: '8 MiB' })
  const large = JSON.stringify('x'.repeat(500_000))
  await ask('PUT', '/tables/nets/1000-2000', large)
  const statuses: number[] = []
  // Each cut leaves two of what was one.
  for (let key = 1002; statuses.at(-1) !== 507 && key < 1100; key += 2)
    statuses.push((await ask('PUT', `/tables/nets/${key}`, '1')).status)
  assert.ok(statuses.length > 2)
  assert.equal(statuses.at(-1), 507, statuses.join())
  assert.equal((await ask('GET', '/tables/nets/2000')).text, large)
  assert.ok(!log.some(({ msg }) => msg === 'a change failed'))
})

test('metrics tell of tables and changes', async (t) => {
  const { ask } = await testTables(t)
  await ask('PUT', '/tables/users/dan', '1')
  await ask('GET', '/tables/users/dan')
  await ask('GET', '/tables/users/none')
  const { text } = await ask('GET', '/metrics')
  assert.match(text, /^percpu_table_entries\{table="users"\} 4$/m)
  assert.match(text, /^percpu_table_writes_total\{table="users"\} 1$/m)
  assert.match(text, /^percpu_table_reads_total\{table="users",result="found"\} 1$/m)
  assert.match(text, /^percpu_table_reads_total\{table="users",result="missing"\} 1$/m)
})
