/** Is terminated while it waits. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

export interface LeavingWorkerData {
  readonly handle: MachineHandle
  readonly what: 'receives' | 'removes' | 'pins'
}

if (parentPort) {
  const { handle, what } = workerData as LeavingWorkerData
  const machine = join(handle)
  if (what === 'removes') void machine.remove('map', 'map')
  if (what === 'pins') machine.space('space').pin(0)
  parentPort.postMessage('is about to')
  if (what === 'receives') machine.ring('ring').receive()
  // It neither answers nor returns to its event loop any more.
  for (;;);
}
