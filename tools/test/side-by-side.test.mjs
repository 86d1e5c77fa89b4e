import assert from 'node:assert/strict'
import test from 'node:test'
import { runSideBySide } from '../side-by-side.mjs'
import { makeTree } from './helpers/tree.mjs'

const later = (milliseconds, code) => `node -e "setTimeout(() => process.exit(${code}), ${milliseconds})"`

test('tells all outcomes in the order of the scripts, and which failed', async (t) => {
  const scripts = { slow: later(500, 0), broken: later(0, 3), fast: later(0, 0), none: later(0, 1) }
  const root = makeTree(t, { 'package.json': JSON.stringify({ scripts }) })
  const told = []
  const failed = await runSideBySide(root, Object.keys(scripts), {
    onEnd: ({ name, code }) => told.push([name, code]),
    lanes: 2,
  })
  assert.deepEqual(told, [
    ['slow', 0],
    ['broken', 3],
    ['fast', 0],
    ['none', 1],
  ])
  assert.deepEqual(failed.sort(), ['broken', 'none'])
})

test('a script that there is not has failed', async (t) => {
  const root = makeTree(t, { 'package.json': '{}' })
  let output = ''
  const failed = await runSideBySide(root, ['nothing'], { onEnd: (outcome) => (output += outcome.output) })
  assert.deepEqual(failed, ['nothing'])
  assert.match(output, /Missing script: "nothing"/)
})
