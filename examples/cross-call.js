// Doorbells: run a function on every thread, and wait until all of them have.
//
//     node examples/cross-call.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { boot, join } from 'percpu'

if (isMainThread) {
  const machine = boot({ cpus: 4 })
  const workers = Array.from(
    { length: 3 },
    () => new Worker(new URL(import.meta.url), { workerData: machine.handle }),
  )
  for (const worker of workers) machine.supervise(worker)
  await Promise.all(workers.map((worker) => once(worker, 'message')))

  const outcome = await machine.cpus.call(machine.online, 'drop-cache', { argument: 42 })
  // This thread is CPU 0 and has registered nothing; the workers have.
  console.log('ran on', outcome.ran, 'failed on', outcome.failed)
  await Promise.all(workers.map((worker) => worker.terminate()))
} else {
  const machine = join(workerData)
  const cache = new Map([['answer', 42]])
  machine.cpus.registerFunction('drop-cache', (generation) => {
    cache.clear()
    console.log(`CPU ${machine.cpu} dropped its cache, generation ${generation}`)
  })
  parentPort?.on('message', () => undefined) // stay alive
  parentPort?.postMessage('ready')
}
