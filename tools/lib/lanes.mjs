// Works through jobs side by side, each lane in a private copy of the workspace.

import { copyWorkspace } from './workspace-copy.mjs'

/** Calls `work(copy, job)` for each of `jobs`, `lanes` at a time. */
export async function inLanes(root, lanes, jobs, work) {
  const waiting = [...jobs]
  const lane = async () => {
    const copy = copyWorkspace(root)
    try {
      for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await work(copy, job)
    } finally {
      copy.remove()
    }
  }
  await Promise.all(Array.from({ length: Math.min(lanes, jobs.length) }, lane))
}
