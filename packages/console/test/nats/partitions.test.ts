/**
 * Nodes that are cut off and come back, a server that is killed, and a bucket that is another one:
 * in the end all tables are those of the bucket, key by key.
 *
 * NATS_SECONDS=60 is the long form.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Bucket, type KV } from '@nats-io/kv'
import { NatsServer, until, noNats } from '../helpers/nats.js'
import { bucketContents, contentsOf, openBucket, startNode, type TestNode } from '../helpers/nodes.js'
import type { Answered } from '../helpers/tables.js'

const SECONDS = Number(process.env['NATS_SECONDS'] ?? 0.4)
const KEYS = 20
const codeOf = ({ json }: Answered) => (json as { code?: string }).code
const stateOf = async ({ ask }: TestNode) =>
  (await ask('GET', '/health')).json as { status: string; bucket: { connected: boolean } }

/** A node asked for random changes, and what became of them. */
class Client {
  /** Versions that were acknowledged, by key; undefined: deleted. */
  readonly made = new Map<string, [version: number, value: unknown][]>()
  readonly codes = new Set<string>()
  count = 0
  readonly #node: TestNode
  readonly #name: string
  #isOver = false
  readonly #running: Promise<void>

  constructor(node: TestNode, name: string) {
    this.#node = node
    this.#name = name
    this.#running = this.#run()
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#running
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const key = `k${Math.floor(Math.random() * KEYS)}`
      const path = `/tables/things/${key}`
      const { ask } = this.#node
      const etag = i % 3 === 0 ? (await ask('GET', path)).headers.get('etag') : null
      const condition: Record<string, string> = etag === null ? {} : { 'if-match': etag }
      const value = i % 5 === 4 ? undefined : `${this.#name} ${i}`
      const answer = await (value === undefined
        ? ask('DELETE', path, undefined, condition)
        : ask('PUT', path, JSON.stringify(value), condition))
      if (answer.status >= 300) {
        this.codes.add(codeOf(answer) ?? answer.text)
        // Who is refused at once would ask thousands of times.
        if (answer.status === 503) await pause(5)
        continue
      }
      const { version } = answer.json as { version: number }
      const list = this.made.get(key) ?? []
      list.push([version, value])
      this.count++
      this.made.set(key, list)
    }
  }
}

/** That all nodes have what the bucket has, and nothing that was acknowledged is lost. */
async function converged(kv: KV, nodes: readonly TestNode[], clients: readonly Client[] = []): Promise<void> {
  const bucket = await bucketContents(kv, 'things')
  const text = JSON.stringify(sorted(bucket))
  for (const { service } of nodes)
    await until('all nodes have the table of the bucket', () => {
      return JSON.stringify(sorted(contentsOf(service.tables.get('things')))) === text
    })
  for (let i = 0; i < KEYS; i++) {
    const all = clients.flatMap(({ made }) => made.get(`k${i}`) ?? [])
    const last = all.toSorted(([one], [other]) => other - one)[0]
    if (!last) continue
    const entry = await kv.get(`things.k.${Buffer.from(`k${i}`).toString('base64url')}`)
    const [version, value] = last
    // A later one was not acknowledged: after a cut it may be there.
    if (entry?.revision === version)
      assert.deepEqual(entry.operation === 'PUT' ? entry.json() : undefined, value)
    else assert.ok((entry?.revision ?? 0) > version, `k${i}: version ${version} is lost`)
  }
}
function sorted(contents: object): unknown[] {
  return Object.entries(contents).toSorted(([one], [other]) => (one < other ? -1 : 1))
}

test('nodes that were cut off', { skip: noNats() }, async (t) => {
  const server = await NatsServer.start(t)
  const files = { 'things.ndjson': '{"id":"first","x":1}\n' }
  const options = { files, keys: ['id'] }
  const nodes = [
    await startNode(t, server, options),
    await startNode(t, server, options),
    await startNode(t, server, options),
  ] as const
  const [one, two, three] = nodes
  let { kv, kvm } = await openBucket(t, server)
  const isWhole = async () =>
    (await Promise.all(nodes.map((node) => stateOf(node)))).every(({ status }) => status === 'ok')

  await t.test('a node that is cut off reads, and refuses changes', async () => {
    three.link.cut()
    await until('it knows', async () => !(await stateOf(three)).bucket.connected)
    assert.equal((await stateOf(three)).status, 'degraded')
    assert.equal((await three.ask('GET', '/tables/things/first')).text, '{"x":1}')
    assert.equal(codeOf(await three.ask('PUT', '/tables/things/first', '1')), 'CUT_OFF')
    await one.ask('PUT', '/tables/things/second', '2')
    await one.ask('DELETE', '/tables/things/first')
    assert.equal((await three.ask('GET', '/tables/things/first')).text, '{"x":1}')
    three.link.letGo()
    await converged(kv, nodes)
    // It went on where it was.
    const read = three.log.filter(({ msg }) => msg === 'tables read from the bucket')
    assert.equal(read.length, 1)
  })

  await t.test('a node on whose connection nothing comes through does not hang', async () => {
    three.link.stall()
    assert.equal(codeOf(await three.ask('PUT', '/tables/things/stalled', '1')), 'CUT_OFF')
    await one.ask('PUT', '/tables/things/third', '3')
    three.link.letGo()
    await converged(kv, nodes)
  })

  await t.test('under changes at all nodes, with cuts, and the server killed', async () => {
    await until('all are well', isWhole)
    const clients = nodes.map((node, i) => new Client(node, `client ${i}`))
    const end = performance.now() + SECONDS * 1000
    do {
      for (const { link } of [two, three]) {
        link.cut()
        await pause(Math.random() * 50)
        link.letGo()
        await pause(Math.random() * 50)
      }
      await server.kill()
      await server.start()
    } while (performance.now() < end)
    await until('all are well', isWhole)
    const counts = clients.map(({ count }) => count)
    await until('all nodes take changes again', () =>
      clients.every(({ count }, i) => count > (counts[i] ?? 0)),
    )
    await Promise.all(clients.map((client) => client.end()))
    // This connection was cut, too: a new one knows nothing of it.
    ;({ kv, kvm } = await openBucket(t, server))
    await converged(kv, nodes, clients)
    for (const { codes } of clients)
      for (const code of codes)
        assert.ok(['CUT_OFF', 'BEHIND', 'VERSION_CHANGED', 'NO_SUCH_KEY', 'BUSY'].includes(code), code)
  })

  await t.test('a deletion whose mark was purged while a node was cut off', async () => {
    await one.ask('PUT', '/tables/things/gone', '1')
    await converged(kv, nodes)
    three.link.cut()
    await until('it knows', async () => !(await stateOf(three)).bucket.connected)
    await one.ask('DELETE', '/tables/things/gone')
    assert.ok(kv instanceof Bucket)
    await kv.purgeDeletes(-1)
    await one.ask('PUT', '/tables/things/later', '1')
    three.link.letGo()
    await converged(kv, nodes)
    assert.equal((await three.ask('GET', '/tables/things/gone')).status, 404)
  })

  await t.test('a bucket that is deleted, and made anew', async () => {
    const following = get(`${two.service.url}/changes`, { agent: false })
    const [changes] = (await once(following, 'response')) as [IncomingMessage]
    let text = ''
    changes.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    await kv.destroy()
    assert.equal(codeOf(await one.ask('PUT', '/tables/things/x', '1')), 'CUT_OFF')
    assert.equal((await one.ask('GET', '/tables/things/later')).text, '1')
    const anew = await kvm.create('tables', { history: 8 })
    const newcomer = await startNode(t, server, options)
    await newcomer.ask('PUT', '/tables/things/x', '"new"')
    await converged(anew, [...nodes, newcomer])
    assert.equal((await two.ask('PUT', '/tables/things/y', '1')).status, 201)
    // Who followed is ended, comes back, and hears that it has to list anew.
    if (!changes.complete) await once(changes, 'end')
    const id = /^id: (\d+)$/m.exec(text)?.[1] ?? ''
    const headers = { 'last-event-id': id }
    const back = get(`${two.service.url}/changes`, { agent: false, headers })
    const [again] = (await once(back, 'response')) as [IncomingMessage]
    const [first] = (await once(again.setEncoding('utf8'), 'data')) as [string]
    assert.match(first, /^event: reset\n/)
    back.destroy()
  })
})
