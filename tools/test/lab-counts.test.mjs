import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import { repositoryRoot } from '../lib/cli.mjs'
import { storedCounts } from '../lab-counts.mjs'

test('every stored count belongs to a test file', () => {
  const stored = storedCounts(repositoryRoot)
  assert.ok(stored.length > 0)
  const gone = stored.filter(({ test }) => !existsSync(path.join(repositoryRoot, test)))
  assert.deepEqual(gone, [], 'npm run lab:counts removes them')
})
