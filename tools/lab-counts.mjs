// Stores the counts of explorations anew: runs the compiled tests that have counts and has them
// write instead of compare. With filters, the tests whose path contains one of them: also those
// that have no counts yet. Counts of test files that are gone are removed. `npm run lab:counts`
// builds first.
//
//     node tools/lab-counts.mjs [filter ...]

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { isMain, listFiles, repositoryRoot } from './lib/cli.mjs'
import { compiledTest, findTests, runFiles } from './run-tests.mjs'

/**
 * The stored counts below `root`: the JSON file, a test file's name in it, and the path of that
 * test's source.
 */
export function storedCounts(root) {
  return listFiles(path.join(root, 'packages'), ['counts.json'], ['node_modules', 'dist', 'dist-test'])
    .filter((file) => /^[^/]+\/test\/counts\.json$/.test(file))
    .flatMap((file) => {
      const counts = `packages/${file}`
      const names = Object.keys(JSON.parse(readFileSync(path.join(root, counts), 'utf8')))
      return names.map((name) => ({ counts, name, test: `${path.dirname(counts)}/${name}.test.ts` }))
    })
}

async function main() {
  const filters = process.argv.slice(2)
  const stored = storedCounts(repositoryRoot)
  const isThere = ({ test }) => existsSync(path.join(repositoryRoot, test))
  const { StoredCounts } = await import('../packages/lab/dist/testing/stored-counts.js')
  for (const { counts, name } of stored.filter((entry) => !isThere(entry)))
    new StoredCounts(pathToFileURL(path.join(repositoryRoot, counts)), name).write(true)
  const files =
    filters.length > 0
      ? findTests(repositoryRoot, filters).files
      : stored.filter(isThere).map(({ test }) => compiledTest(test))
  process.env.PERCPU_LAB_UPDATE_COUNTS = '1'
  process.exitCode = await runFiles(repositoryRoot, files)
}

if (isMain(import.meta.url)) await main()
