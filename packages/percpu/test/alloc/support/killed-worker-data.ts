/** What the threads of the kill test are told. */
import type { MachineHandle } from 'percpu'

export interface KilledWorkerData {
  readonly handle: MachineHandle
  /** Word index of a count of turns, and of the table of references, under the mutex 'table'. */
  readonly turns: number
  readonly table: number
  readonly seed: number
}
export const SLOTS = 400
