/**
 * What a failure shows: the diagram in its message, how to replay it, and a page in the folder that
 * was asked for.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { diagram, explore, ExplorationFailure, page, percpu, type Scenario } from '../../dist/index.js'
import { fails, idle, reports, wordsOf } from './support.js'

const { struct, atomic, i32 } = percpu
const Words = struct('Words', { head: atomic(i32), tail: atomic(i32) })
const scenario = (t: Scenario) => {
  const queue = t.memory(Words, 'queue')
  t.cpu(0, () => {
    queue.head.compareExchange(1, 2)
    queue.head.store(1)
  })
  t.cpu(1, () => assert.equal(queue.head.load(), 0, 'nothing'))
}

describe('a failure', () => {
  afterEach(() => delete process.env['PERCPU_LAB_REPORT'])

  it('tells in its message what, where, in which execution, and how to see it again', async () => {
    const { message, execution, trace, report } = await fails('assertion', 'the head', scenario)
    const [first = ''] = message.split('\n')
    assert.equal(first, `the head: assertion in execution ${execution}: cpu 1: nothing`)
    assert.match(message, /● store queue\.head = 1 .*failure\.test/)
    assert.match(message, /● compareExchange queue\.head = 0, kept/)
    assert.match(
      message,
      new RegExp(`explore\\("the head", scenario, \\{ replay: '${trace.schedule}' \\}\\)`),
    )
    const [, url = ''] = /Step by step: (file:\S+)/.exec(message) ?? []
    assert.equal(fileURLToPath(url), report)
    // Tests do not run on a terminal.
    assert.ok(!message.includes('\x1b'))
  })
  it('names places in the sources, of the library too', async () => {
    const { trace } = await fails('assertion', 'the head', scenario)
    const [first = ''] = trace.events[0]?.stack ?? []
    assert.match(first, /^Atomic\w+\.\w+ \(.*[/\\]percpu[/\\]src[/\\]layout[/\\][\w-]+\.ts:\d+:\d+\)$/)
    const source = readFileSync(new URL('../../test/engine/failure.test.ts', import.meta.url), 'utf8')
    const line = source.split('\n').findIndex((text) => text.includes('head.compareExchange(1, 2)')) + 1
    assert.match(diagram(trace), new RegExp(`failure\\.test\\.ts:${line}\\b`))
  })
  it('writes the page to the folder of the option, else of the environment', async () => {
    const own = await fails('assertion', 'own folder', scenario, { report: path.join(reports, 'a', 'b') })
    assert.equal(path.dirname(own.report ?? ''), path.join(reports, 'a', 'b'))
    assert.equal(readFileSync(own.report ?? '', 'utf8'), page(own.trace))
    process.env['PERCPU_LAB_REPORT'] = path.join(reports, 'c')
    const error: unknown = await explore('a name: with / and "', scenario).catch((caught: unknown) => caught)
    assert.ok(error instanceof ExplorationFailure)
    assert.match(path.relative(reports, error.report ?? ''), /^c\/a-name-with-and-[0-9a-f]{8}\.html$/)
  })
  it('is thrown with its diagram when the page cannot be written, with the reason', async () => {
    const way = path.join(reports, 'a file in the way')
    writeFileSync(way, 'of somebody else\n')
    const { report: page = '' } = await fails('assertion', 'in the way', scenario, {
      report: path.join(reports, 'd'),
    })
    rmSync(page)
    mkdirSync(page)
    const loop = path.join(reports, 'loop')
    symlinkSync(loop, loop)
    for (const [folder, reason] of [
      [way, 'EEXIST'],
      [path.join(way, 'below'), 'ENOTDIR'],
      [path.dirname(page), 'EISDIR'],
      [loop, 'ELOOP'],
    ] as const) {
      const { kind, message, report, trace, cause } = await fails('assertion', 'in the way', scenario, {
        report: folder,
      })
      assert.deepEqual([kind, report], ['assertion', undefined])
      assert.match(
        message,
        /^in the way: assertion in execution \d+: cpu 1: nothing\n[^]*● store queue\.head = 1/,
      )
      assert.match(
        message,
        new RegExp(`replay: '${trace.schedule}'[^]*\n\nStep by step: page not written: ${reason}: .*$`),
      )
      assert.ok(cause instanceof assert.AssertionError)
    }
    assert.equal(readFileSync(way, 'utf8'), 'of somebody else\n')
    assert.deepEqual(readdirSync(path.dirname(page)), [path.basename(page)])
  })
  it('has a trace for diagrams of other widths', async () => {
    const { trace } = await fails('assertion', 'wide', scenario)
    for (const width of [40, 72, 200])
      for (const line of diagram(trace, { width }).split('\n')) assert.ok(line.length <= width)
  })
  it('tells what a compareExchange kept apart from what it wrote', async () => {
    const { trace } = await fails('assertion', 'exchanges', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => {
        w.cas(0, 5, 6)
        w.cas(0, 0, 7)
        assert.fail('now')
      })
    })
    assert.deepEqual(
      trace.events.map(({ read, wrote }) => [read, wrote]),
      [
        [0, undefined],
        [0, 7],
      ],
    )
  })
  it('draws an interrupt that has ended as ended', async () => {
    const { message } = await fails('assertion', 'after', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => w.add(0, 1))
      t.irq(0, () => void w.add(0, 1))
      t.cpu(1, () => assert.notEqual(w.add(0, 1), 2))
    })
    const last = message.split('\n').find((line) => /^ +\d+ .*add 0x\w+ 2 → 3/.test(line)) ?? ''
    assert.match(last, /^ +\d+ +│ +●/)
  })
  it('about the whole search has no trace and no page', async () => {
    const one = explore('count', (t) => t.cpu(0, idle(t)), { expect: { executions: 5 } })
    await assert.rejects(one, (error) => {
      assert.ok(error instanceof ExplorationFailure)
      assert.deepEqual([error.trace, error.report, error.kind], [undefined, undefined, 'execution count'])
      return true
    })
  })
})
