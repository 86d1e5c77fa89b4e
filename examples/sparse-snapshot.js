// A sparse array that a thread writes to all the time, and snapshots of it: each is what was there
// at one moment, and stays so. Only pages that are written to afterwards are copied.
//
//     node examples/sparse-snapshot.js
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { boot, join } from 'percpu'

const numbers = /** @type {const} */ ({ value: 'f64' })
/** Far apart: each place has a page of its own. */
const places = Array.from({ length: 50 }, (_, at) => at * 1_000_000_007)

/** @param {import('percpu').SparseArray<'f64'>} array */
const read = (array) => places.map((place) => array.get(place))
/**
 * The writer goes from place to place with the number of its turn. So at each moment the first
 * places have one number, and the others that before.
 *
 * @param {readonly number[]} values
 */
const isMoment = (values) => {
  const [first = 0] = values
  const moved = values.filter((value) => value === first).length
  return values.every((value, at) => value === (at < moved ? first : first - 1))
}

if (isMainThread) {
  const machine = boot({ cpus: 2, memory: '16 MiB' })
  const array = machine.sparseArray('numbers', numbers)
  const worker = new Worker(new URL(import.meta.url), { workerData: machine.handle })
  const { reaped } = machine.supervise(worker)
  await once(worker, 'message')

  let torn = 0
  let changed = 0
  let last = 0
  for (let turn = 0; turn < 20; turn++) {
    const snapshot = await array.snapshot()
    const before = read(snapshot)
    if (!isMoment(before)) torn++
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (read(snapshot).join() !== before.join()) changed++
    last = before[0] ?? 0
    await snapshot.drop()
  }
  while (array.get(0) <= last) await new Promise((resolve) => setTimeout(resolve, 1))
  worker.postMessage('stop')
  await once(worker, 'message')
  await worker.terminate()
  await reaped

  console.log('snapshots that are no moment:', torn)
  console.log('snapshots that changed:', changed)
  console.log('the writer went on:', array.get(0) > last)
  console.log('pages:', array.resident / 4096, 'of', array.length / 512)
  try {
    const snapshot = await array.snapshot()
    snapshot.set(0, 1)
  } catch (error) {
    console.log(Object(error).code)
  }
  machine.space('any').verify()
  await machine.offline()
} else {
  const machine = join(workerData)
  const array = machine.sparseArray('numbers', numbers)
  let isOver = false
  parentPort?.on('message', () => (isOver = true))
  for (let turn = 1; !isOver; turn++) {
    for (const place of places) array.set(place, turn)
    if (turn === 1) parentPort?.postMessage('ready')
    // Returns to its event loop now and then: a snapshot waits for that.
    if (turn % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  parentPort?.postMessage('done')
}
