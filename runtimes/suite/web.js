// The suite on web workers: pages, Bun and Deno. `make` makes a worker that runs web-worker.js.

import { runSuite } from './suite.js'

export function runWebSuite({ make, blocks, tellsOfClose, busyEnds }, tell) {
  const threads = {
    blocks,
    tellsOfClose,
    busyEnds,
    make(invitation) {
      const worker = make()
      worker.postMessage(invitation, invitation.ports)
      return worker
    },
    listen(worker, on) {
      const listener = ({ data }) => on(data)
      worker.addEventListener('message', listener)
      return () => worker.removeEventListener('message', listener)
    },
  }
  return runSuite(threads, tell)
}
