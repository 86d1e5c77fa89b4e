import assert from 'node:assert/strict'
import path from 'node:path'
import test from 'node:test'
import { ESLint } from 'eslint'
import { repositoryRoot } from '../lib/cli.mjs'

const eslint = new ESLint({ cwd: repositoryRoot })

/** The rules that `code` violates when it stands in the given file of the repository. */
async function violations(code, file = 'packages/percpu/src/errors.ts') {
  const [result] = await eslint.lintText(`${code}\n`, { filePath: path.join(repositoryRoot, file) })
  return result.messages.map(({ ruleId, message }) => ruleId ?? message)
}

const memory = `import type { Memory } from '#mem'\nexport declare const memory: Memory\n`

const forbidden = [
  ['Atomics', 'export const x = (a: Int32Array): number => Atomics.load(a, 0)', ['no-restricted-globals']],
  [
    'Atomics of globalThis',
    'export const x = (a: Int32Array): number => globalThis.Atomics.load(a, 0)',
    ['no-restricted-properties'],
  ],
  ['a new SharedArrayBuffer', 'export const x = new SharedArrayBuffer(8)', ['no-restricted-syntax']],
  [
    'a typed array on a shared buffer',
    'export const x = (b: SharedArrayBuffer): object => new Int32Array(b)',
    ['percpu/no-shared-views'],
  ],
  [
    'bytes of a shared buffer',
    'export const x = (b: SharedArrayBuffer): object => new Uint8Array(b, 0, 8)',
    ['percpu/no-shared-views'],
  ],
  [
    'a DataView on any kind of buffer',
    'export const x = (b: ArrayBufferLike): object => new DataView(b)',
    ['percpu/no-shared-views'],
  ],
  ['the buffer of a Memory', `${memory}export const x: unknown = memory.buffer`, ['percpu/no-shared-views']],
  [
    'the buffer of a Memory, destructured',
    `${memory}export const { buffer } = memory`,
    ['percpu/no-shared-views'],
  ],
  [
    'console',
    'console.log(1)',
    ['no-console', '@typescript-eslint/no-unsafe-call', '@typescript-eslint/no-unsafe-member-access'],
  ],
  ['an empty catch', 'try {\n  JSON.parse("")\n} catch {\n  // nothing\n}', ['no-restricted-syntax']],
  ['any', 'export let x: any', ['@typescript-eslint/no-explicit-any']],
  ['a floating promise', 'Promise.resolve(1)', ['@typescript-eslint/no-floating-promises']],
]
for (const [what, code, rules] of forbidden) {
  test(`the library may not contain ${what}`, async () => {
    const found = await violations(code)
    for (const rule of new Set(found)) assert.ok(rules.includes(rule), `unexpected ${rule}`)
    assert.ok(found.includes(rules[0]), `expected ${rules[0]}, found ${found.join() || 'nothing'}`)
  })
}

const allowed = [
  [
    'private views',
    'export const x = [new Float64Array(16), new Uint8Array([1, 2]), new DataView(new ArrayBuffer(8))]',
  ],
  [
    'the type of a shared buffer',
    'export const x = (b: unknown): b is SharedArrayBuffer => b instanceof SharedArrayBuffer',
  ],
  [
    'another buffer property',
    'export const x = (handle: { buffer: SharedArrayBuffer }): object => handle.buffer',
  ],
]
for (const [what, code] of allowed) {
  test(`the library may contain ${what}`, async () => {
    assert.deepEqual(await violations(code), [])
  })
}

test('the mem layer may use Atomics and shared views', async () => {
  const code = 'export const x = Atomics.load(new Int32Array(new SharedArrayBuffer(8)), 0)'
  assert.deepEqual(await violations(code, 'packages/percpu/src/mem/mem.ts'), [])
})

const words = (width) => 'word '.repeat(40).slice(0, width).trimEnd().padEnd(width, 'x')
const widths = [
  ['a line comment of 100 columns', `// ${words(97)}`, true],
  ['a line comment of 101 columns', `// ${words(98)}`, false],
  ['a line of a block comment of 101 columns', `/**\n * ${words(98)}\n */`, false],
  ['a comment beside code that goes to column 101', `export const x = 1 // ${words(79)}`, false],
  ['wide code with a short comment above', `// why\nexport const x = '${'x'.repeat(120)}'`, true],
  ['a line that cannot be broken', `// https://example.org/${'x'.repeat(120)}`, true],
  ['a wide directive', `// prettier-ignore ${words(100)}`, true],
  ['columns, not code units', `// ${'𝟎 '.repeat(48).trimEnd()}`, true],
]
for (const [what, code, isAllowed] of widths) {
  test(`the tools may${isAllowed ? '' : ' not'} contain ${what}`, async () => {
    const found = await violations(code, 'tools/run-tests.mjs')
    assert.deepEqual(found, isAllowed ? [] : ['prose/comment-width'])
  })
}
