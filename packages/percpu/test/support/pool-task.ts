/** What the workers of a thread pool run: joins once, and tells its CPU. */
import { join, type Machine, type MachineHandle } from 'percpu'

let machine: Machine | undefined

export default function task({ handle, watchWaits }: { handle: MachineHandle; watchWaits: boolean }): number {
  machine ??= join(handle, { watchWaits })
  return machine.cpu
}
