import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { havePassed, rememberOutcome } from '../lib/passed-tests.mjs'
import { tellsOfFailure } from '../lib/test-process.mjs'
import { runMutants } from '../mutants.mjs'
import { makeTree } from './helpers/tree.mjs'

const tsconfig = JSON.stringify({
  compilerOptions: {
    target: 'es2022',
    module: 'nodenext',
    types: [],
    rootDir: 'src',
    outDir: 'dist',
    strict: true,
  },
  include: ['src'],
})
const source = `export function add(a: number, b: number): number {\n  return a + b\n}\n`
const library = `export function add(a, b) {\n    return a + b;\n}\n`
const compiledTest = `
import { add } from 'fixture'
if (process.argv.includes('unused')) throw new Error('unreachable')
if (add(2, 2) === Infinity) for (;;) add(1, 1)
if (add(2, 3) !== 5) throw new Error('wrong sum')
`
const entry = {
  file: 'packages/fixture/src/add.ts',
  find: 'a + b',
  replace: 'a - b',
  killedBy: 'packages/user/test/add.test.ts',
  because: 'a sum is no difference',
}

/** Two packages: a library, and one that tests it through node_modules. */
function makeWorkspace(t, mutants, testText = compiledTest) {
  const root = makeTree(t, {
    'packages/fixture/package.json': JSON.stringify({
      name: 'fixture',
      type: 'module',
      exports: './dist/add.js',
    }),
    'packages/fixture/tsconfig.json': tsconfig,
    'packages/fixture/src/add.ts': source,
    'packages/fixture/dist/add.js': library,
    'packages/user/package.json': JSON.stringify({ name: 'user', type: 'module' }),
    'packages/user/test/add.test.ts': '',
    'packages/user/dist-test/add.test.js': testText,
  })
  mkdirSync(path.join(root, 'node_modules'))
  symlinkSync('../packages/fixture', path.join(root, 'node_modules/fixture'))
  mkdirSync(path.join(root, 'mutants/one'), { recursive: true })
  for (const [name, mutant] of Object.entries(mutants)) {
    writeFileSync(path.join(root, `mutants/one/${name}.json`), JSON.stringify(mutant))
  }
  return root
}

test('tells killed mutants from surviving ones, and leaves the workspace alone', async (t) => {
  const root = makeWorkspace(t, { minus: entry, commuted: { ...entry, replace: 'b + a' } })
  const { table, problems } = await runMutants(root, { lanes: 2 })
  assert.deepEqual(
    table.map(({ name, killed, how }) => [name, killed, how]),
    [
      ['one/commuted', false, 'passed'],
      ['one/minus', true, 'test failed'],
    ],
  )
  assert.deepEqual(
    problems.map(({ file, message }) => [file, message]),
    [
      [
        'mutants/one/commuted.json',
        'one/commuted survives packages/user/test/add.test.ts (passed): a sum is no difference',
      ],
    ],
  )
  assert.equal(readFileSync(path.join(root, 'packages/fixture/dist/add.js'), 'utf8'), library)
})

test('one lane restores the library between two mutants', async (t) => {
  const root = makeWorkspace(t, {
    a: entry,
    b: { ...entry, replace: 'b + a' },
    c: { ...entry, replace: 'a * b' },
  })
  const { table } = await runMutants(root, { lanes: 1 })
  assert.deepEqual(
    table.map(({ killed }) => killed),
    [true, false, true],
  )
})

test('a mutant that never ends is killed by the time limit', async (t) => {
  const root = makeWorkspace(t, { endless: { ...entry, replace: 'a === b ? Infinity : a + b', seconds: 1 } })
  // Without a mutant a busy machine may take longer.
  rememberOutcome(root, true)
  const { table, problems } = await runMutants(root)
  assert.deepEqual(problems, [])
  assert.equal(table[0].how, 'no end within 1 s')
})

test('a mutant that does not compile or does not apply is a problem, not a kill', async (t) => {
  const root = makeWorkspace(t, {
    type: { ...entry, replace: `'text'` },
    syntax: { ...entry, replace: 'a +' },
    stale: { ...entry, find: 'a / b' },
  })
  const { table, problems } = await runMutants(root)
  assert.deepEqual(table, [])
  assert.equal(problems.length, 3)
  assert.match(
    problems.map(({ message }) => message).join('\n'),
    /"find" occurs 0 times[^]*Expression expected[^]*not assignable/,
  )
})

test('a test that fails without a mutant kills nothing', async (t) => {
  const root = makeWorkspace(t, { minus: entry }, `throw new Error('broken anyway')`)
  const { table, problems } = await runMutants(root)
  assert.deepEqual(table, [])
  assert.match(problems[0].message, /fails without a mutant \(test failed\)[^]*broken anyway/)
})

test('what has passed with the same files is not run without a mutant', async (t) => {
  const root = makeWorkspace(t, { minus: entry }, `${compiledTest}\n// once`)
  const run = async () => {
    let isTrusted = false
    const { problems } = await runMutants(root, { onTrust: () => (isTrusted = true) })
    assert.deepEqual(problems, [])
    return isTrusted
  }
  assert.equal(await run(), false)
  rememberOutcome(root, true)
  assert.equal(await run(), true)
  writeFileSync(path.join(root, 'packages/user/dist-test/add.test.js'), compiledTest)
  assert.equal(await run(), false)
  rememberOutcome(root, true)
  assert.ok(havePassed(root))
  rememberOutcome(root, false)
  assert.ok(!havePassed(root))
})

test('selects by a part of the name', async (t) => {
  const root = makeWorkspace(t, { minus: entry, commuted: { ...entry, replace: 'b + a' } })
  assert.deepEqual((await runMutants(root, { only: 'min' })).problems, [])
  assert.match(
    (await runMutants(root, { only: 'nothing' })).problems[0].message,
    /no mutant is named like nothing/,
  )
})

const namedTests = `
import test from 'node:test'
import { add } from 'fixture'
test('adds', () => { if (add(2, 3) !== 5) throw new Error('wrong sum') })
test('does something else', () => undefined)
`

test('runs only the tests that an entry names', async (t) => {
  const root = makeWorkspace(
    t,
    { a: { ...entry, testName: 'adds' }, b: { ...entry, testName: 'else' } },
    namedTests,
  )
  const { table } = await runMutants(root)
  assert.deepEqual(
    table.map(({ name, killed }) => [name, killed]),
    [
      ['one/a', true],
      ['one/b', false],
    ],
  )
})

test('a test file is over when a test of it has failed', async (t) => {
  const endless = `${namedTests}\ntest('never ends', () => new Promise((resolve) => setTimeout(resolve, 60_000)))`
  const root = makeWorkspace(t, { a: { ...entry, seconds: 30 } }, endless)
  rememberOutcome(root, true)
  const { table, problems } = await runMutants(root)
  assert.deepEqual(problems, [])
  assert.deepEqual([table[0].killed, table[0].how], [true, 'test failed'])
  assert.ok(table[0].milliseconds < 20_000)
})

test('what is no failure is not taken for one', () => {
  assert.ok(tellsOfFailure('# Subtest: a\n    not ok 1 - a\n'))
  assert.ok(tellsOfFailure('\nnot ok 12 - a # b\n'))
  for (const text of [
    '\nok 1 - not ok 2 - a\n',
    '\nnot ok 1 - a # TODO later\n',
    '\nnot ok 1 - a',
    '# not ok 1 - a\n',
  ])
    assert.ok(!tellsOfFailure(text), text)
})

test('an entry that names no test is a problem', async (t) => {
  const { table, problems } = await runMutants(
    makeWorkspace(t, { a: { ...entry, testName: 'nothing' } }, namedTests),
  )
  assert.deepEqual(table, [])
  assert.match(problems[0].message, /has no test named like "nothing"/)
})

test('an entry that names no test is a problem after all tests have passed, too', async (t) => {
  const root = makeWorkspace(t, { a: { ...entry, testName: 'nothing' } }, namedTests)
  rememberOutcome(root, true)
  const { table, problems } = await runMutants(root)
  assert.deepEqual(table, [])
  assert.match(problems[0].message, /has no test named like "nothing"/)
})

const exploration = `
import { add } from 'fixture'
if (add(2, 3) === 6) throw new Error('sums: assertion in execution 12: wrong\\n' + '-'.repeat(9000))
if (add(2, 3) === -1) throw new Error('sums: deadlock in execution 7: nobody can go on')
if (add(2, 3) !== 5) throw new Error('sums: 3 executions instead of 4')
`

test('a mutant with a number of executions must make an exploration fail by then', async (t) => {
  const inTime = { ...entry, executions: 12 }
  const mutants = {
    late: { ...inTime, executions: 11, replace: 'a * b' },
    stuck: inTime,
    'in-time': { ...inTime, replace: 'a * b' },
    'not-explored': { ...inTime, replace: '2 * a' },
    survivor: { ...inTime, replace: 'b + a' },
  }
  const { table, problems } = await runMutants(makeWorkspace(t, mutants, exploration), { lanes: 1 })
  assert.deepEqual(
    table.map(({ name, killed, how }) => [name, killed, how]),
    [
      ['one/in-time', true, 'execution 12'],
      ['one/late', false, 'execution 12; at most 11'],
      ['one/not-explored', false, 'test failed, no exploration; at most 12'],
      ['one/stuck', true, 'execution 7'],
      ['one/survivor', false, 'passed'],
    ],
  )
  assert.equal(problems.length, 3)
})

test('a number of executions that is none is a problem', async (t) => {
  const { problems } = await runMutants(makeWorkspace(t, { a: { ...entry, executions: 0 } }))
  assert.match(problems[0].message, /"executions" must be a whole number from 1 on/)
})
