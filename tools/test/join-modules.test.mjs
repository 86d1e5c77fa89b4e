import assert from 'node:assert/strict'
import fs, { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import path from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { join } from '../join-modules.mjs'
import { loadedFrom } from '../lib/joined-modules.mjs'
import { makeTree } from './helpers/tree.mjs'

/** The compiled modules of a library. */
const modules = {
  'mem/mem': `import { zero } from './words.js'\nexport const load = () => zero\n`,
  'mem/words': `export const zero = 0\n`,
  'sync/lock': `import * as mem from '#mem'\nimport { Guard } from './guard.js'\n
export class Lock { guard = new Guard(); state = mem.load() }\nconst name = 'lock'\nexport { name as kind }\n`,
  'sync/guard': `/** A guard. */\nexport class Guard {}\nconst name = 'guard'\nexport let made = name\nexport function make() { made += '!' }\n`,
  'sync/types': `export {}\n`,
  index: `export { Lock } from './sync/lock.js'\n`,
}

function makeLibrary(t, more = {}) {
  const packageJson = { type: 'module', imports: { '#mem': './dist/mem/mem.js' } }
  const files = { 'packages/percpu/package.json': JSON.stringify(packageJson) }
  for (const [name, text] of Object.entries({ ...modules, ...more })) {
    files[`packages/percpu/src/${name}.ts`] = ''
    files[`packages/percpu/built/${name}.js`] = text
  }
  return makeTree(t, files)
}
const at = (root, name) => path.join(root, 'packages/percpu', name)
const load = (root, name) => import(pathToFileURL(at(root, `dist/${name}.js`)).href)

test('a module exports what it did, from the file that has all of them', async (t) => {
  const root = makeLibrary(t)
  assert.equal(await join(root), true)
  const [index, lock, guard, types] = await Promise.all(
    ['index', 'sync/lock', 'sync/guard', 'sync/types'].map((name) => load(root, name)),
  )
  assert.deepEqual(Object.keys(index), ['Lock'])
  assert.deepEqual([index.Lock, Object.keys(lock)], [lock.Lock, ['Lock', 'kind']])
  assert.deepEqual([lock.kind, new lock.Lock().state, Object.keys(types)], ['lock', 0, []])
  assert.ok(new lock.Lock().guard instanceof guard.Guard)
  assert.equal(guard.Guard.name, 'Guard')
  guard.make()
  assert.equal(guard.made, 'guard!')
})

test('what all errors extend is a file of its own, and the classes are the same', async (t) => {
  const root = makeLibrary(t, {
    errors: `export class PercpuError extends Error {}\n`,
    'sync/errors': `import { PercpuError } from '../errors.js'\nexport class LockError extends PercpuError {}\n`,
    index: `export * from './errors.js'\nexport * from './sync/errors.js'\n`,
  })
  await join(root)
  const [{ PercpuError, LockError }, errors] = await Promise.all([load(root, 'index'), load(root, 'errors')])
  assert.equal(PercpuError, errors.PercpuError)
  assert.ok(new LockError() instanceof errors.PercpuError)
  assert.doesNotMatch(readFileSync(at(root, 'dist/errors.js'), 'utf8'), /import|percpu\.js/)
  assert.doesNotMatch(readFileSync(at(root, 'dist/percpu.js'), 'utf8'), /class extends Error/)
})

test('what lies behind #mem can be another', async (t) => {
  const root = makeLibrary(t)
  await join(root)
  writeFileSync(at(root, 'dist/mem/mem.js'), `export const load = () => 7\n`)
  const { Lock } = await load(root, 'index')
  assert.equal(new Lock().state, 7)
})

test('what has not changed is not joined again, and what is left of a deleted source goes', async (t) => {
  const root = makeLibrary(t)
  await join(root)
  assert.equal(await join(root), false)
  writeFileSync(at(root, 'dist/sync/guard.js'), '')
  assert.equal(await join(root), true)
  assert.notEqual(readFileSync(at(root, 'dist/sync/guard.js'), 'utf8'), '')
  writeFileSync(at(root, 'dist/sync/deleted.js'), '')
  writeFileSync(at(root, 'dist/sync/deleted.js.map'), '{}')
  writeFileSync(at(root, 'dist/sync/lock.d.ts'), '')
  assert.equal(await join(root), true)
  assert.deepEqual(
    ['deleted.js', 'deleted.js.map', 'lock.d.ts', 'lock.js'].map((name) =>
      existsSync(at(root, `dist/sync/${name}`)),
    ),
    [false, false, true, true],
  )
  rmSync(at(root, 'src/sync/types.ts'))
  assert.equal(await join(root), true)
  assert.ok(!existsSync(at(root, 'dist/sync/types.js')))
})

test('what another build compiles meanwhile is joined the next time', async (t) => {
  const root = makeLibrary(t)
  const joining = join(root)
  const late = modules['sync/guard'].replace("'guard'", "'late'")
  // As soon as it has been read, and before anything is written.
  const file = at(root, 'built/sync/guard.js')
  const { readFileSync: read } = fs
  t.mock.method(fs, 'readFileSync', (name, ...rest) => {
    const text = read(name, ...rest)
    if (name === file) writeFileSync(file, late)
    return text
  })
  syncBuiltinESMExports()
  await joining
  t.mock.restoreAll()
  syncBuiltinESMExports()
  assert.equal(await join(root), true)
  assert.equal((await load(root, 'sync/guard')).made, 'late')
})

test('tells which file has the code of a source', (t) => {
  const root = makeLibrary(t)
  const fileOf = (source) => loadedFrom(root, `packages/${source}.ts`).replace('packages/', '')
  assert.equal(fileOf('percpu/src/sync/lock'), 'percpu/dist/percpu.js')
  assert.equal(fileOf('percpu/src/mem/words'), 'percpu/dist/mem/mem.js')
  assert.equal(fileOf('lab/src/engine/hook'), 'lab/dist/engine/hook.js')
})
