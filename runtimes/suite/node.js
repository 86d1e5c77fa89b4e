// The suite on node:worker_threads: Node, Bun and Deno.

import { Worker } from 'node:worker_threads'
import { runSuite } from './suite.js'

const threads = {
  blocks: true,
  tellsOfClose: globalThis.Deno === undefined,
  busyEnds: true,
  make: (invitation) =>
    new Worker(new URL('./node-worker.js', import.meta.url), {
      workerData: invitation,
      transferList: invitation.ports,
    }),
  listen(worker, on) {
    worker.on('message', on)
    return () => worker.off('message', on)
  },
}

const tell = (outcome) => console.error(`  ${outcome.name}: ${outcome.outcome} (${outcome.ms} ms)`)
console.log(JSON.stringify(await runSuite(threads, tell)))
process.exit()
