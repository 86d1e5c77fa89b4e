/**
 * Files transformed as Node loads them: those that were named, with the lines of their sources in
 * stacks.
 */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { NamedFiles, synchronousHooks } from '../../dist/foreign/hooks.js'
import { instrument } from '../../dist/foreign/register.js'
import { recorded } from './programs.js'

const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'percpu-lab-')))
after(() => rm(folder, { recursive: true }))

interface Program {
  readonly bump: (words: Int32Array) => number
  readonly fail: (words: Int32Array | undefined) => never
}

const javascript = `export function bump(words) {
  Atomics.add(words, 0, 1)
  return words[0]
}

export const fail = (words) => { words[1] = 2; throw new Error(\`no \${words[1]}\`) }
`
const typescript = `export interface Nothing {
  readonly at: number
}

export function bump(words: Int32Array): number {
  Atomics.add(words, 0, 1 as number)
  return words[0]!
}

export const fail = (words: Int32Array): never => { words[1] = 2; throw new Error(\`no \${words[1]}\`) }
`
const commonjs = `'use strict'
exports.bump = (words) => { Atomics.add(words, 0, 1); return words[0] }
exports.fail = (words) => { words[1] = 2; throw new Error(\`no \${words[1]}\`) }
`

async function load(name: string, source: string): Promise<Program> {
  const file = path.join(folder, name)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, source)
  const module = (await import(pathToFileURL(file).href)) as Program & { default?: Program }
  return module.default ?? module
}

instrument([path.join(folder, 'one.mjs'), pathToFileURL(`${folder}/all/`)])

describe('a named file', () => {
  for (const [name, source, line] of [
    ['one.mjs', javascript, 6],
    ['all/two.mjs', javascript, 6],
    ['all/three.ts', typescript, 10],
    ['all/four.cjs', commonjs, 3],
  ] as const)
    it(`is transformed: ${name}`, async () => {
      const { bump, fail } = await load(name, source)
      const words = new Int32Array(new SharedArrayBuffer(8))
      assert.deepEqual(await recorded(() => bump(words)), ['add 0 1', 'load 0'])
      assert.throws(
        () => fail(words),
        (error: Error) =>
          error.message === 'no 2' && (error.stack ?? '').includes(`${path.basename(name)}:${line}:`),
      )
    })
})

describe('the hooks of newer versions of Node, which run in the thread that imports', () => {
  const all = pathToFileURL(`${folder}/all/`).href
  const { load, resolve } = synchronousHooks(new NamedFiles({ urls: [all], onlyTypes: false }))
  const own = (format: string) => () => ({ format, source: 'as it was' })
  it('transform the named files, in the format that Node finds', async () => {
    for (const [name, source, format] of [
      ['all/five.js', javascript, 'module'],
      ['all/six.js', commonjs, 'commonjs'],
      ['all/seven.ts', typescript, 'module'],
    ] as const) {
      await writeFile(path.join(folder, name), source)
      const loaded = load(pathToFileURL(path.join(folder, name)).href, {}, own(format))
      assert.equal(loaded.format, format)
      assert.match(loaded.source as string, format === 'module' ? /import \{ lab as / : /const \{ lab: /)
    }
    assert.equal(load(pathToFileURL(`${folder}/other.js`).href, {}, own('module')).source, 'as it was')
  })
  it('find a TypeScript file by the name of the compiled one', () => {
    const from = (parent: string, specifier: string) =>
      resolve(specifier, { parentURL: parent }, (url) => ({ url })).url
    assert.equal(from(`${all}one.ts`, './seven.js'), `${all}seven.ts`)
    assert.equal(from(`${all}one.ts`, './six.js'), './six.js')
    assert.equal(from(`${all}one.mjs`, './seven.js'), './seven.js')
  })
})

describe('Bun', () => {
  it('has no hooks to transform files with', () => {
    Object.defineProperty(process.versions, 'bun', { value: '1.3.0', configurable: true })
    try {
      assert.throws(() => instrument([folder]), /module hooks of Node, which this engine does not have: run it with node/) // prettier-ignore
    } finally {
      Reflect.deleteProperty(process.versions, 'bun')
    }
  })
})

describe('any other file', () => {
  it('is left alone', async () => {
    for (const name of ['other.mjs', 'all/node_modules/x/index.mjs']) {
      const { bump } = await load(name, javascript)
      assert.deepEqual(await recorded(() => bump(new Int32Array(new SharedArrayBuffer(8)))), [], name)
    }
  })
})
