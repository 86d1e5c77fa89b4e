import assert from 'node:assert/strict'
import test from 'node:test'
import { checkImports, lab, library } from '../check-imports.mjs'
import { makeTree } from './helpers/tree.mjs'

/** The messages for a tree in which only `file` is of interest. */
function messagesFor(t, file, text) {
  return checkImports(makeTree(t, { [file]: text }), library).map(
    ({ file, line, message }) => `${file}:${line}: ${message}`,
  )
}

test('accepts the line of layers', (t) => {
  const root = makeTree(t, {
    'errors.ts': `import type { X } from './limits.js'`,
    'limits.ts': '',
    'compose.ts': `import '#mem'; import './machine/index.js'; import './sync/x.js'; import './errors.js'`,
    'machine.ts': `import './compose.js'; import './sync/x.js'`,
    'boot.ts': `import './machine.js'; import './compose.js'`,
    'index.ts': `export * from './boot.js'\nexport * from './machine/index.js'\nexport { y } from './errors.js'`,
    'mem/mem.ts': `import './other.js'`,
    'machine/cpu.ts': `import { load32 } from '#mem'\nimport { struct } from '../layout/index.js'\nimport '../errors.js'\nimport './vpa/area.js'`,
    'machine/vpa/area.ts': `import '../../layout/struct.js'; const lazy = () => import('../limits.js')`,
    'paging/tlb.ts': `import '../rcu/srcu.js'; type T = import('../collections/map.js').Map // import 'fs'`,
  })
  assert.deepEqual(checkImports(root, library), [])
})

const wrong = [
  [
    'a later layer',
    'layout/a.ts',
    `\nimport '../machine/cpu.js'`,
    /layout\/a\.ts:2: .*machine comes after layout/,
  ],
  [
    'a later layer through a subfolder',
    'sync/deep/a.ts',
    `export * from '../../rcu/x.js'`,
    /rcu comes after sync/,
  ],
  ['a type', 'sync/a.ts', `let x: import('../alloc/x.js').X`, /alloc comes after sync/],
  ['a dynamic import', 'sync/a.ts', `await import('../alloc/x.js')`, /alloc comes after sync/],
  ['a type-only import', 'mem/a.ts', `import type { X } from '../layout/x.js'`, /layout comes after mem/],
  ['an expression', 'sync/a.ts', 'await import(`../${name}.js`)', /use a string literal/],
  ['mem by its path', 'machine/a.ts', `import '../mem/mem.js'`, /import the mem layer as '#mem'/],
  [
    'mem by its path from the index',
    'index.ts',
    `export * from './mem/mem.js'`,
    /import the mem layer as '#mem'/,
  ],
  ['#mem in mem', 'mem/a.ts', `import '#mem'`, /#mem may not be imported from the mem layer/],
  ['a node module', 'machine/a.ts', `import 'node:fs'`, /imports only its own files/],
  ['a package', 'machine/a.ts', `import 'semver'`, /imports only its own files/],
  ['the package itself', 'machine/a.ts', `import 'percpu'`, /imports only its own files/],
  ['require', 'machine/a.ts', `const fs = require('fs')`, /imports only its own files/],
  ['import equals', 'machine/a.ts', `import fs = require('fs')`, /imports only its own files/],
  ['a type reference', 'machine/a.ts', `/// <reference types="node" />`, /imports only its own files/],
  ['the index', 'machine/a.ts', `import '../index.js'`, /the machine layer does not import index/],
  ['compose', 'machine/a.ts', `import '../compose.js'`, /the machine layer does not import compose/],
  ['boot from the machine object', 'machine.ts', `import './boot.js'`, /machine does not import boot/],
  ['outside', 'machine/a.ts', `import '../../other/x.js'`, /outside the source folder/],
  [
    'a layer from a base file',
    'errors.ts',
    `import './mem2.js'; import './layout/x.js'`,
    /base files import no layer/,
  ],
  ['an unknown folder', 'utils/a.ts', '', /folder utils is not one of the layers/],
]
for (const [what, file, text, expected] of wrong) {
  test(`reports ${what}`, (t) => {
    const messages = messagesFor(t, file, text)
    assert.equal(messages.length, 1, messages.join('\n'))
    assert.match(messages[0], expected)
  })
}

test('lets the lab import packages, along its own line of folders', (t) => {
  const root = makeTree(t, {
    'trace.ts': '',
    'index.ts': `export * from './explore/explore.js'`,
    'engine/world.ts': `import '../trace.js'; import { Worker } from 'node:worker_threads'; import 'percpu'`,
    'explore/explore.ts': `import '../engine/world.js'; import '../report/page.js'; await import(name)`,
    'report/page.ts': `import '../explore/explore.js'; import '../index.js'`,
  })
  const messages = checkImports(root, lab).map(({ file, line, message }) => `${file}:${line}: ${message}`)
  assert.deepEqual(messages, [
    `report/page.ts:1: imports '../explore/explore.js': explore comes after report in the line of layers`,
    `report/page.ts:1: imports '../index.js': the report layer does not import index`,
    'explore/explore.ts:1: circle of imports: explore/explore.ts → report/page.ts → explore/explore.ts',
  ])
})

const circles = [
  ['two files', { 'a.ts': `import './b.js'`, 'b.ts': `\nimport './a.js'` }, ['a.ts:1: a.ts → b.ts → a.ts']],
  [
    'types alone',
    { 'a.ts': `import type { B } from './b.js'`, 'b.ts': `export type B = import('./a.js').A` },
    ['a.ts:1: a.ts → b.ts → a.ts'],
  ],
  ['a file and itself', { 'a.ts': `\ntype A = typeof import('./a.js')` }, ['a.ts:2: a.ts → a.ts']],
  [
    'several folders',
    {
      'a/x.ts': `export * from '../b/y.js'`,
      'b/y.ts': `import '../c/z.mjs'`,
      'c/z.mts': `import '../a/x.js'`,
    },
    ['a/x.ts:1: a/x.ts → b/y.ts → c/z.mts → a/x.ts'],
  ],
  [
    'the shortest of a group, once',
    { 'a.ts': `import './b.js'`, 'b.ts': `import './c.js'`, 'c.ts': `import './a.js'\nimport './b.js'` },
    ['b.ts:1: b.ts → c.ts → b.ts'],
  ],
  [
    'each group',
    {
      'a.ts': `import './b.js'; import './c.js'`,
      'b.ts': `import './a.js'`,
      'c.ts': `import './d.js'`,
      'd.ts': `import './c.js'`,
    },
    ['a.ts:1: a.ts → b.ts → a.ts', 'c.ts:1: c.ts → d.ts → c.ts'],
  ],
  [
    'no files that only share one',
    {
      'a.ts': `import './b.js'; import './c.js'`,
      'b.ts': `import './d.js'`,
      'c.ts': `import './d.js'`,
      'd.ts': `import './gone.js'`,
    },
    [],
  ],
]
for (const [what, files, expected] of circles) {
  test(`reports as a circle: ${what}`, (t) => {
    const found = checkImports(makeTree(t, files))
    assert.deepEqual(
      found.map(({ file, line, message }) => `${file}:${line}: ${message}`),
      expected.map((circle) => circle.replace(/^(\S+) /, '$1 circle of imports: ')),
    )
  })
}
