/** Machines of small memory, and several CPUs of one thread. */
import { boot, join, type BootOptions, type Machine } from 'percpu'

export const fresh = (options: BootOptions = { cpus: 3 }): Machine => boot({ memory: '1 MiB', ...options })

/** Another CPU, as if it were thread `thread`. */
export function joinAs(machine: Machine, thread: number): Machine {
  const options = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, options)
}
