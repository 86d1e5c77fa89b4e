/**
 * What comes from outside, drawn at random, against naive models: CSV, addresses, bodies, requests
 * and table files. With an argument each property goes on for so many seconds, which is what
 * `npm run fuzz` does; without one it is a matter of moments. A failure names its seed.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, isIPv4, isIPv6 } from 'node:net'
import { devNull, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import {
  answerStream,
  Crew,
  explainBadAddress,
  fieldsOf,
  ipv4Text,
  MalformedInputError,
  parseAddress,
  readAddress,
  PackedTable,
  readPacked,
  readTable,
  STRICT,
  TableRefusedError,
  unpack,
  USUAL_FORMAT,
  type InputFormat,
} from 'percpu-console'
import { testService } from '../helpers/service.js'

const seconds = Number(process.argv[2] ?? 0)
/** Runs of a property: a number for `npm test`, or as many as there is time for. */
function runs(few: number): fc.Parameters<unknown> {
  if (seconds === 0) return { numRuns: few }
  return { numRuns: Number.MAX_SAFE_INTEGER, plugins: [fc.interruptAfterTimeLimit(seconds * 1000)] }
}
const limit = { timeout: (seconds + 60) * 1000 }

const folder = mkdtempSync(join(tmpdir(), 'percpu-fuzz-'))
process.env['XDG_CACHE_HOME'] = join(folder, 'cache')
after(() => rmSync(folder, { recursive: true }))

// -------------------------------------------------------------------------------------------------
// Addresses.

const number = fc.oneof(
  fc.nat(300).map(String),
  fc.constantFrom('', '0', '00', '01', '255', '256', '1e1', '-1'),
)
const group = fc.oneof(
  fc.nat(0xffff).map((n) => n.toString(16)),
  fc.constantFrom('', '0', '0000', 'FFFF', '12345', 'g'),
)
const nearAddress = fc.oneof(
  fc.array(number, { minLength: 3, maxLength: 5 }).map((parts) => parts.join('.')),
  fc.array(group, { maxLength: 9 }).map((parts) => parts.join(':')),
  fc.tuple(fc.array(group, { maxLength: 7 }), fc.ipV4()).map(([parts, quad]) => [...parts, quad].join(':')),
  fc.ipV4(),
  fc.ipV6(),
  fc.tuple(fc.ipV6(), fc.constantFrom('%eth0', '/64', ':80', ']', ' ')).map((parts) => parts.join('')),
  fc.string({ unit: 'binary' }),
)

test('an address is taken if Node takes it, and told why if not', limit, () => {
  fc.assert(
    fc.property(nearAddress, fc.boolean(), fc.boolean(), (text, stripPort, nat64) => {
      const address = parseAddress(text)
      assert.equal(address !== undefined, isIPv4(text) || (isIPv6(text) && !text.includes('%')))
      if (isIPv4(text) && address?.family === 4) assert.equal(ipv4Text(address.word), text)
      if (!address) assert.ok(explainBadAddress(text).length < 200)
      const host = /^\[(.*)\]:\d+$|^([^:]*):\d+$/.exec(text)
      const read = readAddress(text, { stripPort, nat64 })
      if (!address && read) assert.ok(stripPort && parseAddress(host?.[1] ?? host?.[2] ?? ''))
    }),
    runs(2000),
  )
})

// -------------------------------------------------------------------------------------------------
// CSV.

const lineEnd = fc.constantFrom('\n', '\r\n', '\r')
const cell = fc.oneof(
  fc.constantFrom('', 'a', 'x,y', '"', 'a "b" c', ' é ', '\ufffd'),
  fc.string({ unit: 'binary', maxLength: 6 }).filter((text) => !/[\r\n\ufeff]/.test(text)),
)
const line = fc.record({
  size: fc.nat(300),
  gap: fc.nat(2),
  asn: fc.nat(),
  name: cell,
  isQuoted: fc.boolean(),
  end: lineEnd,
  blank: fc.nat(3),
})

/** Lines that follow each other in the address space, as a file; and what it says. */
const file = fc.array(line, { minLength: 1, maxLength: 12 }).map((lines) => {
  let at = 0
  let text = ''
  const rows = lines.map(({ size, gap, asn, name, isQuoted, end, blank }) => {
    const [start, last] = [at + gap, at + gap + size]
    at = last + 1
    // A bare cell may have no quote, no separator, and no white space that a reader could trim.
    const written = isQuoted || /[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name
    text += `${ipv4Text(start)},${ipv4Text(last)},${asn},${written}${end}${blank === 0 ? end : ''}`
    return { start, last, data: { asn, organisation: name } }
  })
  return { text, rows }
})

async function readText(bytes: Uint8Array) {
  const ipv4 = join(folder, 'ipv4.csv')
  writeFileSync(ipv4, bytes)
  const { length, starts, ends, entries, texts, textEnds } = (await readTable({ ipv4, ipv6: devNull })).ipv4
  return Array.from({ length }, (_, row) => {
    const entry = entries[row] ?? 0
    const text = Buffer.from(texts.slice(textEnds[entry - 1] ?? 0, textEnds[entry])).toString()
    const [start, last] = [starts, ends].map(([column]) => ((column?.[row] ?? 0) ^ 0x8000_0000) >>> 0)
    return { start, last, data: JSON.parse(text) as unknown }
  })
}

/** Bytes that were changed in a few places. */
const damage = fc.array(
  fc.record({
    at: fc.nat(),
    kind: fc.constantFrom('flip', 'drop', 'insert'),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0x22, 0x2c, 0x0a, 0x0d, 0x00)),
  }),
  { minLength: 1, maxLength: 4 },
)
type Damage = typeof damage extends fc.Arbitrary<infer Value> ? Value : never
function damaged(bytes: Uint8Array, places: Damage): Uint8Array<ArrayBuffer> {
  const list = [...bytes]
  for (const { at, kind, byte } of places) {
    const place = at % (list.length + 1)
    list.splice(place, kind === 'insert' ? 0 : 1, ...(kind === 'drop' ? [] : [byte]))
  }
  return Uint8Array.from(list)
}

test('a file of CSV is read as it was written, or refused with lines that there are', limit, async () => {
  await fc.assert(
    fc.asyncProperty(file, damage, async ({ text, rows }, places) => {
      assert.deepEqual(await readText(Buffer.from(text)), rows)
      const bytes = damaged(Buffer.from(text), places)
      const read = await readText(bytes).catch((error: unknown) => {
        assert.ok(error instanceof TableRefusedError, String(error))
        const lines = Buffer.from(bytes)
          .toString('latin1')
          .split(/\r\n|\r|\n/).length
        for (const problem of error.problems)
          assert.ok(problem.line >= 0 && problem.line <= lines, error.message)
        return []
      })
      read.forEach(({ start = 0, last = 0 }, i) => {
        assert.ok(start <= last && (i === 0 || (read[i - 1]?.last ?? 0) < start))
      })
    }),
    runs(40),
  )
})

// -------------------------------------------------------------------------------------------------
// Bodies.

const one = await readTable({ ipv4: oneRange('4', '1.0.0.0,1.0.0.255'), ipv6: devNull })
function oneRange(name: string, range: string): string {
  const path = join(folder, `${name}.csv`)
  writeFileSync(path, `${range},1,One\n`)
  return path
}
const crew = new Crew({
  first: new PackedTable(one.ipv4, one.ipv6, fieldsOf(USUAL_FORMAT.columns)),
  rows: () => Promise.resolve(one),
  fields: fieldsOf(USUAL_FORMAT.columns),
  rules: STRICT,
  workers: 1,
  memory: 2 ** 24,
})
after(() => crew.close())

/** The addresses that were answered, from a body that comes in pieces of this many bytes. */
async function answered(body: string, format: InputFormat, size: number): Promise<string[]> {
  const bytes = Buffer.from(body)
  const pieces = async function* () {
    for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size))
  }
  let text = ''
  const sink = { write: (more: Uint8Array) => Promise.resolve(void (text += Buffer.from(more).toString())) }
  await answerStream(crew, pieces(), sink, { format, batchBytes: 4096, window: 2 })
  return text
    .split('\n')
    .slice(0, -1)
    .map((each) => (JSON.parse(each) as { address: string }).address)
}
const word = fc.oneof(
  nearAddress,
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom('1.0.0.1', '"', '\\', '\u2028'),
)
/** As they come back: half a surrogate pair is no text. */
const wellFormed = (text: string) => Buffer.from(text).toString()

test('a body is answered line by line as a naive reader has it, however it is cut', limit, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(word, { maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      fc.nat(2),
      async (words, size, space) => {
        const texts = words.map((each) => each.replace(/[\p{Cc}\ufeff]/gu, ''))
        const trimmed = texts
          .map((each) => wellFormed(each).replace(/^ +| +$/g, ''))
          .filter((each) => each !== '')
        assert.deepEqual(await answered(texts.join('\n'), 'text', size), trimmed)
        const json = JSON.stringify(words, undefined, space)
        assert.deepEqual(await answered(json, 'json', size), words.map(wellFormed))
        const ndjson = words.map((each) => `${JSON.stringify(each)}\r\n`).join('')
        assert.deepEqual(await answered(ndjson, 'ndjson', size), words.map(wellFormed))
      },
    ),
    runs(60),
  )
})

test('JSON is taken if it is an array of strings, and nothing else is', limit, async () => {
  const arrays = fc
    .array(fc.oneof(word, fc.constantFrom(1, null, {}, ['x'])), { maxLength: 4 })
    .map((each) => JSON.stringify(each))
  await fc.assert(
    fc.asyncProperty(fc.oneof(arrays, fc.json()), damage, fc.boolean(), async (json, places, isDamaged) => {
      const text = isDamaged ? Buffer.from(damaged(Buffer.from(json), places)).toString() : json
      // A mark at the beginning is skipped.
      if (text.startsWith('\ufeff')) return
      const value = parsed(text)
      const isTaken = Array.isArray(value) && value.every((each) => typeof each === 'string')
      const answers = await answered(text, 'json', 7).catch((error: unknown) => {
        assert.ok(error instanceof MalformedInputError, String(error))
        return undefined
      })
      assert.deepEqual(answers, isTaken ? value.map(wellFormed) : undefined, text)
    }),
    runs(150),
  )
})
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // No JSON at all.
    return undefined
  }
}

// -------------------------------------------------------------------------------------------------
// Requests.

const requests = [
  'GET /lookup/1.1.1.1 HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /health HTTP/1.0\r\n\r\n',
  'POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\n8.8.8.8\n',
  'POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nb\r\n["8.8.8.8"]\r\n0\r\n\r\n',
  'POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc',
]

test('a request that is damaged is answered or broken off, and the service goes on', limit, async (t) => {
  const { url, log } = await testService(t)
  const { hostname, port } = new URL(url)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...requests), { minLength: 1, maxLength: 2 }),
      damage,
      async (texts, places) => {
        const socket = connect({ port: Number(port), host: hostname })
        let received = ''
        socket.on('data', (piece) => (received += piece.toString('latin1')))
        socket.on('error', () => undefined)
        socket.end(damaged(Buffer.from(texts.join('')), places))
        if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
        assert.match(received, /^($|HTTP\/1\.1 [1245]\d\d )/)
        assert.doesNotMatch(received, /HTTP\/1\.1 500|"code":"(INTERNAL|FST_|HPE_)/)
      },
    ),
    runs(60),
  )
  assert.equal((await fetch(`${url}/health`)).status, 200)
  assert.deepEqual(
    log.filter(({ level }) => level >= 50),
    [],
  )
})

// -------------------------------------------------------------------------------------------------
// Table files.

test('a table file that is damaged is not taken', limit, async () => {
  const ipv4 = oneRange('kept', '1.0.0.0,1.0.0.255')
  const { ipv4: rows } = await readTable({ ipv4, ipv6: devNull, keepPacked: true })
  const path = `${ipv4}.percpu`
  const whole = readFileSync(path)
  await fc.assert(
    fc.asyncProperty(damage, async (places) => {
      const bytes = damaged(whole, places)
      writeFileSync(path, bytes)
      assert.deepEqual(await readPacked(ipv4, 4, USUAL_FORMAT), whole.equals(bytes) ? rows : undefined)
      // Nor are rows without their checksum read beyond their end.
      const memory = new SharedArrayBuffer(rows.memory.byteLength)
      const view = new Uint8Array(memory)
      view.set(damaged(new Uint8Array(rows.memory), places).subarray(0, view.length))
      const found = unpack(memory)
      if (found) assert.ok(found.texts.byteOffset + found.texts.length === memory.byteLength)
    }),
    runs(100),
  )
})
