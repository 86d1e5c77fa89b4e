/** The library's own RCU, for the judge of litmus files. */
import type { RcuMachine } from 'percpu-lab/litmus'
import { prepare } from './world.js'

/**
 * `machine.rcu` on CPUs that have nothing else. A section is a synchronous stretch, so it takes no
 * code, and a grace period within one ends it.
 */
export const ownRcu: RcuMachine = {
  name: 'percpu',
  boot: async (cpus) => {
    const world = await prepare({ cpus })
    return {
      name: (t) => world.name(t),
      join: (cpu) => {
        const bare = world.bare(cpu)
        return {
          readLock: () => undefined,
          readUnlock: () => undefined,
          synchronize: () => bare.gracePeriods.synchronize(),
          leave: () => bare.leave(),
        }
      },
    }
  },
}
