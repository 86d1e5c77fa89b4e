// The suite on the web workers of Bun and Deno.

import { runWebSuite } from './web.js'

const make = () => new Worker(new URL('./web-worker.js', import.meta.url), { type: 'module' })
const tell = (outcome) => console.error(`  ${outcome.name}: ${outcome.outcome} (${outcome.ms} ms)`)
console.log(
  JSON.stringify(await runWebSuite({ make, blocks: true, busyEnds: globalThis.Deno === undefined }, tell)),
)
process.exit()
