/** A worker that does labelled work, and gets stuck in it when told to. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { awaitUntil, loadAtomic32 } from 'percpu/mem'

const { handle, release } = workerData as { handle: MachineHandle; release: number }
const machine = join(handle)
parentPort?.on('message', (command: 'stick' | 'park' | 'deaf') => {
  const { i32 } = machine.memory
  const released = () => loadAtomic32(i32, release / 4) !== 0
  const work = {
    stick: () => machine.run('render /about', () => awaitUntil(released)),
    park: () => {
      while (!released()) machine.cpus.park(release, 0)
    },
    deaf: () => machine.run('crunch', () => machine.cpus.deaf(() => awaitUntil(released))),
  }
  work[command]()
})
parentPort?.postMessage(machine.cpu)
