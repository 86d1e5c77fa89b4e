// Runs before `npm pack` and `npm publish`, in the folder of a package that is built. It writes
// what the package has of the repository (lib/package-texts.mjs), and percpu's declarations as one
// file (lib/rolled-types.mjs). git ignores what it writes.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { isMain, repositoryRoot } from './lib/cli.mjs'
import { packageTexts } from './lib/package-texts.mjs'
import { rollTypes } from './lib/rolled-types.mjs'

/** Makes the package in `folder`, below `root`, ready to be packed. */
export async function prepack(root, folder) {
  const { name } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))
  // What was written before and has gone from the repository.
  for (const own of ['docs', 'examples']) rmSync(path.join(folder, own), { recursive: true, force: true })
  for (const [place, text] of packageTexts(root, name)) {
    mkdirSync(path.dirname(path.join(folder, place)), { recursive: true })
    writeFileSync(path.join(folder, place), text)
  }
  if (name === 'percpu') writeFileSync(path.join(folder, 'dist/percpu.d.ts'), await rollTypes(folder))
}

if (isMain(import.meta.url)) await prepack(repositoryRoot, process.cwd())
