/** Takes something that others wait for, and is terminated with it. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type Machine, type MachineHandle } from 'percpu'

export interface LeftBehindData {
  readonly handle: MachineHandle
  readonly what: keyof typeof takes
}

/** What it takes, and what keeps it. */
export const takes = {
  'a permit': (machine: Machine) => machine.locks.semaphore('permits', 1).acquire(),
  'a read lock': (machine: Machine) => machine.percpu.rwSemaphore('rw').readLock(),
  'a write lock': (machine: Machine) => machine.percpu.rwSemaphore('rw').writeLock(),
  'a section': (machine: Machine) => machine.srcu('domain').section(),
  'a section of a removed map': (machine: Machine) => {
    const map = machine.map('held', { key: 'u32', value: 'string', hold: true })
    map.set(1, 'one')
    void map.hold(1, () => new Promise(() => undefined))
  },
  callbacks: (machine: Machine) => {
    for (let i = 0; i < 1000; i++) void machine.rcu.free(machine.heap.alloc(64))
  },
} satisfies Record<string, (machine: Machine) => unknown>

if (parentPort) {
  const { handle, what } = workerData as LeftBehindData
  await takes[what](join(handle))
  parentPort.postMessage('taken')
  // It neither answers nor returns to its event loop any more.
  for (;;);
}
