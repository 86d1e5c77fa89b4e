// Runs the compiled tests of every package and the tests of the tools. `npm test` builds first,
// then calls this.
//
//     node tools/run-tests.mjs [filter ...]     only files whose path contains one of the filters
//
// The slowest begin first (slow-tests.json): no long one runs alone at the end.
//
// A compiled test whose source was deleted does not run; a source that was never compiled is an
// error, as is a run that found no test at all.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMain, listFiles, repositoryRoot } from './lib/cli.mjs'
import { rememberOutcome } from './lib/passed-tests.mjs'

/**
 * Finds the test files below `root`, as paths relative to it. `missing` lists the sources with no
 * compiled file, `stale` the compiled files with no source.
 */
export function findTests(root, filters = []) {
  const selected = (name) => filters.length === 0 || filters.some((filter) => name.includes(filter))
  const sources = listFiles(
    path.join(root, 'packages'),
    ['.test.ts'],
    ['node_modules', 'dist', 'dist-test'],
  ).filter((name) => /^[^/]+\/test\//.test(name))
  const compiled = new Set(
    listFiles(path.join(root, 'packages'), ['.test.js'], ['node_modules', 'dist']).filter((name) =>
      /^[^/]+\/dist-test\//.test(name),
    ),
  )
  const files = []
  const missing = []
  for (const source of sources) {
    const output = compiledTest(source)
    const wanted = selected(`packages/${source}`) || selected(`packages/${output}`)
    if (!compiled.delete(output)) missing.push(`packages/${source}`)
    else if (wanted) files.push(`packages/${output}`)
  }
  const toolTests = listFiles(path.join(root, 'tools/test'), ['.test.mjs']).map(
    (name) => `tools/test/${name}`,
  )
  files.push(...toolTests.filter(selected))
  return { files, missing, stale: [...compiled].map((name) => `packages/${name}`) }
}

/**
 * The compiled file of a test's source: `percpu/test/mem/a.test.ts` gives
 * `percpu/dist-test/mem/a.test.js`.
 */
export function compiledTest(source) {
  return source.replace('/test/', '/dist-test/').replace(/\.ts$/, '.js')
}

/**
 * The sources of the tests that take longest, the longest first. One that began last would run
 * alone at the end.
 */
export const slowTests = JSON.parse(readFileSync(new URL('slow-tests.json', import.meta.url), 'utf8'))

/** The files with the slow ones first. */
export function longestFirst(files) {
  const slow = slowTests.map(compiledTest)
  const rank = (file) => (slow.includes(file) ? slow.indexOf(file) : slow.length)
  return files.toSorted((one, other) => rank(one) - rank(other))
}

/** Files at a time. One more than there are processors: many tests wait for threads and timers. */
const concurrency = availableParallelism() + 1
/** Milliseconds after which a test file that has not ended is killed and has failed. */
const fileTimeout = 10 * 60_000

const runner = fileURLToPath(new URL('lib/run-in-order.mjs', import.meta.url))

/** Runs the files with Node's test runner, in their order; resolves with its exit code. */
export function runFiles(root, files, stdio = 'inherit', filesAtATime = concurrency) {
  const args = [runner, String(filesAtATime), String(fileTimeout), ...files]
  const child = spawn(process.execPath, args, { cwd: root, stdio })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

async function main() {
  const filters = process.argv.slice(2)
  const { files, missing, stale } = findTests(repositoryRoot, filters)
  for (const file of stale) console.warn(`skipped ${file}: its source is gone`)
  for (const file of missing) console.error(`${file} is not compiled: run npm run build`)
  if (files.length === 0)
    console.error(`no test file found${filters.length > 0 ? ` for ${filters.join(' ')}` : ''}`)
  if (missing.length > 0 || files.length === 0) process.exitCode = 1
  else process.exitCode = await runFiles(repositoryRoot, longestFirst(files))
  if (filters.length === 0) rememberOutcome(repositoryRoot, (process.exitCode ?? 0) === 0)
}

if (isMain(import.meta.url)) await main()
