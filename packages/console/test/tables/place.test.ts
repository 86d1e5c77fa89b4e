/** A thread that answers requests where other nodes make changes, too: what it knows, and when. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { test, type TestContext } from 'node:test'
import { boot } from 'percpu'
import {
  History,
  PlaceWords,
  Refusal,
  RemotePlace,
  Table,
  tableFronts,
  TableMetrics,
  Token,
  type TableList,
  type TableSpec,
} from 'percpu-console'
import { pino } from 'pino'

const specOf = (name: string, isRange = false): TableSpec => ({ name, keys: 'number', isRange })

/** One thread, and a place that the test moves. */
async function open(t: TestContext) {
  const machine = boot({ memory: '32 MiB', cpus: 4 })
  const tables = new Map([['t', new Table(machine, specOf('t'))]])
  const logger = pino({ level: 'silent' })
  const feed = new History(2 ** 20)
  const words = new PlaceWords()
  const metrics = new TableMetrics({
    ...{ machine, tables },
    sequence: () => words.applied,
    waiting: () => 0,
    clients: () => 0,
    logBytes: () => 0,
  })
  const control: { reach: (sequence: number) => Promise<void> } = {
    reach: () => assert.fail('nobody is to wait'),
  }
  const fronts = tableFronts({
    ...{ machine, tables, logger, metrics, feed },
    ...{ workers: 1, host: '127.0.0.1', port: 0, token: new Token('secret', false) },
    ...{ historyBytes: 2 ** 20, bodyLimit: 2 ** 24, timeoutMilliseconds: 30_000 },
    changes: { write: () => assert.fail('nothing is changed') },
    place: {
      words,
      get newest(): number {
        return words.newest
      },
      knowsTables: true,
      learnTables: () => Promise.resolve(),
      reach: (sequence) => control.reach(sequence),
    },
    sequence: () => words.applied,
    health: () => ({ isAlive: true, body: {} }),
    onFailed: (error) => assert.fail(error),
  })
  await fronts.start()
  t.after(async () => {
    await fronts.close()
    await machine.offline()
  })
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const request = http.get(`http://127.0.0.1:${fronts.port}${path}`, { agent: false, headers })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    let text = ''
    for await (const piece of response.setEncoding('utf8')) text += String(piece)
    const names = response.rawHeaders.filter((_text, i) => i % 2 === 0)
    const sequence = response.headers['x-percpu-sequence']
    return { status: response.statusCode, text, sequence, names }
  }
  const put = (name: string, version: number) =>
    tables.get(name)?.apply([{ from: 1, to: 1, version, value: Buffer.from(`"${name} at ${version}"`) }])
  return { machine, tables, feed, words, control, fronts, get, put }
}

test('an answer says up to which change it may be, whoever writes it', async (t) => {
  const { words, get, put } = await open(t)
  words.moveTo(5)
  put('t', 5)
  for (const path of ['/tables/t/1', '/tables/t/%31', '/tables/t', '/tables/t/2', '/tables'])
    assert.equal((await get(path)).sequence, '5', path)
  const [direct, whole] = [await get('/tables/t/1'), await get('/tables/t/%31')]
  assert.deepEqual(direct.names, whole.names)
  // The change is on its way: who sees it must not go back behind it.
  words.begin(8)
  put('t', 8)
  for (const path of ['/tables/t/1', '/tables/t/%31', '/tables/t'])
    assert.equal((await get(path)).sequence, '8', path)
  // Less is on its way than is known to be.
  words.begin(6)
  assert.equal((await get('/tables/t/1')).sequence, '8')
  // A bucket that was made anew begins again.
  words.moveTo(2)
  assert.equal((await get('/tables/t/1')).sequence, '2')
})

test('a request waits for the change that it asks for', async (t) => {
  const { words, control, get, put } = await open(t)
  words.moveTo(5)
  words.begin(7)
  const at = (sequence: string) => get('/tables/t/1', { 'x-percpu-sequence': sequence })
  assert.equal((await at('5')).status, 404)
  const asked: number[] = []
  control.reach = (sequence) => {
    asked.push(sequence)
    put('t', sequence)
    words.moveTo(sequence)
    return Promise.resolve()
  }
  const { text, sequence } = await at('7')
  assert.deepEqual([text, sequence, asked], ['"t at 7"', '7', [7]])
  control.reach = () => Promise.reject(new Refusal(503, 'BEHIND', 'not yet'))
  const late = await at('9')
  assert.equal(late.status, 503)
  assert.match(late.text, /BEHIND/)
  assert.equal((await at('nine')).status, 400)
})

test('tables that come, go, and come as others are those of the thread', async (t) => {
  const { machine, tables, words, get, put } = await open(t)
  assert.equal((await get('/tables/late/1')).status, 404)
  tables.set('late', new Table(machine, specOf('late')))
  put('late', 3)
  words.countList()
  assert.equal((await get('/tables/late/1')).text, '"late at 3"')
  assert.match((await get('/tables')).text, /"name":"late","kind":"key"/)
  put('t', 4)
  assert.equal((await get('/tables/t/1')).text, '"t at 4"')
  tables.delete('t')
  words.countList()
  assert.match((await get('/tables/t/1')).text, /NO_SUCH_TABLE/)
  assert.match((await get('/changes?table=t')).text, /NO_SUCH_TABLE/)
  tables.set('late', new Table(machine, specOf('late', true)))
  words.countList()
  assert.match((await get('/tables')).text, /^\[{"name":"late","kind":"range"/)
})

test('who follows is ended when changes do not go on from what was told', async (t) => {
  const { feed, fronts, words } = await open(t)
  const follow = async (headers: Record<string, string> = {}) => {
    const request = http.get(`http://127.0.0.1:${fronts.port}/changes`, { agent: false, headers })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    t.after(() => request.destroy())
    response.setEncoding('utf8')
    const [first] = (await once(response, 'data')) as [string]
    return { response, first }
  }
  const set = (sequence: number) => {
    words.moveTo(sequence)
    feed.add({ sequence, table: 't', kind: 'set', data: `{"key":1,"version":${sequence}}` })
  }
  for (const [at, next] of [
    [100, 40],
    [40, 200],
  ] as const) {
    set(at)
    const { response } = await follow()
    feed.startAt(next)
    response.resume()
    await once(response, 'end')
    const { response: again, first } = await follow({ 'last-event-id': String(at) })
    assert.match(first, new RegExp(`^event: reset\\nid: ${next}\\n`))
    set(next + 1)
    const [event] = (await once(again, 'data')) as [string]
    assert.match(event, new RegExp(`^event: set\\nid: ${next + 1}\\n`))
    // What came since then is kept for who comes back, and nothing else.
    assert.deepEqual(
      feed.after(next)?.map(({ sequence }) => sequence),
      [next + 1],
    )
    const { first: kept } = await follow({ 'last-event-id': String(next) })
    assert.match(kept, /^event: open\n/)
  }
})

test('the list of tables is asked for once, and again if it has changed meanwhile', async (t) => {
  const machine = boot({ memory: '4 MiB', cpus: 1 })
  t.after(() => machine.offline())
  const words = new PlaceWords()
  const tables = new Map<string, Table>()
  const answers: ((list: TableList) => void)[] = []
  const place = new RemotePlace({
    ...{ words: new PlaceWords(words.memory), tables, lists: words.lists },
    open: (spec) => new Table(machine, spec),
    ask: {
      list: () => new Promise((resolve) => answers.push(resolve)),
      reach: () => Promise.resolve(),
    },
  })
  assert.ok(place.knowsTables)
  words.countList()
  assert.ok(!place.knowsTables)
  const learning = [place.learnTables(), place.learnTables()]
  assert.equal(answers.length, 1)
  words.countList()
  answers[0]?.({ lists: 1, specs: [specOf('a')] })
  await new Promise(setImmediate)
  assert.equal(answers.length, 2)
  answers[1]?.({ lists: 2, specs: [specOf('a'), specOf('b')] })
  await Promise.all(learning)
  assert.ok(place.knowsTables)
  assert.deepEqual([...tables.keys()], ['a', 'b'])
})
