// A worker is terminated while it works: its CPU and its memory come back.
//
//     node examples/survive-terminate.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { boot, join } from 'percpu'

if (isMainThread) {
  const machine = boot({ cpus: 2 })
  const before = machine.heap.memblock.report().used
  for (let round = 1; round <= 3; round++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: machine.handle })
    const { reaped } = machine.supervise(worker)
    await once(worker, 'message')
    console.log(
      `round ${round}: online`,
      machine.online,
      'incarnation',
      machine.cpus.states()[1]?.incarnation,
    )
    await worker.terminate() // in the middle of its loop
    console.log(`round ${round}: reaped`, await reaped, 'online', machine.online)
  }
  console.log('memory as before:', machine.heap.memblock.report().used === before)
} else {
  const machine = join(workerData)
  parentPort?.postMessage('ready')
  for (;;) {
    const address = machine.heap.memblock.alloc({ size: 4096, label: 'scratch' })
    machine.heap.memblock.free(address)
  }
}
