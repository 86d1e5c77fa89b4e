// A thread that sleeps in Atomics.wait neither holds up grace periods nor misses its doorbell.
//
//     node examples/park.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { atomic, boot, i32, join, struct } from 'percpu'

const Queue = struct('Queue', { jobs: atomic(i32) })

if (isMainThread) {
  const machine = boot({ cpus: 2 })
  const queue = machine.objects.create('queue', Queue)
  const worker = new Worker(new URL(import.meta.url), { workerData: machine.handle })
  machine.supervise(worker)
  await once(worker, 'message')

  await machine.rcu.synchronize()
  console.log('a grace period passed while CPU 1 slept')
  console.log('called:', (await machine.cpus.call(1, 'greet')).ran)
  queue.jobs.store(1)
  queue.jobs.notify()
  console.log((await once(worker, 'message'))[0])
} else {
  const machine = join(workerData)
  const queue = machine.objects.open('queue', Queue)
  machine.cpus.registerFunction('greet', () => console.log('hello from CPU 1, between two naps'))
  parentPort?.postMessage('ready')
  while (queue.jobs.load() === 0) machine.cpus.park(queue.jobs.address, 0)
  parentPort?.postMessage('CPU 1 has got its job')
}
