import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { generateLoop } from '../../bench/dist/harness/generated-loop.js'
import { calibrate, perOperation } from '../../bench/dist/harness/per-operation.js'
import {
  cells,
  formatValue,
  goalSummary,
  markdownReport,
  terminalReport,
} from '../../bench/dist/harness/report.js'
import { summary } from '../../bench/dist/harness/summary.js'
import { pick, runSuite } from '../../bench/dist/harness/run.js'
import { Threads } from '../../bench/dist/harness/threads.js'

const effort = { rounds: 3, roundTime: 0.1 }

/** A row that measures the given values in turn, after one for the round that does not count. */
function row(name, role, values, more = {}) {
  const left = [1e9, ...values]
  return { name, role, measure: () => left.shift(), ...more }
}

test('rows take turns, and the first round does not count', async () => {
  const order = []
  const observed = (name) => ({
    name,
    role: 'ours',
    measure: () => {
      order.push(name)
      return order.length
    },
  })
  const { rows } = await runSuite(
    { title: 't', unit: 'ns', rows: [observed('a'), observed('b'), observed('c')] },
    effort,
  )
  assert.equal(order.length, 12)
  for (let round = 0; round < 4; round++)
    assert.deepEqual(order.slice(round * 3, round * 3 + 3).sort(), ['a', 'b', 'c'])
  assert.notDeepEqual(order.slice(3, 6), order.slice(6, 9), 'every other round goes backwards')
  assert.ok(rows.every(({ value }) => value > 3 && value <= 6))
})

test('takes the lowest, highest or median value', () => {
  assert.equal(pick([3, 10, 2], 'lowest'), 2)
  assert.equal(pick([3, 10, 2], 'highest'), 10)
  assert.equal(pick([3, 10, 2], 'median'), 3)
  assert.equal(pick([3, 10, 2, 5], 'median'), 4)
  assert.throws(() => pick([], 'median'), /no round/)
})

test('shows three digits', () => {
  assert.deepEqual([0.123, 9.876, 98.76, 987.6, 98765.4, NaN].map(formatValue), [
    '0.12',
    '9.88',
    '98.8',
    '988',
    '98,765',
    'NaN',
  ])
})

const suite = () => ({
  title: 'all goals',
  unit: 'ns',
  note: 'Made up.',
  rows: [
    row('floor', 'floor', [12, 10, 11]),
    row('fast', 'ours', [12, 13, 11], { goal: { against: 'floor', atMost: 1.2 } }),
    row('slow', 'ours', [13, 15, 13], { goal: { against: 'floor', atMost: 1.2 } }),
    row('close', 'ours', [10.25, 11, 11], { goal: { against: 'floor', atMostMore: 0.3 } }),
    row('far', 'ours', [10.4, 11, 11], { goal: { against: 'floor', atMostMore: 0.3 } }),
    row('peer', 'peer', [50, 40, 45], { goal: { against: 'fast', atLeast: 3 } }),
    row('small', 'ours', [2000, 1999.6, 2001], { goal: { below: 2000 } }),
    row('large', 'ours', [2, 3, 4], { goal: { above: 3 } }),
    row('shown', 'ours', [20, 25, 30], { compareWith: 'floor' }),
    row('alone', 'floor', [1, 1, 1]),
  ],
})

test('compares rows with their goals', async () => {
  const result = await runSuite(suite(), effort)
  assert.deepEqual(cells(result), [
    ['fast', '11.0 ns', 'floor: 10.0', '1.10×', '≤ 1.2×', 'yes'],
    ['slow', '13.0 ns', 'floor: 10.0', '1.30×', '≤ 1.2×', 'no'],
    ['close', '10.3 ns', 'floor: 10.0', '+0.25', '≤ +0.3', 'yes'],
    ['far', '10.4 ns', 'floor: 10.0', '+0.40', '≤ +0.3', 'no'],
    ['peer (peer)', '40.0 ns', 'fast: 11.0', '3.64×', '≥ 3×', 'yes'],
    ['small', '2,000 ns', '', '', '≤ 2000', 'yes'],
    ['large', '2.00 ns', '', '', '≥ 3', 'no'],
    ['shown', '20.0 ns', 'floor: 10.0', '2.00×', '', ''],
    ['alone (floor)', '1.00 ns', '', '', '', ''],
  ])
})

test('reports name machine, date and the goals that are not met', async () => {
  const layers = [{ layer: 'mem', suites: [await runSuite(suite(), effort)] }]
  assert.deepEqual(goalSummary(layers), {
    total: 7,
    missed: ['slow', 'far', 'large'].map((name) => `mem: all goals: ${name}`),
  })
  const markdown = markdownReport(layers)
  assert.match(
    markdown,
    /- CPU: .*cores\n- Memory: .* GiB\n- System: .*\n- Node: v\d+.*\n- Date: \d{4}-\d\d-\d\d\n/,
  )
  assert.match(markdown, /\n## mem\n\n### all goals\n\nMade up\.\n\n\|/)
  assert.match(terminalReport(layers[0]), /^mem: all goals\n[^]*fast[^]*11\.0 ns/)
})

test('a suite whose rows cannot be compared is refused', async () => {
  const of = (...rows) => runSuite({ title: 't', unit: 'ns', rows }, effort)
  await assert.rejects(of(row('a', 'ours', [1]), row('a', 'ours', [1])), /two rows of one name/)
  await assert.rejects(
    of(row('a', 'ours', [1], { goal: { against: 'b', atMost: 1 } })),
    /compared with "b", which is no row/,
  )
  await assert.rejects(of(row('a', 'ours', [1], { compareWith: 'b' })), /compared with "b", which is no row/)
})

test('a row that has measured nothing is an error', async () => {
  const of = (...rows) => runSuite({ title: 't', unit: 'ns', rows }, effort)
  for (const value of [NaN, Infinity])
    await assert.rejects(of(row('a', 'ours', [value])), { message: `"a" measures ${value}` })
  const zeros = [row('a', 'ours', [0, 0, 0]), row('b', 'ours', [0, 0, 0], { compareWith: 'a' })]
  await assert.rejects(of(...zeros), /nothing was measured: the value is 0, and that of "a" as well/)
})

test('the accesses of a grace period are counted, and those of a single CPU are its own', () => {
  const program = fileURLToPath(new URL('../../bench/dist/rcu-tree-accesses.js', import.meta.url))
  const count = (...args) => JSON.parse(execFileSync(process.execPath, [program, ...args]))
  for (const what of ['rcu', 'fast', 'normal', 'fast, all wait', 'normal, all wait']) {
    const [one, many] = [count('1', what), count('16', what)]
    assert.ok(one.all > 10 && one.all === one.most, JSON.stringify(one))
    assert.ok(many.all > 4 * one.all, JSON.stringify(many))
    // No other CPU takes part in a grace period of a domain that has no tree.
    assert.equal(many.most < many.all, what !== 'normal', JSON.stringify(many))
  }
})

test('the page begins with lines that need all that they tell of', () => {
  const suite = (title, unit, values) => ({
    title,
    unit,
    rows: Object.entries(values).map(([name, value]) => ({ name, value })),
  })
  const map = [
    suite('look up, 1,000 names', 'ns', { 'SharedMap.get': 300, 'Map.get': 600, 'lmdb, get': 1200 }),
    suite('look up a name, here', 'µs', { 'SharedMap.get': 0.5, 'redis, GET, one after another': 50 }),
  ]
  const threads = [
    suite('memory of a process, 1,000', 'MiB', {
      'one SharedMap, 4 workers': 200,
      'a Map each, 4 workers': 800,
    }),
    suite('time until 2 workers have', 'µs', {
      'SharedMap.set, others watch': 400,
      'postMessage to each': 100,
    }),
  ]
  const layers = [
    { layer: 'map', suites: map },
    { layer: 'map-threads', suites: threads },
  ]
  const lines = summary(layers).trim().split('\n').slice(4)
  assert.deepEqual(
    lines.map((line) => line.split('|').at(-2).trim()),
    ['0.25×', '0.50×', '4.00×', '0.25×', '0.01×'],
  )
  assert.equal(summary(layers.slice(1)), '')
  map[1].rows[1].absent = 'no redis-server here'
  assert.equal(summary(layers), '')
})

test('a suite is torn down when a row fails', async () => {
  const events = []
  const failing = {
    title: 't',
    unit: 'ns',
    rows: [{ name: 'a', role: 'ours', measure: () => Promise.reject(new Error('on purpose')) }],
    setUp: () => void events.push('up'),
    tearDown: () => void events.push('down'),
  }
  await assert.rejects(runSuite(failing, effort), /on purpose/)
  assert.deepEqual(events, ['up', 'down'])
})

/** A loop whose operations take a time of your choice, in nanoseconds. */
function timed(time) {
  const counts = []
  const loop = (count) => {
    counts.push(count)
    const end = process.hrtime.bigint() + BigInt(count * time.ns)
    while (process.hrtime.bigint() < end);
    return count
  }
  return { loop, counts }
}

test('a loop is run as often as the round time asks for, and divided by its count', async () => {
  const { loop, counts } = timed({ ns: 1000 })
  const value = await perOperation(loop)({ rounds: 3, roundTime: 2 })
  assert.ok(counts.at(-1) >= 200, `${counts.at(-1)} operations of 1000 ns; half of 2 ms takes 1000`)
  assert.ok(value > 100 && value < 1500, `${value} ns of 1000`)
})

test('a loop that was slow when it was calibrated is run more often', async () => {
  const time = { ns: 10_000 }
  const { loop, counts } = timed(time)
  const measure = perOperation(loop)
  await measure({ rounds: 3, roundTime: 2 })
  time.ns = 100
  await measure({ rounds: 3, roundTime: 2 })
  assert.ok(counts.at(-1) >= 2000, `${counts.at(-1)} operations of 100 ns; half of 2 ms takes 10000`)
})

test('a loop that does nothing ends', () => {
  assert.ok(
    calibrate(
      () => 0,
      effort,
      () => 0,
    ) > 1e6,
  )
})

test('interruptions do not give a loop fewer operations', () => {
  let runs = 0
  // Two of three runs take a second longer than the 10 ns of each operation.
  const clock = (_, count) => (++runs % 3 === 0 ? 0 : 1e9) + 10 * count
  const count = calibrate(() => 0, effort, clock)
  assert.equal(count, (effort.roundTime * 1e6) / 10)
})

test('a loop is optimised as a whole before it is timed', () => {
  const program = `
    import { perOperation } from ${JSON.stringify(new URL('../../bench/dist/harness/per-operation.js', import.meta.url))}
    const words = new Int32Array(8)
    const loop = (count) => {
      for (let i = 0; i < count; i++) words[3]++
      return words[3]
    }
    await perOperation(loop)({ rounds: 1, roundTime: 2 })
    const TURBOFAN = 1 << 6
    if (!(%GetOptimizationStatus(loop) & TURBOFAN)) throw new Error('not optimised')`
  execFileSync(process.execPath, ['--allow-natives-syntax', '--input-type=module', '-e', program])
})

test('generated loops see their scope and imports, and share no code', async () => {
  const modules = { addOne: `data:text/javascript,export const addOne = (x) => x + 1` }
  const a = await generateLoop('sum += addOne(list[i])', { list: [1, 2, 3] }, modules)
  const b = await generateLoop('sum += list[i]', { list: [1, 2, 3] })
  assert.equal(a(3), 9)
  assert.equal(b(3), 6)
  const urls = []
  const once = 'urls.push(import.meta.url)'
  for (let made = 0; made < 2; made++) (await generateLoop(once, { urls }))(1)
  assert.notEqual(urls[0], urls[1], 'a module each, for equal statements too')
})

test('threads run their loops together and answer each round', async () => {
  const module = new URL('./helpers/thread-loops.mjs', import.meta.url)
  const arrivals = new SharedArrayBuffer(4)
  const threads = await Threads.open(module, 'meet', 2, { arrivals })
  try {
    assert.ok((await threads.measure(effort)) > 0)
    assert.ok((await threads.measure(effort)) > 0)
    assert.equal(new Int32Array(arrivals)[0], 0b11)
  } finally {
    await threads.close()
  }
})

test('shows no ratio to something that takes no time', () => {
  const result = {
    unit: 'ns',
    rows: [
      {
        name: 'a',
        role: 'ours',
        value: 2,
        comparison: { against: 'b', other: 0, by: Infinity, isDifference: false },
      },
      { name: 'b', role: 'peer', value: 0 },
    ],
  }
  assert.equal(cells(result)[0][3], '–')
})
