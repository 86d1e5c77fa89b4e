// The suite in a page. Bundlers find the worker by this very expression.

import { runWebSuite } from '../suite/web.js'

const make = () => new Worker(new URL('../suite/web-worker.js', import.meta.url), { type: 'module' })
const threads = { make, blocks: false, tellsOfClose: true, busyEnds: true }
runWebSuite(threads, (outcome) => console.log(JSON.stringify(outcome))).then(
  (outcome) => (globalThis.outcome = outcome),
  (error) => (globalThis.outcome = { outcomes: [{ name: 'the suite', outcome: String(error.stack) }] }),
)
