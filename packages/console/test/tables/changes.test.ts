import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { testTables, type TestTables } from '../helpers/tables.js'

interface Event {
  readonly event: string
  readonly id: number
  readonly data: Record<string, unknown>
}

/** Server-sent events as they come. */
class Events {
  readonly #controller = new AbortController()
  readonly #events: AsyncGenerator<Event>

  private constructor(body: ReadableStream<Uint8Array>, controller: AbortController) {
    this.#controller = controller
    this.#events = read(body)
  }
  static async open(t: TestContext, { service }: TestTables, query = '', lastId?: number): Promise<Events> {
    const controller = new AbortController()
    t.after(() => controller.abort())
    const response = await fetch(`${service.url}/changes${query}`, {
      signal: controller.signal,
      headers: lastId === undefined ? {} : { 'last-event-id': String(lastId) },
    })
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    return new Events(response.body as ReadableStream<Uint8Array>, controller)
  }
  async next(): Promise<Event> {
    const next = await this.#events.next()
    assert.ok(next.done !== true, 'the stream has ended')
    return next.value
  }
  async take(count: number): Promise<Event[]> {
    const events: Event[] = []
    while (events.length < count) events.push(await this.next())
    return events
  }
  close(): void {
    this.#controller.abort()
  }
}

async function* read(body: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  let text = ''
  for await (const piece of body.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>) {
    text += piece
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = Object.fromEntries(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      ) as Record<string, string>
      text = text.slice(end + 2)
      if (fields['event'] !== undefined)
        yield {
          event: fields['event'],
          id: Number(fields['id']),
          data: JSON.parse(fields['data'] ?? 'null') as Record<string, unknown>,
        }
    }
  }
}

test('followers hear of each change once, in order, as it was made', async (t) => {
  const tables = await testTables(t)
  const events = await Events.open(t, tables)
  const { event, id } = await events.next()
  assert.equal(event, 'open')
  await tables.ask('PUT', '/tables/users/dan', '{"a":1}')
  await tables.ask('DELETE', '/tables/users/dan')
  await tables.ask('PUT', '/tables/nets/10.9.0.0-10.9.0.255', '"n"')
  assert.deepEqual(await events.take(3), [
    { event: 'set', id: id + 1, data: { table: 'users', key: 'dan', version: id + 1, value: { a: 1 } } },
    { event: 'delete', id: id + 2, data: { table: 'users', key: 'dan', version: id + 2 } },
    {
      event: 'set',
      id: id + 3,
      data: { table: 'nets', from: '10.9.0.0', to: '10.9.0.255', version: id + 3, value: 'n' },
    },
  ])
})

test('a client that comes back hears what it has missed, and of one table only if it says so', async (t) => {
  const tables = await testTables(t)
  const first = await Events.open(t, tables, '?table=users')
  const { id } = await first.next()
  first.close()
  for (let i = 0; i < 50; i++) {
    await tables.ask('PUT', `/tables/users/k${i}`, String(i))
    await tables.ask('PUT', `/tables/nets/${i}.0.0.0`, String(i))
  }
  const again = await Events.open(t, tables, '?table=users', id)
  assert.deepEqual(
    (await again.take(51)).map(({ event, data }) => (event === 'open' ? 'open' : data['value'])),
    ['open', ...Array.from({ length: 50 }, (_, i) => i)],
  )
  const rest = await Events.open(t, tables, `?after=${id + 99}`)
  assert.equal((await rest.next()).id, id + 99)
  assert.equal((await rest.next()).id, id + 100)
})

test('a client that has missed more than is kept is told to begin anew', async (t) => {
  const tables = await testTables(t, { history: 2000 })
  const { id } = await (await Events.open(t, tables)).next()
  for (let i = 0; i < 40; i++) await tables.ask('PUT', `/tables/users/k${i}`, JSON.stringify('x'.repeat(100)))
  const late = await Events.open(t, tables, '', id)
  assert.deepEqual(await late.next(), { event: 'reset', id: id + 40, data: { sequence: id + 40 } })
  const future = await Events.open(t, tables, '', id + 1e6)
  assert.equal((await future.next()).event, 'reset')
  const fresh = await Events.open(t, tables, '', id + 39)
  assert.deepEqual(
    (await fresh.take(2)).map(({ event }) => event),
    ['open', 'set'],
  )
})

test('refuses a table that there is not, and a number that is none', async (t) => {
  const { ask } = await testTables(t)
  assert.equal((await ask('GET', '/changes?table=nothing')).status, 404)
  assert.equal((await ask('GET', '/changes?after=x')).status, 400)
})

test('a file that is read again resets its table', async (t) => {
  const tables = await testTables(t)
  const events = await Events.open(t, tables, '?table=nets')
  await events.next()
  await tables.service.reload('asked')
  const { event, data } = await events.next()
  assert.deepEqual([event, data['table']], ['reset', 'nets'])
})

test('a client that has missed more than may wait for it gets all of it', async (t) => {
  const tables = await testTables(t)
  const { id } = await (await Events.open(t, tables)).next()
  const value = JSON.stringify('x'.repeat(900_000))
  for (let i = 0; i < 8; i++) await tables.ask('PUT', `/tables/users/k${i}`, value)
  const late = await Events.open(t, tables, '', id)
  await tables.ask('PUT', '/tables/users/last', '1')
  const events = await late.take(10)
  assert.deepEqual(
    events.map((event) => event.id),
    [id, ...Array.from({ length: 9 }, (_, i) => id + 1 + i)],
  )
})
