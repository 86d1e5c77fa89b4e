/** Blocks as it is told to, and tells when it goes on. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type JoinOptions, type MachineHandle, type Permits } from 'percpu'

export type BlockingCommand =
  | 'lock'
  | 'lock, with a task that waits'
  | 'wait'
  | 'wait, then keep the mutex'
  | 'acquire 1'
  | 'acquire 3'
  | 'release'
  | 'complete'

// It counts on others for ever: it does not look by itself, so a ring that is missing shows.
const never: JoinOptions & { readonly patience: number } = { patience: Infinity }
const machine = join(workerData as MachineHandle, never)
const mutex = machine.locks.mutex('m')
const condition = machine.locks.condition('c', mutex)
const semaphore = machine.locks.semaphore('p', 3)
let permits: Permits | undefined

function acquire(count: number): void {
  permits = semaphore.acquire(count)
}

const commands: Readonly<Record<BlockingCommand, () => unknown>> = {
  lock: () => void mutex.lock(),
  'lock, with a task that waits': () => {
    void machine.locks.completion('d').waitAsync()
    mutex.lock()
  },
  wait: () => {
    using guard = mutex.lock()
    const notified = condition.wait(guard)
    return [notified, guard.isHeld, mutex.owner?.cpu === machine.cpu]
  },
  'wait, then keep the mutex': () => condition.wait(mutex.lock()),
  'acquire 1': () => acquire(1),
  'acquire 3': () => acquire(3),
  release: () => permits?.release(),
  complete: () => machine.locks.completion('d').wait(),
}
parentPort?.on('message', (command: BlockingCommand) => {
  parentPort?.postMessage([commands[command]()].flat())
})
parentPort?.postMessage(machine.cpu)
