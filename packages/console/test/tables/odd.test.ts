/** Odd values, bodies and files: each is refused with its reason, or kept as it is. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { connect } from 'node:net'
import { readRows, tableSources, TableRefusedError } from 'percpu-console'
import { temporaryFolder } from '../helpers/files.js'
import { CSV_FORMAT, lines, testTables } from '../helpers/tables.js'

const DEEP = '['.repeat(100_000) + ']'.repeat(100_000)

async function rowsOf(t: TestContext, name: string, text: string | Buffer) {
  const file = join(await temporaryFolder(t), name)
  await writeFile(file, text)
  const [source] = tableSources([file], ['id'], [], { ...CSV_FORMAT, columns: undefined })
  assert.ok(source)
  return readRows(source, undefined)
}
/** What is wrong with a file, and where. */
async function problemsOf(t: TestContext, name: string, text: string | Buffer): Promise<string[]> {
  const error: unknown = await rowsOf(t, name, text).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof TableRefusedError, String(error))
  return error.problems.map(({ line, text: what }) => `${line}: ${what}`)
}

test('a file that is empty is refused, and one without rows is an empty table', async (t) => {
  for (const empty of ['', '\n\n'])
    assert.deepEqual(await problemsOf(t, 'e.csv', empty), [
      '0: is empty: its first line names the columns, or --columns does',
    ])
  const { rows } = await rowsOf(t, 'h.csv', 'id,name\n')
  assert.deepEqual(rows, [])
})

test('a file of ranges without rows is refused, unless it is known what they are of', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'r.csv')
  await writeFile(file, 'from,to,name\n')
  const [source] = tableSources([file], [], ['from,to'], CSV_FORMAT)
  assert.ok(source)
  await assert.rejects(readRows(source, undefined), {
    code: 'PERCPU_TABLE_REFUSED',
    message: /has no rows: the first one says whether ranges are of numbers or of addresses/,
  })
  assert.deepEqual((await readRows(source, 'number')).rows, [])
})

test('a value that is nested too deeply, or is no UTF-8, is refused', async (t) => {
  const { ask, service, token } = await testTables(t)
  const deep = await ask('PUT', '/tables/users/x', DEEP)
  // Later versions of Node write any depth.
  if (deep.status !== 201)
    assert.deepEqual([deep.status, (deep.json as { code: string }).code], [400, 'BAD_VALUE'])
  const inBatch = await ask('POST', '/tables/users', `{"key":"x","value":${DEEP}}\n`)
  if (deep.status !== 201) assert.equal((lines(inBatch.text)[0] as { code: string }).code, 'BAD_VALUE')
  const response = await fetch(`${service.url}/tables/users/x`, {
    method: 'PUT',
    body: Buffer.from([0x22, 0xff, 0x22]),
    headers: { authorization: `Bearer ${token}` },
  })
  assert.equal(response.status, 400)
  assert.equal(((await response.json()) as { code: string }).code, 'MALFORMED_BODY')
})

test('a body of unknown length that is too large has an answer', async (t) => {
  const { service, token } = await testTables(t)
  const put = request(`${service.url}/tables/users/x`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}` },
  })
  put.on('error', () => undefined)
  // Until it is answered, it goes on.
  const more = () => {
    if (put.write('"'.repeat(60_000))) setImmediate(more)
  }
  put.on('drain', more)
  more()
  const [response] = (await once(put, 'response')) as [{ statusCode: number }]
  assert.equal(response.statusCode, 413)
  put.destroy()
})

test('a client that asks for more and more, and reads nothing, is cut off', async (t) => {
  const { ask, service } = await testTables(t)
  const value = JSON.stringify('x'.repeat(1_000_000))
  for (let i = 0; i < 4; i++) assert.equal((await ask('PUT', `/tables/users/k${i}`, value)).status, 201)
  const { port } = new URL(service.url)
  const socket = connect(Number(port), '127.0.0.1').pause()
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  // In one piece: 300 answers of 4 MB.
  socket.write('GET /tables/users HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(300))
  assert.equal((await ask('GET', '/health')).status, 200)
  socket.resume()
  await once(socket, 'close')
  assert.ok(socket.bytesRead < 100e6, `${socket.bytesRead} bytes were answered`)
})

test('an ETag that a proxy has made a weak one is the same version', async (t) => {
  const { ask } = await testTables(t)
  const etag = (await ask('GET', '/tables/users/ann')).headers.get('etag') ?? ''
  const weak = await ask('GET', '/tables/users/ann', undefined, { 'if-none-match': `"1", W/${etag}` })
  assert.equal(weak.status, 304)
  assert.equal((await ask('PUT', '/tables/users/ann', '1', { 'if-match': `W/${etag}` })).status, 400)
})

test('texts in lines of JSON may hold other ends of lines', async (t) => {
  const { rows } = await rowsOf(t, 'k.ndjson', '{"id":"a","v":"\u2028\u2029"}\r\n\n{"id":"b","v":1}')
  assert.deepEqual(
    rows.map(({ value, line }) => [value, line]),
    [
      ['{"v":"\u2028\u2029"}', 1],
      ['{"v":1}', 3],
    ],
  )
})

test('what is wrong in lines of JSON is told with its line', async (t) => {
  const text = Buffer.concat([
    Buffer.from('{"id":"a"}\n{"id":"'),
    Buffer.from([0xff]),
    Buffer.from('"}\n{"id":9007199254740993}\n{"id":"d","v":\n'),
  ])
  const problems = await problemsOf(t, 'k.ndjson', text)
  assert.match(
    problems.join('\n'),
    /^2: holds bytes that are not UTF-8\n3: id is a number above.*\n4: is no JSON/,
  )
  const long = await problemsOf(t, 'k.ndjson', `{"id":"a"}\n{"id":"${'x'.repeat(5 << 20)}"}\n{"id":"b"}\n`)
  assert.match(long.join(), /^2: is longer than/)
})

test('a line of JSON that is nested too deeply is told with its line', async (t) => {
  const text = `{"id":"a"}\n{"id":"b","v":${DEEP}}\n`
  try {
    assert.equal((await rowsOf(t, 'k.ndjson', text)).rows.length, 2)
  } catch (error) {
    assert.ok(error instanceof TableRefusedError, String(error))
    assert.match(String(error.problems[0]?.line), /2/)
  }
})

test('a line with too few columns is refused', async (t) => {
  const problems = await problemsOf(t, 'k.csv', 'id,v,w\na\nb,1\n')
  assert.equal(
    problems.join('\n'),
    '2: has one column, not 3 as its header\n3: has 2 columns, not 3 as its header',
  )
})

test('a column that is there twice is refused', async (t) => {
  assert.match((await problemsOf(t, 'k.csv', 'id,v,v\na,1,2\n')).join(), /^1: names column 'v' twice/)
})
