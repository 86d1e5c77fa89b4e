/** What a node says of a server that it cannot use, and of what a bucket does not take. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { temporaryFolder } from '../helpers/files.js'
import { NatsServer, noNats } from '../helpers/nats.js'
import { openBucket, startNode } from '../helpers/nodes.js'
import type { Answered } from '../helpers/tables.js'

const FILES = { files: { 'things.ndjson': '{"id":"a","x":1}\n' }, keys: ['id'] }
const codeOf = ({ status, json }: Answered) => `${status} ${(json as { code?: string }).code}`

test('a server that is not there, has no JetStream, or lets nobody in', { skip: noNats() }, async (t) => {
  const gone = await NatsServer.start(t)
  await gone.kill()
  const url = gone.url
  const refused = (server: NatsServer, options: object, message: RegExp) =>
    assert.rejects(startNode(t, server, { nats: { url: server.url, bucket: 'b', ...options } }), {
      code: 'PERCPU_BUCKET',
      message,
    })
  await refused(gone, {}, /there is no NATS server at 127\.0\.0\.1:\d+/)
  const plain = await NatsServer.start(t, ['--plain'])
  await refused(plain, {}, /has no JetStream: start it with -js/)
  const locked = await NatsServer.start(t, ['--user', 'ann', '--pass', 'secret'])
  await refused(locked, {}, /does not let this node in/)
  const wrong = locked.url.replace('//', '//ann:wrong@')
  await refused(locked, { url: wrong }, /^(?!.*wrong).*does not let this node in/)
  await startNode(t, locked, { nats: { url: locked.url.replace('//', '//ann:secret@'), bucket: 'b' } })
  await assert.rejects(startNode(t, gone, { nats: { url, bucket: 'b', credentials: '/nowhere' } }), {
    code: 'PERCPU_FILE',
  })
  const data = join(await temporaryFolder(t), 'data')
  await assert.rejects(startNode(t, gone, { data }), { code: 'PERCPU_USAGE' })
  assert.equal(existsSync(data), false, 'nothing was made')
})

test('what is too large, and a bucket that is full', { skip: noNats() }, async (t) => {
  const config = join(await temporaryFolder(t), 'nats.conf')
  await writeFile(config, 'max_payload: 4096\n')
  const server = await NatsServer.start(t, ['-c', config])
  const { kvm } = await openBucket(t, server)
  await kvm.create('small', { max_bytes: 6000 })
  const { ask } = await startNode(t, server, { ...FILES, nats: { url: server.url, bucket: 'small' } })
  const value = (bytes: number) => JSON.stringify('x'.repeat(bytes))
  assert.equal(codeOf(await ask('PUT', '/tables/things/a', value(4096))), '413 VALUE_TOO_LARGE')
  assert.equal((await ask('PUT', '/tables/things/b', value(3000))).status, 201)
  assert.equal(codeOf(await ask('PUT', '/tables/things/c', value(3000))), '507 BUCKET_FULL')
  assert.equal((await ask('GET', '/tables/things/c')).status, 404)
  await kvm.create('short', { ttl: 1_000_000 })
  await assert.rejects(startNode(t, server, { nats: { url: server.url, bucket: 'short' } }), /TTL/)
})

test('a file whose reader is gone is read by another node', { skip: noNats() }, async (t) => {
  const server = await NatsServer.start(t)
  const { kv } = await openBucket(t, server)
  // As a node leaves it that is killed in the middle.
  await kv.put('things.load', '{"node":"gone","done":false}')
  await kv.put('things.spec', '{"keys":"text","isRange":false}')
  await kv.put(`things.k.${Buffer.from('a').toString('base64url')}`, '{"x":1}')
  const nats = { url: server.url, bucket: 'tables', patienceMilliseconds: 200 }
  const nodes = await Promise.all([0, 1].map(() => startNode(t, server, { ...FILES, nats })))
  for (const { ask } of nodes) assert.equal((await ask('GET', '/tables/things/a')).text, '{"x":1}')
  assert.equal((await kv.get('things.load'))?.json<{ done: boolean }>().done, true)
})
