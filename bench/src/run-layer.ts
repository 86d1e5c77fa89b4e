/**
 * Runs the suites of one layer, or one of them, and sends the results to the parent; without an
 * effort, their titles. Started by layer-process.ts.
 */
import { runSuite, type SuiteResult } from './harness/run.js'
import { efforts, type EffortName, type Suite } from './harness/suite.js'

const [layer, effort, title] = process.argv.slice(2)
if (layer === undefined || process.send === undefined)
  throw new Error('started by bench/src/layer-process.ts only')

const { suites } = (await import(`./${layer}.js`)) as { suites: readonly Suite[] }
let answer: unknown
if (effort === undefined) answer = suites.map((suite) => suite.title)
else {
  const results: SuiteResult[] = []
  for (const suite of suites) {
    if (title === undefined || suite.title === title)
      results.push(await runSuite(suite, efforts[effort as EffortName]))
  }
  answer = results
}
// Machines of the suites may have grace periods under way, which keep a process alive.
process.send(answer, () => process.exit())
