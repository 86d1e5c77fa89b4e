/** What a thread does for others that have ended, while it blocks. */
import { tellsOfThreads } from '../machine/os-thread.js'
import type { Tending } from './idle.js'
import { PATROL_INTERVAL, type Patrol } from './patrol.js'
import type { Supervisor } from './supervisor.js'

/** ms between two looks of a supervisor that blocks. */
const TEND_INTERVAL = 100

/** `patrol`: if the system tells of threads. */
export function tendingOf(supervisor: Supervisor, patrol: Patrol | undefined): Tending {
  return {
    interval: () => {
      const hasWork = supervisor.supervised > 0 || supervisor.hasRescued
      if (hasWork && tellsOfThreads) return TEND_INTERVAL
      return patrol ? PATROL_INTERVAL : Infinity
    },
    tend: (isQuiet) => {
      supervisor.tend(isQuiet)
      // Mutant: cpus/no-patrol-blocked.
      supervisor.reap(patrol?.ended() ?? [], isQuiet)
    },
    rescue: (cpu) => supervisor.rescue(cpu),
  }
}
