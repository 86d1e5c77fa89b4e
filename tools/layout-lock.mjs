#!/usr/bin/env node
// @ts-check
/**
 * Keeps the layouts of shared memory from changing unnoticed: compares every struct that the built
 * modules export with layouts.lock.json (offset, size, type and kind of every field) and fails on
 * any difference, printing it.
 *
 *     node tools/layout-lock.mjs              exit status 1 if a struct changed, came or went
 *     node tools/layout-lock.mjs --update     rewrites the lock after a change that is meant
 *     node tools/layout-lock.mjs --lock FILE  another lock file
 *
 * Two threads that run different layouts would corrupt each other's objects, so a change belongs in
 * the review.
 */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { describe, diffLock, formatDiff, structsOf } from 'percpu'
import { isMain, listFiles, repositoryRoot as root } from './lib/cli.mjs'

/**
 * Modules that export structs and do nothing when they are imported. Those behind `#mem` have none.
 */
const sources = [
  { folder: 'packages/percpu', modules: /^(?!mem\/)/ },
  { folder: 'packages/console', modules: /(^|\/)layouts?\.ts$/ },
]

/** @typedef {import('percpu').AnyStruct} Struct */

/** The compiled modules. They are found by their sources: a build leaves those of deleted ones. */
export function modules(root) {
  return sources.flatMap(({ folder, modules }) =>
    listFiles(path.join(root, folder, 'src'), ['.ts'])
      .filter((name) => modules.test(name))
      .map((name) => path.join(root, folder, 'dist', name.replace(/\.ts$/, '.js'))),
  )
}

/** @returns {Promise<Struct[]>} every struct, nested ones too, in the order of their names */
async function collect() {
  /** @type {Map<string, Struct>} */
  const byName = new Map()
  for (const file of modules(root)) {
    /** @type {object} */
    const namespace = await import(pathToFileURL(file).href)
    for (const struct of structsOf(namespace, { nested: true })) {
      const other = byName.get(struct.name)
      if (other !== undefined && other !== struct) {
        throw new Error(
          `two structs are called ${struct.name}, the second in ${path.relative(root, file)}; rename one`,
        )
      }
      byName.set(struct.name, struct)
    }
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * @param {string} file
 * @returns {Promise<import('percpu').LayoutLock>}
 */
async function readLock(file) {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return {}
    throw new Error(`${file} cannot be read; make it anew with --update`, { cause: error })
  }
}

/** One line a field, so that a change of the lock reads well. */
function lockText(/** @type {Struct[]} */ structs) {
  const entries = structs.map((struct) => {
    const { name, size, align, fields } = describe(struct)
    const head = `"name": ${JSON.stringify(name)}, "size": ${size}, "align": ${align}, "fields": [`
    const rows = fields.map((field) => `    ${JSON.stringify(field)}`)
    return `  ${JSON.stringify(name)}: { ${head}\n${rows.join(',\n')}\n  ] }`
  })
  return `{\n${entries.join(',\n')}\n}\n`
}

async function main() {
  const { values } = parseArgs({ options: { update: { type: 'boolean' }, lock: { type: 'string' } } })
  const file = values.lock ?? path.join(root, 'layouts.lock.json')
  const structs = await collect()
  if (values.update) {
    await writeFile(file, lockText(structs))
    console.log(`${path.basename(file)}: ${structs.length} structs`)
  } else {
    const changes = diffLock(await readLock(file), structs)
    if (changes.length > 0) {
      console.error(`layouts differ from ${path.basename(file)}:\n${formatDiff(changes)}`)
      console.error('If that is meant: npm run build && node tools/layout-lock.mjs --update')
      process.exitCode = 1
    } else {
      console.log(`${structs.length} structs as in ${path.basename(file)}`)
    }
  }
}

if (isMain(import.meta.url)) await main()
