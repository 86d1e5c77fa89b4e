// A routing table that all threads read while one changes it. Each reader sees one version at a
// time: never half of a change.
//
//     node examples/range-routing-table.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { boot, join } from 'percpu'

/** @type {{ readonly key: 'u32', readonly value: 'string' }} */
const kinds = { key: 'u32', value: 'string' }

/**
 * The number of an IPv4 address.
 *
 * @param {string} address
 */
const ip = (address) => address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0)

if (isMainThread) {
  const machine = boot({ cpus: 3 })
  const routes = machine.rangeMap('routes', kinds)
  routes.load([
    [ip('10.0.0.0'), ip('10.255.255.255'), 'office'],
    [ip('192.0.2.0'), ip('192.0.2.255'), 'lab'],
  ])
  const workers = [1, 2].map(() => new Worker(new URL(import.meta.url), { workerData: machine.handle }))
  const reaped = workers.map((worker) => machine.supervise(worker).reaped)
  await Promise.all(workers.map((worker) => once(worker, 'message')))

  for (let turn = 0; turn < 200; turn++) {
    // Both or neither: a reader never finds one half moved.
    const owner = turn % 2 === 0 ? 'moved' : 'office'
    routes.batch([
      [ip('10.1.0.0'), ip('10.1.0.255'), owner],
      [ip('10.9.0.0'), ip('10.9.0.255'), owner],
    ])
    if (turn % 20 === 0) await routes.barrier()
  }
  for (const worker of workers) worker.postMessage('stop')
  const answers = await Promise.all(workers.map((worker) => once(worker, 'message')))
  await Promise.all(workers.map((worker) => worker.terminate()))
  await Promise.all(reaped)

  console.log(
    'halves seen:',
    answers.reduce((sum, [{ halves }]) => sum + halves, 0),
  )
  console.log('ranges:', routes.size, routes.lookup(ip('10.9.0.7')), routes.lookup(ip('10.200.0.1')))
  routes.set(ip('10.128.0.0'), ip('10.255.255.255'), 'branch')
  routes.delete(ip('192.0.2.128'), ip('192.0.2.255'))
  for (const { from, to, value } of routes) console.log(`${from}-${to} ${value}`)
  console.log('nearest:', routes.nearest(ip('172.16.0.1'))?.value)
  routes.verify()
  await machine.offline()
} else {
  const machine = join(workerData)
  const routes = machine.rangeMap('routes', kinds)
  let isOver = false
  parentPort?.on('message', () => (isOver = true))
  parentPort?.postMessage('ready')
  let halves = 0
  while (!isOver) {
    for (let i = 0; i < 1000; i++)
      halves += routes.snapshot((view) => view.lookup(ip('10.1.0.1')) !== view.lookup(ip('10.9.0.1'))) ? 1 : 0
    await new Promise((resolve) => setImmediate(resolve))
  }
  parentPort?.postMessage({ halves })
}
