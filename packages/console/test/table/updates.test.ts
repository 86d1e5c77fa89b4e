/**
 * All ranges of the packaged tables, and many names, before, during and after random updates of
 * single ones. One thread writes, two read, and each answer is one that was right at the time.
 * `PERCPU_UPDATES=100000` is the long form, of 4,500,000 names.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { packagedFiles } from 'percpu-console'
import { readRows } from '../helpers/files.js'
import { randomOf } from '../helpers/model.js'
import { loadRows, UpdatedRows, type RowWords, type UpdatesSetup } from '../helpers/updates.js'
import { cutRows, wordsOf } from '../helpers/verify.js'

const SHORT = 2000
const ofRanges = Number(process.env['PERCPU_UPDATES'] ?? SHORT)
/** Names are changed faster. */
const ofNames = ofRanges * 10
const names = ofRanges > SHORT ? 4_500_000 : 100_000

const none: RowWords = { starts: new Uint32Array(), ends: new Uint32Array() }

async function rangesOf(family: 'ipv4' | 'ipv6'): Promise<RowWords> {
  const rows = cutRows(await readRows(packagedFiles()[family]))
  return {
    starts: shared(rows.flatMap(({ start }) => wordsOf(start))),
    ends: shared(rows.flatMap(({ end }) => wordsOf(end))),
  }
}
function shared(words: readonly number[]): Uint32Array {
  const array = new Uint32Array(new SharedArrayBuffer(words.length * 4))
  array.set(words)
  return array
}

async function updateAll(
  t: TestContext,
  collection: UpdatesSetup['collection'],
  rows: number,
  words: RowWords,
  updates: number,
): Promise<void> {
  const machine = boot({ memory: '1 GiB', cpus: 4 })
  t.after(() => machine.offline())
  const zeros = (): Int32Array => new Int32Array(new SharedArrayBuffer(rows * 4))
  const setup = {
    handle: machine.handle,
    collection,
    rows,
    words,
    hot: Math.max(100, updates / 100),
    begun: zeros(),
    done: zeros(),
  }
  loadRows(machine, setup)
  const own = new UpdatedRows(machine, setup, randomOf(1))
  await own.checkAll()
  own.checkWhole()
  const workers = [2, 3].map((seed) => {
    const workerData = { ...setup, seed }
    const worker = new Worker(new URL('../helpers/updates-worker.js', import.meta.url), { workerData })
    machine.supervise(worker)
    t.after(() => worker.terminate())
    return worker
  })
  const failed = new Promise<never>((_, reject) => workers.forEach((worker) => worker.once('error', reject)))
  failed.catch(() => undefined)
  await Promise.race([failed, Promise.all(workers.map((worker) => once(worker, 'message')))])
  const begun = performance.now()
  for (let i = 1; i <= updates; i++) {
    own.update(own.randomRow())
    own.check(own.randomRow())
    if (i % 32 === 0) await setImmediate()
    if (i % 512 === 0) await Promise.race([failed, own.barrier()])
  }
  const seconds = (performance.now() - begun) / 1000
  const ended = workers.map(async (worker) => {
    const answer = once(worker, 'message') as Promise<[number]>
    worker.postMessage('stop')
    const [checks] = await answer
    return checks
  })
  const checks = await Promise.race([failed, Promise.all(ended)])
  await own.checkAll()
  await own.barrier()
  own.checkWhole()
  assert.ok(checks.every((count) => count > 0))
  t.diagnostic(
    `${rows} rows, ${updates} updates in ${seconds.toFixed(1)} s, ${checks.join(' + ')} checks meanwhile`,
  )
}

for (const [family, rows] of [
  ['ipv4', 411_961],
  ['ipv6', 103_197],
] as const)
  test(`each range of ${family} answers what is right at the time, in three threads`, async (t) => {
    const words = await rangesOf(family)
    assert.equal(words.starts.length, family === 'ipv4' ? rows : rows * 4)
    await updateAll(t, family, rows, words, ofRanges)
  })

test(`each of ${names} names answers what is right at the time, in three threads`, async (t) => {
  await updateAll(t, 'names', names, none, ofNames)
})
