/** Runs the suites of one layer in a process of its own and sends the result to the parent. Started by main.ts. */
import { runSuite, type SuiteResult } from './harness/run.js'
import { fullEffort, quickEffort, type Suite } from './harness/suite.js'

const [layer, mode] = process.argv.slice(2)
if (layer === undefined || process.send === undefined) throw new Error('started by bench/src/main.ts only')

const { suites } = (await import(`./${layer}.js`)) as { suites: readonly Suite[] }
const results: SuiteResult[] = []
for (const suite of suites) results.push(await runSuite(suite, mode === 'quick' ? quickEffort : fullEffort))
process.send(results)
process.disconnect()
