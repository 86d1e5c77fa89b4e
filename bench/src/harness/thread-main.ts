/** A thread of {@link Threads}. */
import { parentPort, workerData } from 'node:worker_threads'
import { calibrate, timeLoop } from './per-operation.js'
import type { MakeLoop, Round, ThreadData } from './threads.js'

const { module, exportName, data, thread, gate } = workerData as ThreadData
const makers = (await import(module)) as Record<string, MakeLoop<unknown>>
const makeLoop = makers[exportName]
if (makeLoop === undefined) throw new Error(`${module} exports no ${exportName}`)
const loop = await makeLoop(data, thread)
const words = new Int32Array(gate)
let count = 0

parentPort?.on('message', ({ effort, threads }: Round) => {
  if (count === 0) count = calibrate(loop, effort)
  startTogether(threads)
  parentPort?.postMessage(timeLoop(loop, count) / count)
})
parentPort?.postMessage('ready')

/** Returns when all threads are here. Word 0 counts arrivals over all rounds. */
function startTogether(threads: number): void {
  const arrived = Atomics.add(words, 0, 1) + 1
  const everybody = Math.ceil(arrived / threads) * threads
  while (Atomics.load(words, 0) < everybody);
}
