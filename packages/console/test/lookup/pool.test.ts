/** Batches over several workers: complete and in order, also when workers die. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import {
  AbortedError,
  answerStream,
  loadTable,
  LookupPool,
  openTable,
  publish,
  readTable,
  settle,
  TABLE_NAME,
  WorkerLostError,
  type Sink,
} from 'percpu-console'
import { smallTables, temporaryFolder, writeTables } from '../helpers/files.js'
import { testMachine, testPool } from '../helpers/machine.js'
import type { TestContext } from 'node:test'
import type { Machine } from 'percpu'

async function loadedPool(t: TestContext, workers: number): Promise<{ machine: Machine; pool: LookupPool }> {
  const { machine, name } = testMachine(t)
  const { ipv4, ipv6 } = smallTables.one
  await loadTable(machine, name, await writeTables(await temporaryFolder(t), ipv4, ipv6))
  return { machine, pool: await testPool(t, machine, workers) }
}

/** Addresses that tell their own place in the input. */
function addressOf(i: number): string {
  return `${i >>> 24}.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`
}

function* addresses(count: number, perPiece: number): Generator<Buffer> {
  for (let i = 0; i < count; i += perPiece) {
    const length = Math.min(perPiece, count - i)
    yield Buffer.from(Array.from({ length }, (_, j) => `${addressOf(i + j)}\n`).join(''))
  }
}

/** Checks that answers come for 0.0.0.0, 0.0.0.1 … in order. */
class OrderSink implements Sink {
  lines = 0
  #rest = ''
  readonly #onWrite: (lines: number) => void | Promise<void>

  constructor(onWrite: (lines: number) => void | Promise<void> = () => undefined) {
    this.#onWrite = onWrite
  }

  async write(bytes: Uint8Array): Promise<void> {
    const lines = (this.#rest + Buffer.from(bytes).toString()).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      if (!line.startsWith(`{"address":"${addressOf(this.lines)}",`))
        assert.fail(`line ${this.lines} is ${line}`)
      this.lines++
    }
    await this.#onWrite(this.lines)
  }
}

const small = { format: 'text', batchBytes: 4096, window: 8 } as const

test('answers come in the order of the input, and all workers take part', async (t) => {
  const { pool } = await loadedPool(t, 3)
  const sink = new OrderSink()
  const { answered } = await answerStream(pool, Readable.from(addresses(200_000, 999)), sink, small)
  assert.deepEqual([answered, sink.lines], [200_000, 200_000])
  for (const { lookups } of pool.workers) assert.ok(lookups > 0)
  assert.equal(
    pool.workers.reduce((sum, { lookups }) => sum + lookups, 0),
    200_000,
  )
})

test('workers that die with batches in flight are replaced, and no answer is lost, doubled or out of order', async (t) => {
  const { machine, pool } = await loadedPool(t, 2)
  let retried = 0
  let lost = 0
  pool.on('lost', (event) => {
    lost++
    retried += event.retried
  })
  let next = 10_000
  const sink = new OrderSink((lines) => {
    if (lines < next) return
    next += 50_000
    // In the middle of the stream, when both workers hold batches.
    void pool.replace((next / 50_000) & 1)
  })
  const { answered } = await answerStream(pool, Readable.from(addresses(400_000, 5000)), sink, {
    ...small,
    batchBytes: 64 * 1024,
  })
  assert.deepEqual([answered, sink.lines], [400_000, 400_000])
  assert.ok(lost >= 6, `${lost} workers died`)
  assert.ok(retried > 0, 'at least one batch was retried')
  await pool.ready()
  assert.equal(machine.online.length, 3)
  assert.equal(
    pool.workers.reduce((sum, { replaced }) => sum + replaced, 0),
    lost,
  )
})

test('a batch whose workers all die is given up after three of them, and others are still answered', async (t) => {
  const { pool } = await loadedPool(t, 1)
  const long = Buffer.from('1.1.1.1\n'.repeat(1_000_000))
  const doomed = pool.run(new Uint8Array(long), 'text')
  // Each new worker takes the batch as soon as it is ready, and is ended while it has it.
  const kill = () => void pool.replace(0)
  pool.on('ready', kill)
  kill()
  await assert.rejects(
    doomed,
    (error) => error instanceof WorkerLostError && error.details['bytes'] === long.length,
  )
  pool.off('ready', kill)
  if (pool.workers[0]?.cpu === undefined) await once(pool, 'ready')
  const { answered } = await pool.run(new Uint8Array(Buffer.from('8.8.8.8\n')), 'text')
  assert.equal(answered, 1)
})

test('a worker answers its doorbell inside a long batch, under a label that others see', async (t) => {
  const { machine, pool } = await loadedPool(t, 1)
  const cpu = pool.workers[0]?.cpu
  const look = () => machine.watch.inspect().cpus.find((one) => one.cpu === cpu)
  const answer = pool.run(new Uint8Array(Buffer.from('8.8.8.8\n'.repeat(2_000_000))), 'text')
  while (look()?.work?.label !== 'lookup batch');
  // Each CPU passes through a point where it is in the middle of nothing; for the worker, that is
  // between two lines.
  await machine.rcu.synchronize()
  assert.equal(look()?.work?.label, 'lookup batch')
  assert.equal((await answer).answered, 2_000_000)
  assert.equal(look()?.work, undefined)
})

test('a batch in whose middle a new table comes is answered from one table', async (t) => {
  const { machine, name, table } = testMachine(t)
  const { one, two } = smallTables
  const folder = await temporaryFolder(t)
  await loadTable(machine, name, await writeTables(folder, one.ipv4, one.ipv6))
  const newer = await readTable(await writeTables(folder, two.ipv4, two.ipv6))
  const maps = openTable(machine, name)
  const pool = await testPool(t, machine, 1)
  const isUnderWay = () => machine.watch.inspect().cpus.some(({ work }) => work?.label === 'lookup batch')
  const lines = 2_000_000
  const running = pool.run(new Uint8Array(Buffer.from('1.1.1.1\n'.repeat(lines))), 'text')
  while (!isUnderWay());
  publish(maps, newer)
  const settled = settle(maps)
  assert.equal(table.pair(table.find4(0x01010101)).asn, 64501)
  assert.ok(isUnderWay())
  const { buffer, length, answered } = await running
  assert.equal(answered, lines)
  const answers = Buffer.from(buffer, 0, length)
  assert.equal(length % lines, 0)
  const first = answers.subarray(0, length / lines)
  assert.match(first.toString(), /"asn":13335/)
  await settled
  // Each line is as the one before it.
  assert.ok(answers.subarray(first.length).equals(answers.subarray(0, length - first.length)))
})

test('a suspended worker gets no batches until it is resumed', async (t) => {
  const { machine, pool } = await loadedPool(t, 2)
  const batch = () => pool.run(new Uint8Array(Buffer.from('1.1.1.1\n')), 'text')
  const cpu = pool.workers[0]?.cpu ?? -1
  assert.equal(pool.suspend(machine.cpu), undefined, 'no worker of the pool')
  assert.equal(pool.suspend(cpu), 0)
  await Promise.all(Array.from({ length: 20 }, batch))
  assert.deepEqual(
    pool.workers.map(({ lookups, isSuspended }) => [lookups, isSuspended]),
    [
      [0, true],
      [20, false],
    ],
  )
  pool.suspend(pool.workers[1]?.cpu ?? -1)
  const waiting = batch()
  assert.equal(pool.queued, 1)
  assert.equal(pool.resume(cpu), 0)
  await waiting
  assert.equal(pool.workers[0]?.lookups, 1)
})

test('an aborted stream stops: its waiting batches are dropped and its input is thrown away', async (t) => {
  const { pool } = await loadedPool(t, 1)
  const abort = new AbortController()
  let read = 0
  const input = function* () {
    for (const piece of addresses(100_000, 1000)) {
      read += piece.length
      yield piece
    }
  }
  const sink = new OrderSink((lines) => {
    if (lines > 2000) abort.abort()
  })
  await assert.rejects(
    answerStream(pool, Readable.from(input(), { highWaterMark: 1 }), sink, {
      ...small,
      signal: abort.signal,
    }),
    AbortedError,
  )
  const { lines } = sink
  const { answered } = await pool.run(new Uint8Array(Buffer.from('8.8.8.8\n')), 'text')
  assert.equal(answered, 1)
  assert.equal(pool.queued, 0)
  assert.equal(sink.lines, lines)
  assert.ok(read > 0)
})

test('input is not read while answers are not taken', async (t) => {
  const { pool } = await loadedPool(t, 2)
  let read = 0
  const input = function* () {
    for (const piece of addresses(100_000, 300)) {
      read += piece.length
      yield piece
    }
  }
  let release: () => void = () => undefined
  const blocked = new Promise<void>((resolve) => (release = resolve))
  let reachedWrite: () => void = () => undefined
  const firstWrite = new Promise<void>((resolve) => (reachedWrite = resolve))
  const sink = new OrderSink(() => {
    reachedWrite()
    return blocked
  })
  const running = answerStream(pool, Readable.from(input(), { highWaterMark: 1 }), sink, small)
  await firstWrite
  // However long it is given, the stream takes no more than its window: each turn would read
  // another piece.
  for (let turn = 0; turn < 2000; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(read <= small.batchBytes * (small.window + 3), `read ${read} bytes`)
  release()
  assert.equal((await running).answered, 100_000)
})

test('closing the pool takes its CPUs off the machine and rejects what is waiting', async (t) => {
  const { machine, pool } = await loadedPool(t, 2)
  const batch = () => pool.run(new Uint8Array(Buffer.from('1.1.1.1\n'.repeat(50_000))), 'text')
  const batches = Array.from({ length: 6 }, batch)
  const outcomes = Promise.allSettled(batches)
  await pool.close()
  const states = (await outcomes).map(({ status }) => status)
  assert.deepEqual(states, ['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'])
  assert.deepEqual(machine.online, [0])
})

test('after that, nothing waits for it', async (t) => {
  const { machine } = testMachine(t)
  const pool = new LookupPool(machine, { workers: 1, table: TABLE_NAME })
  const ready = assert.rejects(pool.ready(), AbortedError)
  await pool.close()
  await ready
  await assert.rejects(pool.ready(), AbortedError)
  const bytes = new Uint8Array(Buffer.from('1.1.1.1\n'))
  await assert.rejects(pool.run(bytes, 'text'), AbortedError)
  assert.equal(pool.queued, 0)
})

test('held batches wait until they are released, or refused', async (t) => {
  const { machine } = testMachine(t)
  const pool = new LookupPool(machine, { workers: 1, table: TABLE_NAME, isHeld: true })
  t.after(() => pool.close())
  await pool.ready()
  const run = (signal?: AbortSignal) => pool.run(new Uint8Array(Buffer.from('1.1.1.1\n')), 'text', signal)
  const given = new AbortController()
  const first = run()
  const second = assert.rejects(run(given.signal), AbortedError)
  assert.equal(pool.queued, 2)
  given.abort()
  pool.release()
  assert.equal((await first).answered, 1)
  await second
  assert.equal((await run()).answered, 1)

  const other = new LookupPool(machine, { workers: 1, table: TABLE_NAME, isHeld: true })
  t.after(() => other.close())
  await other.ready()
  const waiting = other.run(new Uint8Array(Buffer.from('1.1.1.1\n')), 'text')
  other.refuse()
  await assert.rejects(waiting, AbortedError)
  await assert.rejects(other.run(new Uint8Array(1), 'text'), AbortedError)
  other.release()
  assert.equal(other.queued, 0)
})
