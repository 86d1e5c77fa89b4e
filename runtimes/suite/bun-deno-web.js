// The suite on the web workers of Bun and Deno.

import { runWebSuite } from './web.js'

const make = () => new Worker(new URL('./web-worker.js', import.meta.url), { type: 'module' })
const isDeno = globalThis.Deno !== undefined
const threads = { make, blocks: true, tellsOfClose: isDeno, busyEnds: !isDeno }
const tell = (outcome) => console.error(`  ${outcome.name}: ${outcome.outcome} (${outcome.ms} ms)`)
console.log(JSON.stringify(await runWebSuite(threads, tell)))
process.exit()
