/**
 * What it costs a worker to start with the library: to import it, to join, and to look up for the
 * first time.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import type { Effort, Measure, Row, Suite } from './harness/suite.js'

const machine = boot({ cpus: 2 })
machine.map('settings', { key: 'string', value: 'u32' }).set('limit', 60)

/** What a worker does before it ends: start-worker.ts. */
export type StartWork = 'nothing' | 'percpu' | 'lookup' | 'lmdb' | 'piscina'

/** Starts a worker; resolves when it has said that it is done, and has ended. */
async function start(work: StartWork): Promise<{ readonly wall: number; readonly cpu: number }> {
  const before = process.cpuUsage()
  const began = performance.now()
  const workerData = { work, handle: machine.handle }
  const worker = new Worker(new URL('./start-worker.js', import.meta.url), { workerData })
  const ended = once(worker, 'exit')
  await once(worker, 'message')
  const wall = performance.now() - began
  await ended
  const { user, system } = process.cpuUsage(before)
  return { wall, cpu: (user + system) / 1000 }
}

/** The least of some starts: everything else on the machine only adds. */
function least(what: 'wall' | 'cpu', work: StartWork): Measure {
  return async ({ roundTime }: Effort) => {
    let best = Infinity
    for (let i = 0; i < Math.max(1, roundTime / 4); i++) best = Math.min(best, (await start(work))[what])
    return best
  }
}

const rows: readonly (Omit<Row, 'measure'> & { readonly work: StartWork })[] = [
  { name: 'join, and look up in a map', role: 'ours', work: 'lookup' },
  { name: 'import percpu', role: 'ours', work: 'percpu' },
  { name: 'import lmdb', role: 'peer', work: 'lmdb' },
  { name: 'import piscina', role: 'peer', work: 'piscina' },
  { name: 'an empty worker', role: 'floor', work: 'nothing' },
]
/** Milliseconds that the whole may take beyond an empty worker. */
const GOAL = 5

function suiteOf(title: string, note: string, what: 'wall' | 'cpu'): Suite {
  return {
    ...{ title, note, unit: 'ms' },
    rows: rows.map(({ work, ...row }, i) => ({
      ...row,
      ...(i === 0 && what === 'cpu'
        ? { goal: { against: 'an empty worker', atMostMore: GOAL } }
        : row.role !== 'floor' && { compareWith: 'an empty worker' }),
      measure: least(what, work),
    })),
  }
}

export const suites: readonly Suite[] = [
  suiteOf(
    'a worker that starts: time',
    'From `new Worker` to the message that it is done. Nothing is cached from one to the next.',
    'wall',
  ),
  suiteOf('a worker that starts: processor time', 'From `new Worker` to its end, of all threads.', 'cpu'),
]
