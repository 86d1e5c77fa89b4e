/** Joins, takes something, says so, and ends a little later. */
import { workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { notify32, storeAtomic32 } from 'percpu/mem'

export interface DyingData {
  readonly handle: MachineHandle
  readonly takes: 'mutex' | 'section' | 'nothing'
  /** Byte address of a word that is set when it has been taken. */
  readonly taken: number
}

const { handle, takes, taken } = workerData as DyingData
const machine = join(handle)
if (takes === 'mutex') machine.locks.mutex('m').lock()
if (takes === 'section') machine.srcu('s', { flavour: 'normal' }).readLock()
storeAtomic32(machine.memory.i32, taken / 4, 1)
notify32(machine.memory.i32, taken / 4)
setTimeout(() => process.exit(), 100)
