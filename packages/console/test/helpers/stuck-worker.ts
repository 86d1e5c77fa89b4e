/** Joins a machine and never returns from labelled work: busy, or asleep if it is told 'sleep'. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { awaitUntil } from 'percpu/mem'

const machine = join(workerData as MachineHandle)
const asleep = new Int32Array(new SharedArrayBuffer(4))
parentPort?.on('message', (how: unknown) =>
  machine.run('render /about', () => {
    if (how === 'sleep') Atomics.wait(asleep, 0, 0)
    else awaitUntil(() => false)
  }),
)
parentPort?.postMessage(machine.cpu)
