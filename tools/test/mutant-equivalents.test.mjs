import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { repositoryRoot } from '../lib/cli.mjs'
import { drawMutants } from '../lib/mutant-draw.mjs'
import { equivalentsFile, readEquivalents } from '../lib/mutant-equivalents.mjs'
import { mutationsOf } from '../lib/mutations/index.mjs'
import { runMutants } from '../mutants.mjs'
import { makeTree } from './helpers/tree.mjs'

const file = 'packages/one/src/bounds.ts'
const text = `export function isBelow(a: number, b: number): boolean {
  return a < b
}
export function isLess(a: number, b: number): boolean {
  // The same once more.
  return a < b
}
export function isOver(a: number, b: number): boolean {
  return a > b
}
`
const entry = {
  file,
  line: 'return a > b',
  kind: 'moved bound',
  before: 'a > b',
  after: 'a >= b',
  because: 'they are never equal',
}

function makeWorkspace(t, entries) {
  const tsconfig = JSON.stringify({
    compilerOptions: { types: [], rootDir: 'src', outDir: 'dist' },
    include: ['src'],
  })
  const root = makeTree(t, { 'packages/one/tsconfig.json': tsconfig, [file]: text })
  mkdirSync(path.join(root, 'mutants'))
  writeFileSync(path.join(root, equivalentsFile), JSON.stringify(entries))
  return root
}
const messagesOf = (root) => readEquivalents(root).problems.map(({ message }) => message)

test('a mutant of the list is not drawn, and all others are', (t) => {
  const sources = [{ file, folder: 'one', tests: [] }]
  const draw = (entries) => {
    const root = makeWorkspace(t, entries)
    const { mutants, discarded } = drawMutants(root, sources, {
      ...{ seed: 1, count: 1000 },
      equivalents: readEquivalents(root),
    })
    return { shown: mutants.map(({ line, after }) => `${line} ${after}`).sort(), discarded }
  }
  const all = draw([])
  const some = draw([entry])
  assert.deepEqual(messagesOf(makeWorkspace(t, [entry])), [])
  assert.deepEqual([all.discarded.equivalent, some.discarded.equivalent], [0, 1])
  assert.deepEqual(
    some.shown,
    all.shown.filter((mutant) => mutant !== '9 a >= b'),
  )
  assert.equal(some.shown.length, all.shown.length - 1)
})

test('an entry whose line has changed, or whose file is gone, is a problem', (t) => {
  for (const changed of [
    { line: 'return a >= b' },
    { after: 'a < b' },
    { kind: 'dropped call' },
    { previous: '}' },
    { file: 'packages/one/src/gone.ts' },
  ]) {
    const [message, ...others] = messagesOf(makeWorkspace(t, [{ ...entry, ...changed }]))
    assert.match(message, /bounds\.ts|gone\.ts.*: there is no such mutant$/)
    assert.deepEqual(others, [])
  }
})

test('an entry that fits several mutants says which line comes before', (t) => {
  const twice = { ...entry, line: 'return a < b', before: 'a < b', after: 'a <= b' }
  assert.match(messagesOf(makeWorkspace(t, [twice]))[0], /fits 2 mutants; say "previous" or "at"$/)
  const root = makeWorkspace(t, [{ ...twice, previous: '// The same once more.' }])
  const { isEquivalent, problems } = readEquivalents(root)
  assert.deepEqual(problems, [])
  const fitting = mutationsOf(file, text).filter((mutation) => isEquivalent(file, mutation))
  assert.deepEqual(
    fitting.map(({ line }) => line),
    [6],
  )
  assert.equal(isEquivalent('packages/one/src/other.ts', fitting[0]), false)
  const second = makeWorkspace(t, [{ ...twice, at: 2 }])
  assert.deepEqual(messagesOf(second), [])
  assert.ok(readEquivalents(second).isEquivalent(file, fitting[0]))
  assert.match(messagesOf(makeWorkspace(t, [{ ...twice, at: 3 }]))[0], /there is no such mutant$/)
})

test('an entry without a reason, or with an unknown key, is a problem', (t) => {
  const faulty = [
    { ...entry, because: ' ' },
    { ...entry, reason: 'none' },
  ]
  assert.deepEqual(messagesOf(makeWorkspace(t, faulty)), [
    `${file}: "because" must be a text`,
    `${file}: unknown key "reason"`,
  ])
})

test('the run of the registry tells of entries that fit nothing', async (t) => {
  const { problems } = await runMutants(makeWorkspace(t, [{ ...entry, after: 'a' }]))
  assert.deepEqual(
    problems.map((problem) => problem.file),
    [equivalentsFile],
  )
})

test('the list of this repository fits its sources', () => {
  assert.deepEqual(readEquivalents(repositoryRoot).problems, [])
})
