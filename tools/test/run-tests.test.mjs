import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { repositoryRoot } from '../lib/cli.mjs'
import { compiledTest, findTests, longestFirst, runFiles, slowTests } from '../run-tests.mjs'
import { makeTree } from './helpers/tree.mjs'

const tree = {
  'packages/one/test/deep/a.test.ts': '',
  'packages/one/dist-test/deep/a.test.js': '',
  'packages/one/dist-test/deep/deleted.test.js': '',
  'packages/one/dist-test/deep/helper.js': '',
  'packages/one/src/not-a-test-folder.test.ts': '',
  'packages/two/test/b.test.ts': '',
  'packages/two/node_modules/x/test/c.test.ts': '',
  'tools/test/d.test.mjs': '',
}

/** Node's runner does not run in itself. */
async function outsideOfTests(work) {
  const context = process.env.NODE_TEST_CONTEXT
  delete process.env.NODE_TEST_CONTEXT
  try {
    return await work()
  } finally {
    if (context !== undefined) process.env.NODE_TEST_CONTEXT = context
  }
}

test('finds compiled tests by their sources, and the tests of the tools', (t) => {
  assert.deepEqual(findTests(makeTree(t, tree)), {
    files: ['packages/one/dist-test/deep/a.test.js', 'tools/test/d.test.mjs'],
    missing: ['packages/two/test/b.test.ts'],
    stale: ['packages/one/dist-test/deep/deleted.test.js'],
  })
})

test('filters by the path of the source or of the compiled file', (t) => {
  const root = makeTree(t, tree)
  assert.deepEqual(findTests(root, ['one/test/deep']).files, ['packages/one/dist-test/deep/a.test.js'])
  assert.deepEqual(findTests(root, ['dist-test/deep', 'tools/']).files.length, 2)
  assert.deepEqual(findTests(root, ['nowhere']).files, [])
})

test('puts the slow tests first, and names none that there is not', () => {
  const [slowest, next] = slowTests.map(compiledTest)
  assert.deepEqual(longestFirst(['a', next, 'b', slowest]), [slowest, next, 'a', 'b'])
  assert.deepEqual(
    slowTests.filter((file) => !existsSync(path.join(repositoryRoot, file))),
    [],
  )
})

test('runs files in the order in which they are given', async (t) => {
  const order = `import { appendFileSync } from 'node:fs'; import path from 'node:path'
    appendFileSync('order.txt', path.basename(import.meta.filename)[0])`
  const root = makeTree(t, { 'a.test.mjs': order, 'b.test.mjs': order, 'c.test.mjs': order })
  await outsideOfTests(() => runFiles(root, ['c.test.mjs', 'a.test.mjs', 'b.test.mjs'], 'ignore', 1))
  assert.equal(readFileSync(path.join(root, 'order.txt'), 'utf8'), 'cab')
})

test('gives the exit code of a failing and of a passing run', async (t) => {
  const root = makeTree(t, {
    'pass.test.mjs': `import test from 'node:test'; test('passes', () => undefined)`,
    'fail.test.mjs': `import test from 'node:test'; test('fails', () => { throw new Error('on purpose') })`,
  })
  const run = (file) => outsideOfTests(() => runFiles(root, [file], 'ignore'))
  assert.equal(await run('pass.test.mjs'), 0)
  assert.equal(await run('fail.test.mjs'), 1)
})
