/** Packed bodies in both directions, and what old or odd clients get. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { AbortedError, Packer } from 'percpu-console'
import { metric, testService } from '../helpers/service.js'

const pack: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: zlib.gzipSync,
  'x-gzip': zlib.gzipSync,
  deflate: zlib.deflateSync,
  ...('zstdCompressSync' in zlib ? { zstd: zlib.zstdCompressSync as (bytes: Buffer) => Buffer } : {}),
}
const unpack: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: zlib.gunzipSync,
  deflate: zlib.inflateSync,
  ...('zstdDecompressSync' in zlib ? { zstd: zlib.zstdDecompressSync as (bytes: Buffer) => Buffer } : {}),
}
const lines = '8.8.8.8\n1.1.1.1\n'.repeat(30_000)

async function post(url: string, body: Buffer, headers: Record<string, string>) {
  const outgoing = request(`${url}/lookup`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain', ...headers },
  })
  outgoing.end(body)
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  const pieces: Buffer[] = []
  for await (const piece of incoming as AsyncIterable<Buffer>) pieces.push(piece)
  const { statusCode: status = 0, headers: found } = incoming
  return { status, encoding: found['content-encoding'], bytes: Buffer.concat(pieces) }
}

test('bodies are unpacked, and answers packed as the client wants', async (t) => {
  const { url } = await testService(t)
  const { bytes: plain } = await post(url, Buffer.from(lines), {})
  assert.equal(plain.toString().split('\n').length, 60_001)
  for (const [name, packed] of Object.entries(pack)) {
    const { status, encoding, bytes } = await post(url, packed(Buffer.from(lines)), {
      'content-encoding': name,
    })
    assert.deepEqual([status, encoding], [200, undefined])
    assert.ok(bytes.equals(plain), name)
  }
  for (const [wanted, expected] of [
    ['gzip', 'gzip'],
    ['deflate, gzip;q=0.5', 'deflate'],
    ['br, gzip;q=0', undefined],
    ['identity', undefined],
    ...('zstd' in unpack ? ([['zstd', 'zstd']] as const) : []),
  ] as const) {
    const { encoding, bytes } = await post(url, Buffer.from(lines), { 'accept-encoding': wanted })
    assert.equal(encoding, expected)
    assert.ok((expected === undefined ? bytes : unpack[expected]?.(bytes))?.equals(plain), wanted)
    assert.ok(expected === undefined || bytes.length < plain.length / 10)
  }
})

test('a packed answer comes as soon as it is there', async (t) => {
  const { url } = await testService(t)
  const outgoing = request(`${url}/lookup`, {
    method: 'POST',
    headers: { 'content-type': 'text/plain', 'content-encoding': 'gzip', 'accept-encoding': 'gzip' },
  })
  const packer = zlib.createGzip()
  packer.pipe(outgoing)
  const response = once(outgoing, 'response')
  const ask = () => {
    packer.write('8.8.8.8\n')
    packer.flush()
  }
  ask()
  const [incoming] = (await response) as [IncomingMessage]
  const answers = incoming.pipe(zlib.createGunzip()).setEncoding('utf8')[Symbol.asyncIterator]()
  for (let i = 0; i < 5; i++) {
    const { value } = (await answers.next()) as { value: string }
    assert.match(value, /^\{"address":"8.8.8.8",.*\}\n$/)
    ask()
  }
  packer.end()
})

test('what packs answers comes to an end, whenever the client goes away', { timeout: 10_000 }, async () => {
  const steps = [(packer: Packer) => packer.pack(Buffer.alloc(100_000)), (packer: Packer) => packer.finish()]
  for (const step of steps) {
    const [late, early] = [new Packer('gzip'), new Packer('gzip')]
    await late.pack(Buffer.from('8.8.8.8'))
    const waiting = step(late)
    late.destroy()
    early.destroy()
    await assert.rejects(waiting, AbortedError)
    await assert.rejects(step(early), AbortedError)
  }
})

test('what is packed wrongly, or unpacks to more than the limit, is refused', async (t) => {
  const { url } = await testService(t, { bodyLimit: 100_000 })
  // The head of a frame whose window has 128 MiB, and no block.
  const wide = 'zstd' in pack && Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00])
  const codeOf = ({ bytes }: { bytes: Buffer }) => (JSON.parse(bytes.toString()) as { code: string }).code
  for (const [body, headers, status, code] of [
    [Buffer.from('8.8.8.8\n'), { 'content-encoding': 'gzip' }, 400, 'MALFORMED_BODY'],
    [zlib.gzipSync('8.8.8.8\n').subarray(0, -4), { 'content-encoding': 'gzip' }, 400, 'MALFORMED_BODY'],
    // A hundred megabytes of blank lines in a hundred kilobytes.
    [zlib.gzipSync(Buffer.alloc(90_000_000, '\n')), { 'content-encoding': 'gzip' }, 413, 'BODY_TOO_LARGE'],
    ...(wide ? [[wide, { 'content-encoding': 'zstd' }, 400, 'MALFORMED_BODY'] as const] : []),
  ] as const) {
    const answer = await post(url, body, headers)
    assert.deepEqual([answer.status, codeOf(answer)], [status, code])
  }
  assert.equal(await metric(url, 'percpu_batches_total{outcome="failed"}'), 0)
})

/** Sends bytes, and gives what came back. */
async function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).setEncoding('utf8')
  socket.write(text)
  let received = ''
  for await (const piece of socket as AsyncIterable<string>) received += piece
  return received
}

test('HTTP/1.0 is answered whole or not at all: the end of a connection tells nothing', async (t) => {
  const { url } = await testService(t)
  const ask = (body: string) =>
    raw(
      url,
      `POST /lookup HTTP/1.0\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
  const whole = await ask('8.8.8.8\n1.1.1.1\n')
  const [, length = '', body = ''] =
    /^HTTP\/1\.1 200 [^]*content-length: (\d+)\r\n[^]*\r\n\r\n([^]*)$/i.exec(whole) ?? []
  assert.match(body, /^\{"address":"8.8.8.8"[^\n]*\n\{"address":"1.1.1.1"[^\n]*\n$/)
  assert.equal(Number(length), body.length)
  const statusOf = (text: string) => [text.slice(9, 12), /"code":"(\w+)"/.exec(text)?.[1]]
  assert.deepEqual(statusOf(await ask(`${'8.8.8.8\n'.repeat(50_000)}${'x'.repeat(40_000)}`)), [
    '400',
    'MALFORMED_BODY',
  ])
  assert.deepEqual(statusOf(await ask('8.8.8.8\n'.repeat(200_000))), ['505', 'HTTP_VERSION'])
})

test('what is no request is told in codes of our own, and a long URL is not repeated whole', async (t) => {
  const { url } = await testService(t)
  const bodyOf = (text: string) =>
    JSON.parse(text.slice(text.indexOf('\r\n\r\n'))) as { error: string; code: string }
  const end = 'host: x\r\nconnection: close\r\n\r\n'
  for (const [request, status, code] of [
    ['NONSENSE\r\n\r\n', 400, 'BAD_REQUEST'],
    [`GET /health HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
    [`GET /lookup/%ff HTTP/1.1\r\n${end}`, 400, 'BAD_URL'],
    [`GET /${'u'.repeat(9000)} HTTP/1.1\r\n${end}`, 404, 'NO_SUCH_PATH'],
    [`GET /lookup/${'%41'.repeat(3000)} HTTP/1.1\r\n${end}`, 414, 'URL_TOO_LONG'],
    [`GET /lookup/${'%zz'.repeat(3000)} HTTP/1.1\r\n${end}`, 400, 'BAD_URL'],
    [`GET /\u00fc HTTP/1.1\r\n${end}`, 400, 'BAD_REQUEST'],
  ] as const) {
    const answer = await raw(url, request)
    const body = bodyOf(answer)
    assert.deepEqual([answer.slice(9, 12), body.code], [String(status), code], request.slice(0, 60))
    assert.ok(Buffer.byteLength(body.error) < 256 + 150, body.error)
  }
})

test('metrics are as promtool wants them, but for what the client library adds', async (t) => {
  const { url } = await testService(t)
  const text = await (await fetch(`${url}/metrics`)).text()
  const types = new Map(
    Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name = '', type = '']) => [name, type]),
  )
  const own = [...types].filter(([name]) => name.startsWith('percpu_'))
  assert.ok(own.length > 20)
  for (const [name, type] of own) {
    assert.match(text, new RegExp(`^# HELP ${name} \\S`, 'm'))
    assert.equal(name.endsWith('_total'), type === 'counter', name)
    assert.doesNotMatch(
      name,
      /[A-Z]|(_count|_sum|_bucket|_info)$|(milliseconds|minutes|percent|kibi|mebi|ratio_)/,
    )
    assert.doesNotMatch(name, /(gauge|counter|histogram|summary)/)
  }
  assert.doesNotMatch(text, /^percpu_.*[{,](quantile)=/m)
  const loaded = await metric(url, 'percpu_table_loaded_timestamp_seconds')
  assert.ok(loaded > 1.7e9 && loaded <= Date.now() / 1000)
})
