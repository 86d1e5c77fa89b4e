/**
 * Foreign code in an exploration: its accesses are steps, with races, waits and interleavings like
 * those of `#mem`.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { ExplorationFailure, explore, type Scenario } from 'percpu-lab'
import * as foreign from 'percpu-lab/foreign'
import { explored } from '../engine/support.js'

const folder = mkdtempSync(path.join(os.tmpdir(), 'percpu-lab-'))
after(() => rmSync(folder, { recursive: true }))

async function failureOf(name: string, scenario: (t: Scenario) => void): Promise<ExplorationFailure> {
  try {
    await explore(name, scenario)
  } catch (error) {
    if (error instanceof ExplorationFailure) return error
    throw error
  }
  return assert.fail(`${name} finds nothing`)
}

test('the import: an increment made of a load and a store loses one, an atomic one does not', async (test) => {
  const counter = (increment: (words: Int32Array) => void) => (t: Scenario) => {
    const words = new foreign.Int32Array(new SharedArrayBuffer(16))
    for (const cpu of [0, 1]) t.cpu(cpu, () => increment(words))
    t.finally(() => assert.equal(foreign.Atomics.load(words, 1), 2))
  }
  const lost = await failureOf(
    'load and store',
    counter((words) => foreign.Atomics.store(words, 1, foreign.Atomics.load(words, 1) + 1)),
  )
  assert.equal(lost.kind, 'assertion')
  const report = await explored(
    test,
    counter((words) => foreign.Atomics.add(words, 1, 1)),
  )
  assert.equal(report.truncated, false)
})

test('views of one buffer with other widths and offsets touch the same words', async (test) => {
  const failure = await failureOf('bytes', (t) => {
    const buffer = new SharedArrayBuffer(16)
    t.cpu(0, () => foreign.Atomics.store(new foreign.Int32Array(buffer, 4, 1), 0, 0x01020304))
    t.cpu(1, () => new foreign.Uint8Array(buffer)[5])
  })
  assert.equal(failure.trace?.failure?.race?.rule, 'atomic-plain')
  const report = await explored(test, (t) => {
    const buffer = new SharedArrayBuffer(16)
    t.cpu(0, () => new foreign.DataView(buffer).setInt16(0, 7))
    t.cpu(1, () => new foreign.DataView(buffer).setInt16(2, 7, true))
    t.finally(() => assert.deepEqual([...new foreign.Uint8Array(buffer)].slice(0, 4), [0, 7, 7, 0]))
  })
  assert.equal(report.executions, 1)
})

test('the compile step: a file that knows nothing of the lab', async (test) => {
  const file = path.join(folder, 'queue.mjs')
  writeFileSync(
    file,
    `export function put(words, value) {
      words[1] = value
      Atomics.store(words, 0, 1)
      Atomics.notify(words, 0)
    }
    export function take(words, check) {
      if (check) while (Atomics.load(words, 0) === 0) Atomics.wait(words, 0, 0)
      return words[1]
    }`,
  )
  foreign.instrument([file])
  const queue = (await import(pathToFileURL(file).href)) as {
    put(words: Int32Array, value: number): void
    take(words: Int32Array, check: boolean): number
  }
  const scenario = (check: boolean) => (t: Scenario) => {
    const words = new Int32Array(new SharedArrayBuffer(8))
    t.cpu(0, () => queue.put(words, 42))
    t.cpu(1, () => queue.take(words, check))
    t.finally((results) => assert.equal(results[1], 42))
  }
  const report = await explored(test, scenario(true))
  assert.equal(report.blocked, 0)
  const failure = await failureOf('without it', scenario(false))
  assert.equal(failure.kind, 'data race')
  assert.match(failure.trace?.events[0]?.stack[0] ?? '', /put \(.*queue\.mjs:2/)
})

test('methods that go element by element are seen; one whose accesses cannot be seen is refused', async () => {
  const words = new foreign.Int32Array(new SharedArrayBuffer(16))
  const sorted = await explore('sort', (t) => t.cpu(0, () => words.sort()))
  assert.ok(sorted.operations >= 4, `only ${sorted.operations} steps`)
  const failure = await failureOf('write', (t) => {
    const bytes = foreign.shared(Buffer.from(new SharedArrayBuffer(16)))
    t.cpu(0, () => bytes.write('text'))
  })
  assert.match(failure.message, /write\(\) may touch shared memory/)
})

test('words of a buffer have the names that the scenario gives them', async () => {
  const buffer = new SharedArrayBuffer(16)
  const words = new foreign.Int32Array(buffer, 8)
  const failure = await failureOf('named', (t) => {
    t.name(words, { flag: 8, 'count of all': 12 })
    t.cpu(0, () => {
      foreign.Atomics.store(words, 0, 1)
      words[1] = 2
    })
    t.cpu(1, () => {
      new foreign.Uint8Array(buffer)[3] = 1
      return new foreign.Int16Array(buffer)[7]
    })
  })
  assert.match(failure.message, /race on count of all/)
  const named = new Set(failure.trace?.events.map(({ word }) => word))
  assert.deepEqual(named, new Set(['flag', 'count of all', '0x3', 'count of all+2']))
  for (const [place, names] of [
    [buffer, { far: 16 }],
    [buffer, { odd: 0.5 }],
    [new Int32Array(4), { flag: 0 }],
  ] as const)
    await assert.rejects(
      explore('wrong names', (t) => {
        t.name(place, names)
        t.cpu(0, () => words[0])
      }),
      { code: 'LAB_SCENARIO' },
    )
})
