import assert from 'node:assert/strict'
import { test } from 'node:test'
import { modules } from '../layout-lock.mjs'
import { makeTree } from './helpers/tree.mjs'

test('finds compiled modules by their sources, layouts alone in the console', (t) => {
  const root = makeTree(t, {
    'packages/percpu/src/heap/layout.ts': '',
    'packages/percpu/src/index.ts': '',
    'packages/percpu/dist/heap/layout.js': '',
    'packages/percpu/dist/heap/deleted.js': '',
    'packages/console/src/commands/layout.ts': '',
    'packages/console/src/commands/top.ts': '',
    'packages/console/dist/old/layout.js': '',
  })
  assert.deepEqual(
    modules(root).map((file) => file.slice(root.length + 1)),
    [
      'packages/percpu/dist/heap/layout.js',
      'packages/percpu/dist/index.js',
      'packages/console/dist/commands/layout.js',
    ],
  )
})
