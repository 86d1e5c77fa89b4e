/** Told to, takes pages, and does not return to its event loop any more, but polls. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const machine = join(workerData as MachineHandle)
const { pages } = machine.heap
pages.free(pages.alloc(3), 3)
parentPort?.once('message', () => {
  pages.free(pages.alloc(3), 3)
  parentPort?.postMessage('it got them')
  for (;;) machine.poll()
})
parentPort?.postMessage('ready')
