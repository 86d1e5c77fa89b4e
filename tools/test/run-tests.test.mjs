import assert from 'node:assert/strict'
import test from 'node:test'
import { findTests, runFiles } from '../run-tests.mjs'
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

test('gives the exit code of a failing and of a passing run', async (t) => {
  const root = makeTree(t, {
    'pass.test.mjs': `import test from 'node:test'; test('passes', () => undefined)`,
    'fail.test.mjs': `import test from 'node:test'; test('fails', () => { throw new Error('on purpose') })`,
  })
  const run = async (file) => {
    const context = process.env.NODE_TEST_CONTEXT
    delete process.env.NODE_TEST_CONTEXT
    try {
      return await runFiles(root, [file], 'ignore')
    } finally {
      if (context !== undefined) process.env.NODE_TEST_CONTEXT = context
    }
  }
  assert.equal(await run('pass.test.mjs'), 0)
  assert.equal(await run('fail.test.mjs'), 1)
})
