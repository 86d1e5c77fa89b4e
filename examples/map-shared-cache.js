// One cache for all threads, of at most 5000 entries, each for a minute at most: what one thread
// has worked out, the others find. A thread that is terminated in the middle takes nothing of it
// along.
//
//     node examples/map-shared-cache.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { boot, join } from 'percpu'

const cacheOf = /** @type {const} */ ({ key: 'u32', value: 'json', capacity: 5000, ttl: 60_000 })

/**
 * Stands for something slow.
 *
 * @param {number} number
 */
const workOut = (number) => ({ number, square: number ** 2 })

if (isMainThread) {
  const machine = boot({ cpus: 3 })
  const cache = machine.map('cache', cacheOf)
  const made = machine.percpu.counter('made')
  const workers = [1, 2].map(() => new Worker(new URL(import.meta.url), { workerData: machine.handle }))
  const reaped = workers.map((worker) => machine.supervise(worker).reaped)
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  await Promise.all(workers.map((worker) => worker.terminate()))
  await Promise.all(reaped)

  console.log('entries:', cache.size)
  console.log('worked out:', made.sum(), 'for', 40_000, 'times that one was asked for')
  console.log(cache.get(12), cache.get(1000))
  cache.update(12, (old) => ({ ...Object(old), isSeen: true }))
  console.log(cache.get(12), cache.delete(13), cache.has(13))
  cache.verify({ quiet: true })
  await machine.offline()
} else {
  const machine = join(workerData)
  const cache = machine.map('cache', cacheOf)
  const made = machine.percpu.counter('made')
  for (let turn = 0; turn < 20; turn++) {
    for (let i = 0; i < 1000; i++) {
      cache.getOrInsertComputed(i, (number) => {
        made.add(1)
        return workOut(number)
      })
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  parentPort?.postMessage('done')
  parentPort?.on('message', () => undefined) // stays until it is terminated
}
