// A queue of jobs and a queue of results. Workers take jobs as they come; one of them is terminated
// in the middle, and the others go on.
//
//     node examples/ring-work-queue.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { boot, join } from 'percpu'

const JOBS = 3000
const jobsOf = /** @type {const} */ ({ value: 'u32', bytes: '1 KiB' })
const resultsOf = /** @type {const} */ ({ value: 'json', bytes: '4 KiB' })

if (isMainThread) {
  const machine = boot({ cpus: 4 })
  const jobs = machine.ring('jobs', jobsOf)
  const results = machine.ring('results', resultsOf)
  const workers = [1, 2, 3].map(() => new Worker(new URL(import.meta.url), { workerData: machine.handle }))
  const reaped = workers.map((worker) => machine.supervise(worker).reaped)
  await Promise.all(workers.map((worker) => once(worker, 'message')))

  const all = (async () => {
    let count = 0
    let isRight = true
    for await (const result of results) {
      const { job, square } = /** @type {{ job: number, square: number }} */ (result)
      isRight &&= square === job ** 2
      // Halfway a worker is lost, with at most the job that it was at.
      if (++count === JOBS / 2) void workers[0]?.terminate()
    }
    return { count, isRight }
  })()
  for (let job = 0; job < JOBS; job++) await jobs.sendAsync(job)
  jobs.close()
  // Each worker ends when the jobs do.
  await Promise.all(reaped)
  results.close()

  const { count, isRight } = await all
  console.log('jobs lost:', JOBS - count <= 1 ? 'one at most' : JOBS - count)
  console.log('all results are right:', isRight)
  console.log('left:', jobs.length, results.length, jobs.isEnded, results.isEnded)
  jobs.verify()
  await machine.offline()
} else {
  const machine = join(workerData)
  const jobs = machine.ring('jobs', jobsOf)
  const results = machine.ring('results', resultsOf)
  parentPort?.postMessage('ready')
  for await (const job of jobs) await results.sendAsync({ job, square: job ** 2 })
  await machine.offline()
}
