/**
 * POST /lookup as a stream: both directions at once, limits, clients that go away, workers that
 * die.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { metric, testService, untilMetric } from '../helpers/service.js'

/** An open POST whose body is written bit by bit. */
function openPost(
  url: string,
  type = 'text/plain',
): { outgoing: ClientRequest; response: Promise<IncomingMessage> } {
  const outgoing = request(`${url}/lookup`, { method: 'POST', headers: { 'content-type': type } })
  const response = once(outgoing, 'response').then(([incoming]) => incoming as IncomingMessage)
  response.catch(() => undefined)
  return { outgoing, response }
}

function addressOf(i: number): string {
  return `8.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`
}
function linesOf(from: number, count: number): string {
  return Array.from({ length: count }, (_, i) => `${addressOf(from + i)}\n`).join('')
}

async function writeAll(outgoing: ClientRequest, pieces: Iterable<string>): Promise<void> {
  for (const piece of pieces) if (!outgoing.write(piece)) await once(outgoing, 'drain')
}

test('a client that waits for each answer before it asks again gets them one by one', async (t) => {
  const { url } = await testService(t)
  const { outgoing, response } = openPost(url)
  outgoing.write('8.8.8.8\n')
  const incoming = await response
  const answers = incoming.setEncoding('utf8')[Symbol.asyncIterator]() as AsyncIterator<string>
  for (let i = 0; i < 50; i++) {
    const { value } = (await answers.next()) as { value: string }
    assert.match(value, /^\{"address":"8.8.8.8",.*\}\n$/)
    outgoing.write('8.8.8.8\n')
  }
  outgoing.end()
})

test('a long upload is answered completely and in order while it is being sent', async (t) => {
  const { url, service } = await testService(t)
  const count = 300_000
  const { outgoing, response } = openPost(url)
  const sent = (async () => {
    for (let i = 0; i < count; i += 1000) if (!outgoing.write(linesOf(i, 1000))) await once(outgoing, 'drain')
    outgoing.end()
  })()
  let line = 0
  let rest = ''
  for await (const text of (await response).setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const answer of lines) {
      if (!answer.startsWith(`{"address":"${addressOf(line)}",`)) assert.fail(`line ${line}: ${answer}`)
      line++
      // Workers die under way, in turns.
      if (line % 100_000 === 50_000) void service.pool.replace((line / 100_000) & 1)
    }
  }
  await sent
  assert.deepEqual([line, rest], [count, ''])
  await untilMetric(url, 'percpu_workers_ready', 2)
  assert.equal(await metric(url, 'percpu_lookups_total{path="batch",result="answered"}'), count)
})

test('what turns out to be malformed after answers have gone out ends with a last line and a broken connection', async (t) => {
  const { url } = await testService(t)
  const { outgoing, response } = openPost(url, 'application/json')
  outgoing.write('["8.8.8.8",\n')
  outgoing.write(`${Array.from({ length: 20_000 }, (_, i) => `"${addressOf(i)}"`).join(',')},\n`)
  const incoming = (await response).setEncoding('utf8')
  assert.equal(incoming.statusCode, 200)
  outgoing.write('oops')
  let text = ''
  await assert.rejects(async () => {
    for await (const piece of incoming as AsyncIterable<string>) text += piece
  }, /aborted/)
  const last = JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as { error: string; code: string }
  assert.equal(last.code, 'MALFORMED_BODY')
  assert.match(last.error, /malformed JSON at byte \d+, after string 20001: expected a string, found 'o'/)
  outgoing.destroy()
})

test('a body above the limit is refused: by its declared length before it is read, else when it gets there', async (t) => {
  const { url } = await testService(t, { bodyLimit: 100_000 })
  const declared = await fetch(`${url}/lookup`, {
    method: 'POST',
    body: linesOf(0, 20_000),
    headers: { 'content-type': 'text/plain' },
  })
  assert.equal(declared.status, 413)
  assert.match(await declared.text(), /BODY_TOO_LARGE/)
  const { outgoing, response } = openPost(url)
  outgoing.write(linesOf(0, 1000))
  const incoming = (await response).setEncoding('utf8')
  assert.equal(incoming.statusCode, 200)
  const sending = writeAll(
    outgoing,
    Array.from({ length: 20 }, (_, i) => linesOf(i * 1000, 1000)),
  )
  let text = ''
  await assert.rejects(async () => {
    for await (const piece of incoming as AsyncIterable<string>) text += piece
  }, /aborted/)
  assert.match(text.trimEnd().split('\n').at(-1) ?? '', /limit of 100000 bytes.*BODY_TOO_LARGE/)
  outgoing.destroy()
  await sending
  await untilMetric(url, 'percpu_batches_total{outcome="refused"}', 2)
})

test('when a client goes away, work on its batch stops, and nothing of it stays', async (t) => {
  const { url, service } = await testService(t, { fronts: 0 })
  const clients = 5
  for (let i = 0; i < clients; i++) {
    const { outgoing, response } = openPost(url)
    outgoing.on('error', () => undefined)
    const sending = writeAll(outgoing, [linesOf(0, 50_000)])
    const incoming = await response
    incoming.on('error', () => undefined)
    await once(incoming, 'data')
    outgoing.destroy()
    await sending
  }
  await untilMetric(url, 'percpu_batches_total{outcome="aborted"}', clients)
  await untilMetric(url, 'percpu_batches_queued', 0)
  const response = await fetch(`${url}/lookup`, {
    method: 'POST',
    body: '8.8.8.8',
    headers: { 'content-type': 'text/plain' },
  })
  assert.match(await response.text(), /^\{"address":"8.8.8.8"/)
  // The server holds no connection but those of this process's idle fetch client.
  const connections = await new Promise<number>((resolve) =>
    service.app?.server.getConnections((_, count) => resolve(count)),
  )
  assert.ok(connections <= 2, `${connections} connections are open`)
})

test('headers that are too long, too slow, or no HTTP are refused with a reason', async (t) => {
  const { url } = await testService(t, { timeoutMilliseconds: 300 })
  const port = Number(new URL(url).port)
  const answerTo = async (bytes: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1').setEncoding('utf8')
    socket.on('error', () => undefined)
    socket.write(bytes)
    let text = ''
    for await (const piece of socket as AsyncIterable<string>) text += piece
    return text
  }
  assert.match(
    await answerTo(`GET /health HTTP/1.1\r\nhost: x\r\nlong: ${'x'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1.1 431 [^]*headers are longer than 16384 bytes/,
  )
  assert.match(await answerTo('nonsense\r\n\r\n'), /^HTTP\/1.1 400 [^]*not an HTTP request/)
  // Never finished: the server's time-out ends it.
  assert.match(await answerTo('GET /health HTTP/1.1\r\nhost: x\r\n'), /^(HTTP\/1.1 408 [^]*took too long|$)/)
  assert.match(
    await answerTo(
      'POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\n8.8.8.8',
    ),
    /^(HTTP\/1.1 408 |$)/,
  )
})

test('a request that turns out malformed or too slow gets no second response into its first one', async (t) => {
  const { url } = await testService(t, { timeoutMilliseconds: 1000 })
  const port = Number(new URL(url).port)
  const head =
    'POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n'
  const answersTo = async (first: string, then: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1').setEncoding('latin1')
    socket.on('error', () => undefined)
    let text = ''
    const begun = new Promise<void>((resolve) => {
      socket.on('data', (piece: string) => {
        text += piece
        if (text.includes('8.8.8.8')) resolve()
      })
    })
    const closed = once(socket, 'close')
    socket.write(first)
    await begun
    socket.write(then)
    await closed
    return text
  }
  const batch = `${head}8\r\n8.8.8.8\n\r\n`
  const cases = {
    'an invalid chunk': [batch, 'zz\r\n'],
    'a time-out': [batch, ''],
    'a chunk that is too long': [batch, `${'f'.repeat(20)}\r\n`],
    'no HTTP behind a request that is being answered': [`${batch}0\r\n`, '\r\nnonsense\r\n\r\n'],
  } as const
  await Promise.all(
    Object.entries(cases).map(async ([name, [first, then]]) => {
      const text = await answersTo(first, then)
      // Behind the end of a whole response there may be another one.
      const [response = '', ...rest] = text.split('0\r\n\r\n')
      assert.equal(response.match(/HTTP\/1\.1 /g)?.length, 1, `${name}: ${text}`)
      assert.ok(
        rest.every((other) => other === '' || other.startsWith('HTTP/1.1 4')),
        name,
      )
    }),
  )
})

test('a service that is closed finishes the requests in flight, and takes its CPUs offline', async (t) => {
  const { url, service } = await testService(t)
  const { outgoing, response } = openPost(url)
  outgoing.write('8.8.8.8\n')
  const incoming = (await response).setEncoding('utf8')
  const closed = service.close()
  // Not accepted any more.
  await assert.rejects(fetch(`${url}/health`))
  outgoing.end('1.1.1.1\n')
  let text = ''
  for await (const piece of incoming as AsyncIterable<string>) text += piece
  assert.equal(text.trimEnd().split('\n').length, 2)
  await closed
})
