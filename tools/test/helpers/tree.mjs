import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/**
 * Writes files, given by relative path, to a temporary directory that is removed after the test.
 * Gives its path.
 */
export function makeTree(test, files) {
  const root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'percpu-tools-')))
  test.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  return root
}
