// One copy a CPU: threads count without touching each other's memory, and nothing is lost with one.
//
//     node examples/percpu-counters.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { boot, f64, i32, join, struct } from 'percpu'

const Hits = struct('Hits', { count: i32, bytes: f64 })

if (isMainThread) {
  const machine = boot({ cpus: 3 })
  const hits = machine.percpu(Hits, { name: 'hits' })
  const total = machine.percpu.counter('total')
  const workers = [1, 2].map(() => new Worker(new URL(import.meta.url), { workerData: machine.handle }))
  const reaped = workers.map((worker) => machine.supervise(worker).reaped)
  await Promise.all(workers.map((worker) => once(worker, 'message')))

  for (const [cpu, { count, bytes }] of hits) console.log(`CPU ${cpu}: ${count} requests, ${bytes} bytes`)
  console.log('all:', hits.sum('count'), 'requests,', hits.sum('bytes'), 'bytes')
  await Promise.all(workers.map((worker) => worker.terminate()))
  await Promise.all(reaped)
  console.log('after their death:', hits.sum('count'), 'requests, counter', total.sum())

  const queue = machine.percpu.alloc(2000) // bare memory: a pointer, the same for all threads
  console.log(
    'copies lie at',
    machine.cpus.possible.map((cpu) => machine.percpu.address(queue, cpu)).length,
    'places',
  )
  machine.percpu.free(queue)
  console.log(machine.percpu.reportText().split('\n')[0])
} else {
  const machine = join(workerData)
  const hits = machine.percpu(Hits, { name: 'hits' })
  const total = machine.percpu.counter('total')
  for (let i = 0; i < 1000; i++) {
    hits.local.count++ // plain: nobody else writes this copy
    hits.local.bytes += 512
    total.add(1)
  }
  parentPort?.postMessage('done')
  parentPort?.on('message', () => undefined) // stays until it is terminated
}
