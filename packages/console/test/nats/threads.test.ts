/** Where several threads can listen on one port, those of a node know of its place. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSabotaged, NEWER_NODE, NEWER_NODE_FROM, runAgain } from '../helpers/again.js'
import { noNats } from '../helpers/nats.js'
import { missing } from '../helpers/programs.js'

const skip = isSabotaged ? 'this is it' : noNats() || missing(NEWER_NODE, NEWER_NODE_FROM)

for (const [file, passed] of [
  ['nodes', 10],
  ['partitions', 6],
  ['refusals', 3],
] as const)
  test(`${file}, with several threads for each node, in a Node that can`, { skip }, async () => {
    const url = new URL(`./${file}.test.js`, import.meta.url).href
    assert.deepEqual(await runAgain(NEWER_NODE, url), { passed, failed: [] })
  })
