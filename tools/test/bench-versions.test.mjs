import assert from 'node:assert/strict'
import { access, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { compareVersions } from '../../bench/dist/harness/versions.js'
import { markdownVersions, splitPage, worseRows } from '../../bench/dist/harness/versions-report.js'
import { runLayer, runSuiteOf, titlesOf, withSuitesOf } from '../../bench/dist/layer-process.js'

/** Rounds of one suite; `rows` has the values of each row: before, then after. */
function roundsOf(rows, take = 'lowest') {
  const suite = (side, round) => ({
    title: 'made up',
    unit: 'ns',
    take,
    rows: Object.entries(rows)
      .filter(([, { [side]: values }]) => values !== undefined)
      .map(([name, row]) => ({
        name,
        formerly: row.formerly,
        role: row.role ?? 'ours',
        value: row[side][round],
      })),
  })
  const count = Object.values(rows)[0].before.length
  return Array.from({ length: count }, (_, round) => ({
    before: suite('before', round),
    after: suite('after', round),
  }))
}

test('a row is marked if its ratio is large and all rounds agree', () => {
  const suite = compareVersions(
    roundsOf({
      slower: { before: [10, 20, 10], after: [11, 22, 12] },
      faster: { before: [10, 20, 10], after: [9, 18, 8] },
      noisy: { before: [10, 10, 10], after: [15, 9.9, 15] },
      close: { before: [10, 10, 10], after: [10.4, 10.4, 10.4] },
    }),
  )
  assert.deepEqual(
    suite.rows.map(({ name, verdict }) => [name, verdict]),
    [
      ['slower', 'worse'],
      ['faster', 'better'],
      ['noisy', undefined],
      ['close', undefined],
    ],
  )
  const [{ before, after, ratio, lowest, highest }] = suite.rows
  assert.deepEqual([before, after, ratio, lowest, highest], [10, 12, 1.1, 1.1, 1.2])
  assert.deepEqual(worseRows([{ layer: 'mem', suites: [suite] }]), ['mem: made up: slower'])
})

test("ratios are at one speed of the machine, which others' rows tell", () => {
  const rows = {
    same: { before: [10, 10], after: [20, 10] },
    slower: { before: [10, 10], after: [24, 12] },
    floor: { before: [1, 1], after: [2, 1], role: 'floor' },
    peer: { before: [7, 7], after: [14, 7], role: 'peer' },
  }
  const shown = (suite) => suite.rows.map(({ name, ratio, verdict }) => [name, ratio.toFixed(3), verdict])
  assert.deepEqual(shown(compareVersions(roundsOf(rows))), [
    ['same', '1.000', undefined],
    ['slower', '1.200', 'worse'],
    ['floor', '1.500', undefined],
    ['peer', '1.500', undefined],
  ])
  assert.deepEqual(shown(compareVersions(roundsOf(rows, 'median')))[0], ['same', '1.500', undefined])
})

test('rows that do not use the library are not marked', () => {
  const [floor] = compareVersions(roundsOf({ floor: { before: [1, 1], after: [2, 2], role: 'floor' } })).rows
  assert.deepEqual([floor.ratio, floor.verdict], [2, undefined])
})

test('of rates, higher is better', () => {
  const suite = compareVersions(
    roundsOf(
      { more: { before: [10, 10], after: [20, 20] }, less: { before: [10, 10], after: [5, 5] } },
      'highest',
    ),
  )
  assert.deepEqual(
    suite.rows.map(({ verdict }) => verdict),
    ['better', 'worse'],
  )
})

test('rows are matched by their names or former names, and the others are listed', () => {
  const rounds = roundsOf({
    old: { before: [10] },
    same: { before: [10], after: [10] },
    renamed: { after: [20], formerly: 'old' },
    gone: { before: [1] },
    fresh: { after: [1] },
  })
  const suite = compareVersions(rounds)
  assert.deepEqual(
    suite.rows.map(({ name, ratio }) => [name, ratio]),
    [
      ['same', 1],
      ['renamed', 2],
    ],
  )
  assert.deepEqual([suite.onlyBefore, suite.onlyAfter], [['gone'], ['fresh']])
  const [{ before }] = rounds
  const lost = compareVersions([{ before, after: undefined }])
  assert.deepEqual(lost.onlyBefore, ['old', 'same', 'gone'])
})

test('the page keeps its other part', () => {
  const suite = compareVersions(roundsOf({ slower: { before: [10, 10], after: [20, 20] } }))
  const part = markdownVersions([{ layer: 'mem', suites: [suite] }], 2)
  assert.match(part, /- Node: v\d+.*\n- Date: \d{4}-\d\d-\d\d\n/)
  assert.match(
    part,
    /### mem: made up\n\n[^]*\| slower \| +10.0 ns \| +20.0 ns \| 2.00× \| 2.00–2.00 \| worse \|/,
  )
  assert.deepEqual(splitPage(`# Benchmarks\n\n${part}`), ['# Benchmarks\n\n', part])
  assert.deepEqual(splitPage('# Benchmarks\n'), ['# Benchmarks\n', ''])
})

test("another checkout's suites run with its library and this harness", async () => {
  const checkout = await mkdtemp(join(tmpdir(), 'percpu-checkout-'))
  try {
    const built = join(checkout, 'bench/dist')
    await mkdir(join(built, 'harness'), { recursive: true })
    await mkdir(join(checkout, 'node_modules/percpu'), { recursive: true })
    await writeFile(join(checkout, 'node_modules/percpu/package.json'), '{ "exports": "./index.mjs" }')
    await writeFile(join(checkout, 'node_modules/percpu/index.mjs'), 'export const answer = 42')
    await writeFile(join(built, 'run-layer.js'), 'throw new Error("not this one")')
    await writeFile(join(built, 'harness/per-operation.js'), 'throw new Error("nor this one")')
    await writeFile(
      join(built, 'mem.js'),
      `import { answer } from 'percpu'
       import { timeLoop } from './harness/per-operation.js'
       const measure = () => timeLoop(() => 0, 1) >= 0 ? answer : 0
       const rows = [{ name: 'a', role: 'ours', measure }]
       export const suites = [{ title: 'made up', unit: 'ns', rows }, { title: 'other', unit: 'ns', rows }]`,
    )
    const before = await readdir(built)
    let copied
    await withSuitesOf(checkout, async (suites) => {
      copied = suites
      assert.deepEqual(await titlesOf('mem', suites), ['made up', 'other'])
      const { title, take, rows } = await runSuiteOf('mem', 'made up', 'quick', suites)
      assert.deepEqual([title, take, rows[0].value], ['made up', 'lowest', 42])
      assert.equal(await runSuiteOf('mem', 'none', 'quick', suites), undefined)
      assert.equal((await runLayer('mem', 'quick', suites)).length, 2)
    })
    assert.deepEqual(await readdir(built), before)
    await assert.rejects(access(copied), { code: 'ENOENT' })
  } finally {
    await rm(checkout, { recursive: true })
  }
})

test('a directory without built benchmarks is refused', async () => {
  const nowhere = fileURLToPath(new URL('./helpers', import.meta.url))
  await assert.rejects(
    withSuitesOf(nowhere, () => assert.fail('called')),
    /is no checkout that is built/,
  )
})
