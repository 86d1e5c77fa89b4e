/** Files that workers read and write in parts: all lines once, in order, also when workers die. */
import assert from 'node:assert/strict'
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import {
  answerParts,
  loadTable,
  MalformedInputError,
  MAX_LINE_BYTES,
  PartError,
  readPart,
  Room,
  WorkerLostError,
  type LookupPool,
} from 'percpu-console'
import { percpu } from '../helpers/command.js'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { testMachine, testPool } from '../helpers/machine.js'

/** A file of its own, closed after the test. */
async function fileOf(t: TestContext, text: string) {
  const folder = await temporaryFolder(t)
  const path = join(folder, 'in')
  writeFileSync(path, text)
  const descriptor = openSync(path, 'r+')
  t.after(() => closeSync(descriptor))
  return { folder, path, descriptor, size: Buffer.byteLength(text) }
}

test('each line belongs to the part in which it begins, wherever parts are cut', async (t) => {
  const { descriptor } = await fileOf(t, '')
  const line = fc.oneof(
    fc.constant(''),
    fc.string({ maxLength: 12, unit: fc.constantFrom('a', 'b', '\r', 'é') }),
  )
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 12 }),
      fc.boolean(),
      fc.array(fc.nat(60), { maxLength: 6 }),
      (lines, isEnded, cuts) => {
        const text = Buffer.from(lines.join('\n') + (isEnded ? '\n' : ''))
        ftruncateSync(descriptor)
        writeFileSync(`/proc/self/fd/${descriptor}`, text)
        const ends = [...new Set(cuts.filter((cut) => cut > 0 && cut < text.length))].sort((a, b) => a - b)
        const bounds = [0, ...ends, text.length]
        const parts = bounds
          .slice(1)
          .map((to, i) => readPart({ input: descriptor, from: bounds[i] as number, to }))
        assert.deepEqual(Buffer.concat(parts), text)
        // No part begins or ends within a line.
        for (const part of parts.slice(0, -1))
          if (part.length > 0 && part !== parts.findLast(({ length }) => length > 0))
            assert.equal(part.at(-1), 0x0a)
      },
    ),
    { numRuns: 500 },
  )
})

test('memory to read into is used again, also for lines that go on far behind their parts', async (t) => {
  const { descriptor } = await fileOf(t, '')
  const room = new Room()
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(300), fc.nat(3000)), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 4000 }),
      (lengths, partBytes) => {
        const text = lengths.map((length, i) => `${String.fromCharCode(0x61 + i).repeat(length)}\n`).join('')
        ftruncateSync(descriptor)
        writeFileSync(`/proc/self/fd/${descriptor}`, text)
        let all = ''
        for (let from = 0; from < text.length; from += partBytes) {
          const to = Math.min(text.length, from + partBytes)
          const part = Buffer.from(readPart({ input: descriptor, from, to }, room)).toString()
          assert.ok(part === '' || part.endsWith('\n'))
          all += part
        }
        assert.equal(all, text)
      },
    ),
    { numRuns: 300 },
  )
  const own = new Room()
  const first = own.take(1000)
  assert.equal(own.take(100), first)
  first.write('kept')
  assert.equal(own.take(2000, 4).toString('latin1', 0, 4), 'kept')
})

test('a line that goes on behind its part for too long is named by its place', async (t) => {
  const text = `short\n${'x'.repeat(MAX_LINE_BYTES + 20)}\nlast\n`
  const { descriptor, size } = await fileOf(t, text)
  const read = (from: number, to: number) => readPart({ input: descriptor, from, to })
  for (const to of [7, 10, 20])
    assert.throws(
      () => read(0, to),
      (error) => error instanceof MalformedInputError && error.details['position'] === 6,
    )
  assert.throws(() => read(6, 10), { details: { position: 6 } })
  // It begins in none of these.
  assert.equal(read(7, 20).length, 0)
  assert.equal(Buffer.from(read(20, size)).toString(), 'last\n')
  // One that is read to its end is no address, as any other.
  assert.equal(read(0, 30).length, 6 + MAX_LINE_BYTES + 21)
})

test('of a file that has become shorter, what is left', async (t) => {
  const { descriptor } = await fileOf(t, 'one\ntwo\nthree\n')
  ftruncateSync(descriptor, 6)
  const read = (from: number, to: number) => Buffer.from(readPart({ input: descriptor, from, to })).toString()
  assert.deepEqual([read(0, 2), read(2, 14), read(9, 14)], ['one\n', 'tw', ''])
})

/** Addresses that tell their own place, and what is answered for the one at a place. */
function addressOf(i: number): string {
  return `${i >>> 24}.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`
}
async function loadedPool(t: TestContext, workers: number): Promise<LookupPool> {
  const { machine, name } = testMachine(t)
  const { ipv4, ipv6 } = smallTables.one
  await loadTable(machine, name, await writeTables(await temporaryFolder(t), ipv4, ipv6))
  return testPool(t, machine, workers)
}
const COUNT = 30_000
const small = { format: 'text', partBytes: 4096, window: 8, onBytes: () => undefined } as const

async function setUp(t: TestContext, workers: number, text: string) {
  const pool = await loadedPool(t, workers)
  const input = await fileOf(t, text)
  const output = await fileOf(t, 'before\n')
  const answer = (options: Partial<Parameters<typeof answerParts>[3]> = {}) =>
    answerParts(pool, input, { descriptor: output.descriptor, position: 7 }, { ...small, ...options })
  return { pool, input, output, answer }
}
const addresses = Array.from({ length: COUNT }, (_, i) => addressOf(i * 1000) + '\n').join('')

/** All are answered, each once, in order, behind what was there. */
function assertAnswered(path: string, end: number): void {
  const text = readFileSync(path, 'utf8')
  assert.equal(Buffer.byteLength(text), end)
  const [before, ...lines] = text.trimEnd().split('\n')
  assert.deepEqual([before, lines.length], ['before', COUNT])
  lines.forEach((line, i) => {
    if (!line.startsWith(`{"address":"${addressOf(i * 1000)}",`)) assert.fail(`line ${i} is ${line}`)
    JSON.parse(line)
  })
}

test('answers lie in the order of the lines, whoever writes them first', async (t) => {
  const { pool, output, answer } = await setUp(t, 3, addresses)
  let bytes = 0
  const end = await answer({ onBytes: (more) => (bytes += more) })
  assertAnswered(output.path, end)
  assert.equal(bytes, addresses.length)
  assert.equal(
    pool.workers.reduce((sum, { lookups }) => sum + lookups, 0),
    COUNT,
  )
  for (const { lookups } of pool.workers) assert.ok(lookups > 0)
})

test('parts of workers that end are answered by others, in the same place', async (t) => {
  const { pool, output, answer } = await setUp(t, 2, addresses)
  let lost = 0
  pool.on('lost', () => lost++)
  let parts = 0
  const end = await answer({
    onBytes: () => {
      if (++parts % 7 === 0) void pool.replace(parts % 2)
    },
  })
  assertAnswered(output.path, end)
  assert.ok(lost > 3, `${lost} workers ended`)
})

test('answers that have a place when their worker ends are written by another one', async (t) => {
  const { pool, output, answer } = await setUp(t, 2, addresses)
  const runPart = pool.runPart.bind(pool)
  // Each worker ends once while it knows where to write.
  let ends = 2
  pool.runPart = (part, format, descriptor, place) =>
    runPart(part, format, descriptor, async (counts) => {
      const position = await place(counts)
      if (ends > 0) await pool.replace(--ends)
      return position
    })
  assertAnswered(output.path, await answer())
})

test('the first line that is none is told by its number, in the whole file', async (t) => {
  const strings = Array.from({ length: 5000 }, (_, i) => (i === 3210 || i === 4000 ? 'none' : '"1.1.1.1"'))
  const { answer } = await setUp(t, 3, strings.join('\n'))
  await assert.rejects(answer({ format: 'ndjson' }), (error) => {
    assert.ok(error instanceof MalformedInputError)
    assert.match(error.message, /^line 3211 is not a JSON string/)
    return error.details['item'] === 3211
  })
})

test('what cannot be read or written is told, and nothing is left under way', async (t) => {
  const { pool, input, output, answer } = await setUp(t, 2, addresses)
  const failure = (what: string, code: string) => (error: unknown) => {
    assert.ok(error instanceof PartError)
    assert.equal(error.failure.while, what)
    return error.message.startsWith(code)
  }
  const full = openSync('/dev/full', 'w')
  t.after(() => closeSync(full))
  const to = (descriptor: number) => ({ descriptor, position: 0 })
  await assert.rejects(answerParts(pool, input, to(full), small), failure('writing', 'ENOSPC'))
  const folder = openSync(input.folder, 'r')
  t.after(() => closeSync(folder))
  const directory = { descriptor: folder, size: 9 }
  await assert.rejects(
    answerParts(pool, directory, to(output.descriptor), small),
    failure('reading', 'EISDIR'),
  )
  // The pool goes on.
  assertAnswered(output.path, await answer())
})

test('a pool without workers gives parts up', async (t) => {
  const { pool, input, answer } = await setUp(t, 1, addresses)
  const place = () => Promise.reject(new Error('no place'))
  await assert.rejects(
    pool.runPart({ input: input.descriptor, from: 0, to: 9 }, 'text', 0, place),
    /no place/,
  )
  const runPart = pool.runPart.bind(pool)
  pool.runPart = (part, format, descriptor, placeOf) =>
    runPart(part, format, descriptor, async (counts) => {
      await pool.replace(0)
      return placeOf(counts)
    })
  // Each of them is answered, and its worker ends before that is written: again and again.
  await assert.rejects(answer({ window: 1 }), WorkerLostError)
})

test('percpu lookup answers a long file as it answers a stream', async (t) => {
  const folder = await temporaryFolder(t)
  const { ipv4, ipv6 } = await writeTables(folder, smallTables.one.ipv4, smallTables.one.ipv6)
  const flags = ['--ipv4', ipv4, '--ipv6', ipv6, '--memory', '64MiB', '--workers', '2', '--no-table-file']
  const text = Array.from({ length: 100_000 }, (_, i) =>
    i % 9 === 0 ? '2001:db8::1' : addressOf(i * 40_000),
  ).join('\n')
  const [long, short, marked, out] = ['long', 'short', 'marked', 'out'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ]
  writeFileSync(long, text)
  writeFileSync(short, '8.8.8.8\nno address\n')
  writeFileSync(marked, `\ufeff${text}`)
  const stream = await percpu(['lookup', ...flags, short, long, short, marked, long])
  const file = await percpu(['lookup', ...flags, short, long, short, marked, long, '-o', out])
  assert.deepEqual([stream.code, file.code, file.stderr], [0, 0, ''])
  assert.ok(readFileSync(out, 'utf8') === stream.stdout)
  writeFileSync(long, `${text}\n${'x'.repeat(400_000)}\n`)
  const refused = await percpu(['lookup', ...flags, long, '-o', out])
  assert.match(refused.stderr, /the line that begins at byte \d+ is longer than 32768 bytes/)
  assert.equal(refused.code, 1)
  assert.ok(readFileSync(out, 'utf8') === stream.stdout)
})
