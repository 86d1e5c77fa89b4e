// Runs npm scripts side by side, as many at a time as there are processors, and prints the output
// of each when it has ended, in their order.
//
//     node tools/side-by-side.mjs <script ...>

import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { isMain, repositoryRoot } from './lib/cli.mjs'

/** Runs one script. Resolves with its `name`, its exit `code` and its `output`. */
function runScript(root, name) {
  const child = spawn('npm', ['run', name], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ name, code: code ?? 1, output }))
  })
}

/**
 * Runs all scripts of the package at `root`. `onEnd` is called with the outcome of each, in their
 * order. Gives the names of those that failed.
 */
export async function runSideBySide(root, names, { onEnd, lanes = availableParallelism() }) {
  const waiting = [...names.entries()]
  const outcomes = new Map()
  let told = 0
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [at, name] = next
      outcomes.set(at, await runScript(root, name))
      for (; outcomes.has(told); told++) onEnd(outcomes.get(told))
    }
  }
  await Promise.all(Array.from({ length: Math.min(lanes, names.length) }, lane))
  return [...outcomes.values()].filter(({ code }) => code !== 0).map(({ name }) => name)
}

if (isMain(import.meta.url)) {
  const failed = await runSideBySide(repositoryRoot, process.argv.slice(2), {
    onEnd: ({ output }) => process.stdout.write(output),
  })
  if (failed.length > 0) {
    console.error(`failed: ${failed.join(', ')}`)
    process.exitCode = 1
  }
}
