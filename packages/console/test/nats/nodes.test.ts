/** Tables of several nodes that share a bucket: what each sees, and when. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { canSharePort } from 'percpu-console'
import { NatsServer, until, noNats } from '../helpers/nats.js'
import { bucketContents, contentsOf, openBucket, startNode, type TestNode } from '../helpers/nodes.js'
import { lines, ndjson, USERS, NETS } from '../helpers/tables.js'

const FILES = {
  files: { 'users.csv': USERS, 'nets.csv': NETS },
  keys: ['users:id'],
  ranges: ['nets:from,to'],
}

test('three nodes', { skip: noNats() }, async (t) => {
  const server = await NatsServer.start(t)
  // All at once: one of them reads the files.
  const nodes = await Promise.all([0, 1, 2].map(() => startNode(t, server, FILES)))
  await t.test('one node reads the files, and all have the tables', async (t) => {
    const loaded = nodes.flatMap(({ log }) => log.filter(({ msg }) => msg === 'table loaded'))
    assert.equal(loaded.length, 2)
    for (const { ask } of nodes) {
      assert.deepEqual((await ask('GET', '/tables/users/bob')).json, { name: 'Bob', city: 'Rome' })
      assert.deepEqual((await ask('GET', '/tables/nets/10.0.2.77')).json, { owner: 'office' })
    }
    const threads = canSharePort() ? 2 : 1
    for (const { ask } of nodes) {
      const { workers } = (await ask('GET', '/health')).json as { workers: unknown }
      assert.deepEqual(workers, { listening: threads, wanted: threads })
    }
    // One that comes later needs no files.
    const late = await startNode(t, server)
    assert.deepEqual((await late.ask('GET', '/tables/users/cyd')).json, { name: 'Cyd', city: 'Oslo' })
    const { kv } = await openBucket(t, server)
    assert.deepEqual(contentsOf(late.service.tables.get('users')), await bucketContents(kv, 'users'))
  })

  await t.test('a change is seen at once where it was made, and elsewhere by its number', async () => {
    const [one, other] = nodes as [TestNode, TestNode]
    for (let i = 0; i < 15; i++) {
      const { status, json, headers } = await one.ask('PUT', '/tables/users/dan', `{"i":${i}}`)
      assert.equal(status, i === 0 ? 201 : 200)
      const { version } = json as { version: number }
      assert.ok(Number(headers.get('x-percpu-sequence')) >= version)
      assert.deepEqual((await one.ask('GET', '/tables/users/dan')).json, { i })
      const seen = await other.ask('GET', '/tables/users/dan', undefined, {
        'x-percpu-sequence': String(version),
      })
      assert.deepEqual(seen.json, { i })
      assert.equal(seen.headers.get('etag'), `"${version}"`)
    }
    const ahead = await other.ask('GET', '/tables/users/dan', undefined, { 'x-percpu-sequence': '999999' })
    assert.equal(ahead.status, 503)
    assert.equal((ahead.json as { code: string }).code, 'BEHIND')
  })

  await t.test('who carries its number never goes back, whichever threads of the nodes it asks', async () => {
    const [one, other] = nodes as [TestNode, TestNode]
    let isOver = false
    const count = async () => {
      for (let i = 0; !isOver; i++) await one.ask('PUT', '/tables/users/clock', String(i))
    }
    const counting = count()
    let [sequence, last] = [0, -1]
    for (let i = 0; i < 300; i++) {
      const { service } = i % 2 === 0 ? one : other
      const read = await askAnew(`${service.url}/tables/users/clock`, sequence)
      if (read.status === 404 && last === -1) continue
      assert.equal(read.status, 200)
      assert.ok(Number(read.text) >= last, `${read.text} after ${last}`)
      assert.ok(read.sequence >= sequence && read.sequence >= read.version)
      ;[sequence, last] = [read.sequence, Number(read.text)]
    }
    isOver = true
    await counting
    assert.ok(last > 0)
  })

  await t.test('a table that comes later, goes, and comes as another one is so to all threads', async (t) => {
    const late = await startNode(t, server, {
      files: { 'late.csv': 'id,name\n1,one\n' },
      keys: ['late:id'],
    })
    const { kv } = await openBucket(t, server)
    const ask = async (path: string, sequence: number) =>
      Promise.all(
        nodes.flatMap(({ service }) =>
          Array.from({ length: 6 }, () => askAnew(`${service.url}${path}`, sequence)),
        ),
      )
    const { version } = (await late.ask('PUT', '/tables/late/2', '"two"')).json as { version: number }
    for (const { text } of await ask('/tables/late/2', version)) assert.equal(text, '"two"')
    for (const { text } of await ask('/tables/late/1', version)) assert.equal(text, '{"name":"one"}')
    for (const name of ['late.k.Mg', 'late.k.MQ']) await kv.delete(name)
    const gone = await kv.put('late.spec', '')
    for (const { text } of await ask('/tables/late/2', gone)) assert.match(text, /NO_SUCH_TABLE/)
    const spec = JSON.stringify({ keys: 'text', isRange: false })
    const again = await kv.put('late.spec', spec)
    for (const { text } of await ask('/tables/late/2', again)) assert.match(text, /NO_SUCH_KEY/)
  })

  await t.test('conditions hold in the bucket, whichever node is asked', async () => {
    const [one, other, third] = nodes as [TestNode, TestNode, TestNode]
    const code = ({ status, json }: { status: number; json: unknown }) =>
      status < 300 ? status : `${status} ${(json as { code: string }).code}`
    const made = await Promise.all(
      nodes.map(({ ask }) => ask('PUT', '/tables/users/new', '1', { 'if-none-match': '*' })),
    )
    assert.deepEqual(made.map(code).toSorted(), [201, '412 VERSION_CHANGED', '412 VERSION_CHANGED'])
    const etag = (await one.ask('GET', '/tables/users/ann')).headers.get('etag') ?? ''
    const swapped = await Promise.all(
      nodes.map(({ ask }) => ask('PUT', '/tables/users/ann', '2', { 'if-match': etag })),
    )
    assert.deepEqual(swapped.map(code).toSorted(), [200, '412 VERSION_CHANGED', '412 VERSION_CHANGED'])
    const deleted = await Promise.all(nodes.map(({ ask }) => ask('DELETE', '/tables/users/bob')))
    assert.deepEqual(deleted.map(code).toSorted(), [200, '404 NO_SUCH_KEY', '404 NO_SUCH_KEY'])
    assert.equal(
      code(await other.ask('PUT', '/tables/users/bob', '3', { 'if-match': '*' })),
      '412 VERSION_CHANGED',
    )
    assert.equal(code(await other.ask('PUT', '/tables/users/bob', '3', { 'if-none-match': '*' })), 201)
    assert.equal(code(await third.ask('PUT', '/tables/users/bob', '4', { 'if-match': '*' })), 200)
    assert.equal(
      code(await third.ask('DELETE', '/tables/users/bob', undefined, { 'if-match': '"0"' })),
      '412 VERSION_CHANGED',
    )
  })

  await t.test('counters that all nodes count up lose nothing', async () => {
    await nodes[0]?.ask('PUT', '/tables/users/count', '0')
    let newest = 0
    const countUp = async ({ ask }: TestNode) => {
      for (let made = 0; made < 8;) {
        const { text, headers } = await ask('GET', '/tables/users/count')
        const changed = await ask('PUT', '/tables/users/count', String(Number(text) + 1), {
          'if-match': headers.get('etag') ?? '*',
        })
        if (changed.status !== 200) continue
        made++
        newest = Math.max(newest, (changed.json as { version: number }).version)
      }
    }
    await until('all have the count', async () =>
      (await Promise.all(nodes.map(({ ask }) => ask('GET', '/tables/users/count')))).every(
        ({ text }) => text === '0',
      ),
    )
    await Promise.all(nodes.map(countUp))
    // The last one may have been another node's.
    const last = await askAnew(`${nodes[0]?.service.url}/tables/users/count`, newest)
    assert.equal(last.text, '24')
  })

  await t.test('ranges lie over each other in the same way at all nodes', async (t) => {
    const [one] = nodes as [TestNode]
    for (let i = 0; i < 30; i++) {
      const node = nodes[i % 3] as TestNode
      const from = (i * 37) % 100
      const path = `/tables/nets/10.1.0.${from}-10.1.0.${from + ((i * 53) % 100)}`
      if (i % 5 === 4) await node.ask('DELETE', path)
      else assert.ok((await node.ask('PUT', path, `{"i":${i}}`)).status < 300)
    }
    const sequence = Math.max(
      ...(await Promise.all(nodes.map(({ ask }) => ask('GET', '/tables')))).map(({ headers }) =>
        Number(headers.get('x-percpu-sequence')),
      ),
    )
    for (const { ask } of nodes)
      assert.equal(
        (await ask('GET', '/tables', undefined, { 'x-percpu-sequence': String(sequence) })).status,
        200,
      )
    // One that comes later has only the last write of each range.
    const late = await startNode(t, server)
    const [expected, ...others] = [...nodes, late].map(({ service }) =>
      contentsOf(service.tables.get('nets')),
    )
    for (const other of others) assert.deepEqual(other, expected)
    const refused = await one.ask('PUT', '/tables/nets/10.1.0.1', '1', { 'if-match': '*' })
    assert.equal(`${refused.status} ${(refused.json as { code: string }).code}`, '501 NOT_SUPPORTED')
  })

  await t.test('changes are told by all nodes in one order, under the same numbers', async () => {
    const [one, other] = nodes as [TestNode, TestNode]
    const { version: after } = (await one.ask('PUT', '/tables/users/told', '0')).json as { version: number }
    await other.ask('GET', '/tables', undefined, { 'x-percpu-sequence': String(after) })
    for (let i = 0; i < 6; i++) await nodes[i % 3]?.ask('PUT', `/tables/users/told${i}`, String(i))
    await one.ask('DELETE', '/tables/users/told')
    const [told, also] = await Promise.all([one, other].map(({ service }) => changes(service.url, after, 7)))
    assert.equal(told?.length, 7)
    assert.match(told.at(-1) ?? '', /^event: delete\nid: \d+\ndata: .*"key":"told"/)
    assert.deepEqual(also, told)
  })

  await t.test('lines of a batch are made by themselves, and in their order', async () => {
    const [one] = nodes as [TestNode]
    const batch = [
      { key: 'x', value: 1 },
      { key: 'x', value: 2 },
      { key: 'x', delete: true },
      { key: 'x', delete: true },
      { key: 'y', value: 3 },
    ]
    const { text } = await one.ask('POST', '/tables/users', ndjson(batch))
    const answers = lines(text) as { version?: number; code?: string }[]
    assert.deepEqual(
      answers.map(({ version, code }) => code ?? typeof version),
      ['number', 'number', 'number', 'NO_SUCH_KEY', 'number'],
    )
    const atomic = await one.ask('POST', '/tables/users?atomic', ndjson(batch))
    assert.equal((atomic.json as { code: string }).code, 'NOT_SUPPORTED')
  })
})

/**
 * Asks by a connection of its own: the thread that answers is any. A node that is not there in time
 * is asked again.
 */
async function askAnew(url: string, sequence: number) {
  for (;;) {
    const answer = await askOnce(url, sequence)
    if (answer.status !== 503) return answer
    assert.match(answer.text, /"BEHIND"/)
  }
}
async function askOnce(url: string, sequence: number) {
  const request = get(url, { agent: false, headers: { 'x-percpu-sequence': String(sequence) } })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of response.setEncoding('utf8')) text += String(piece)
  return {
    ...{ status: response.statusCode, text },
    sequence: Number(response.headers['x-percpu-sequence']),
    version: Number(response.headers.etag?.slice(1, -1) ?? 0),
  }
}

/** The next changes after a number, as they are told. */
async function changes(url: string, after: number, count: number): Promise<readonly string[]> {
  const request = get(`${url}/changes?after=${after}`)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of response.setEncoding('utf8')) {
    text += String(piece)
    // The first one only says that it is open.
    if (text.split('\n\n').length > count + 1) break
  }
  request.destroy()
  return text.split('\n\n').slice(1, -1)
}
