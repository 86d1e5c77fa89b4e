/** A CPU that grace periods wait for, for rcu-grace-periods.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { loadAtomic32 } from 'percpu/mem'

/** What the CPU does between two commands. */
export type Habit = 'idle' | 'busy' | 'sleeping'
export interface ReaderData {
  readonly handle: MachineHandle
  /** Byte address of a word: 0 while a CPU may sleep on it. */
  readonly stop: number
}

const { handle, stop } = workerData as ReaderData
const machine = join(handle)
machine.srcu('fast')
machine.srcu('normal', { flavour: 'normal' })
machine.cpus.onRing(0, () => {
  machine.cpus.ring(0, 0)
})

const isStopped = (): boolean => loadAtomic32(machine.memory.i32, stop / 4) !== 0
/** Nanoseconds of a synchronous stretch. */
const SLICE = 100_000n
let habit: Habit = 'idle'

function stretch(): void {
  if (habit !== 'busy') return
  const end = process.hrtime.bigint() + SLICE
  while (process.hrtime.bigint() < end);
  setImmediate(stretch)
}

parentPort?.on('message', (next: Habit) => {
  habit = next
  parentPort?.postMessage(habit)
  if (habit === 'busy') setImmediate(stretch)
  if (habit === 'sleeping') while (!isStopped()) machine.cpus.park(stop, 0)
})
parentPort?.postMessage('ready')
