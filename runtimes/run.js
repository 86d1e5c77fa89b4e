// Runs the README's program and the suite of every layer in each runtime, from the packed package.
//
//     npm run runtimes              all rows; writes the table of docs/runtimes.md
//     npm run runtimes deno vite    those whose names have one of these words
//
// A runtime that is not there is a failure: `npm ci --prefix runtimes`, and Debian's chromium.

import { rmSync } from 'node:fs'
import { makeProject } from './lib/project.js'
import { failed, line, writeTable } from './lib/report.js'
import { rows } from './lib/rows.js'
import { closeServers } from './lib/serve.js'

/** Rows at a time: each has three threads or more. */
const LANES = 2

const words = process.argv.slice(2)
const chosen = rows.filter(({ name }) => isChosen(name))
function isChosen(name) {
  return words.length === 0 || words.some((word) => name.toLowerCase().includes(word.toLowerCase()))
}

const project = makeProject()
try {
  const waiting = [...chosen]
  const outcomes = new Map()
  const lane = async () => {
    for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
      const outcome = await row.run(project)
      outcomes.set(row, outcome)
      console.log(line(row, outcome))
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  if (chosen.length === 0) console.error(`no row is called ${words.join(' or ')}`)
  if (chosen.length === 0 || chosen.some((row) => failed(outcomes.get(row)))) process.exitCode = 1
  else if (chosen.length === rows.length) writeTable(rows.map((row) => [row, outcomes.get(row)]))
} finally {
  closeServers()
  rmSync(project, { recursive: true, force: true })
}
