// Remembers that all tests have passed, and with which files. So `npm run mutants` after `npm test`
// need not run them without a mutant again.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { listFiles } from './cli.mjs'

function recordOf(root) {
  return path.join(root, 'node_modules/.cache/percpu-tests-passed')
}

/** A digest of what the packages are built to, and of their tests with the stored counts. */
function digestOf(root) {
  const hash = createHash('sha256')
  for (const file of listFiles(path.join(root, 'packages'), ['.js', '.json'])) {
    const content = readFileSync(path.join(root, 'packages', file))
    hash.update(`${file} ${content.length}\n`).update(content)
  }
  return hash.digest('hex')
}

/** Remembers whether all tests passed with the files that are there. */
export function rememberOutcome(root, passed) {
  const record = recordOf(root)
  rmSync(record, { force: true })
  if (!passed) return
  mkdirSync(path.dirname(record), { recursive: true })
  writeFileSync(record, digestOf(root))
}

/** Whether all tests have passed with the very files that are there. */
export function havePassed(root) {
  try {
    return readFileSync(recordOf(root), 'utf8') === digestOf(root)
  } catch (error) {
    if (error.code === 'ENOENT') return false
    throw error
  }
}
