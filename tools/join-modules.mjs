// Writes packages/percpu/dist from what tsc compiled to packages/percpu/built
// (lib/joined-modules.mjs). `npm run build` calls it after tsc.
//
//     node tools/join-modules.mjs             does nothing if nothing has changed
//     node tools/join-modules.mjs --clean     removes both folders
//
// Declarations in dist are tsc's. What is left of deleted sources is removed.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { isMain, listFiles, repositoryRoot } from './lib/cli.mjs'
import { joinModules, library } from './lib/joined-modules.mjs'

/**
 * Brings the joined files of the library below `root` up to date. Resolves with whether something
 * had changed.
 */
export async function join(root) {
  const built = path.join(root, library, 'built')
  const dist = path.join(root, library, 'dist')
  const record = path.join(built, '.joined')
  // Before anything is read: what another build compiles meanwhile is joined next time.
  const sources = digestOfSources(root)
  if (existsSync(record) && readFileSync(record, 'utf8') === sources + digestOf(dist)) return false
  const files = await joinModules(root)
  for (const [name, text] of files) {
    mkdirSync(path.dirname(path.join(dist, name)), { recursive: true })
    writeFileSync(path.join(dist, name), text)
  }
  for (const name of listFiles(dist, ['.js', '.js.map'])) if (!files.has(name)) rmSync(path.join(dist, name))
  writeFileSync(record, sources + digestOf(dist))
  return true
}

/** A digest of all that is compiled, of which sources there are, and of what joins. */
function digestOfSources(root) {
  const list = listFiles(path.join(root, library, 'src'), ['.ts']).join()
  const tools = ['tools/lib/joined-modules.mjs', 'package-lock.json'].map((file) =>
    readFileSync(path.join(repositoryRoot, file)),
  )
  return digestOf(path.join(root, library, 'built'), [list, ...tools])
}
/** A digest of the modules in a folder, and of what else is given. */
function digestOf(folder, others = []) {
  const hash = createHash('sha256')
  for (const other of others) hash.update(other)
  for (const name of listFiles(folder, ['.js', '.js.map']))
    hash.update(name).update(readFileSync(path.join(folder, name)))
  return hash.digest('hex')
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({ options: { clean: { type: 'boolean', default: false } } })
  if (values.clean) {
    for (const folder of ['built', 'dist'])
      rmSync(path.join(repositoryRoot, library, folder), { recursive: true, force: true })
  } else await join(repositoryRoot)
}
