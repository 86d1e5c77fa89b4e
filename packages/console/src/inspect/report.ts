/** What a machine's process tells those who look at it. */
import type { Machine } from 'percpu'
import type { MemoryWatch } from './memory.js'
import type { Refusal, Report, Sender } from './protocol.js'

/** `memory`: what tells of it, where it is asked for. @throws OfflineError */
export function reportOf(machine: Machine, dispatches: number, memory?: MemoryWatch): Report {
  const inspection = machine.watch.inspect({ dispatches })
  return { ...sender(), inspection, ...(memory ? { memory: memory.report() } : {}) }
}

/** Makes an answer. The machine may have gone offline in this thread, for one. */
export function attempt<Answer>(make: () => Answer): Answer | Refusal {
  try {
    return make()
  } catch (error) {
    return { ...sender(), error: error instanceof Error ? error.message : String(error) }
  }
}

/** This process. */
export function sender(): Sender {
  return { protocol: 1, pid: process.pid, title: process.title }
}
