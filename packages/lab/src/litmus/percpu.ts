/** The library's own RCU and SRCU, for the exploration of litmus tests. */
import type { Srcu, SrcuFlavour } from 'percpu'
import { percpu } from '../mem/library.js'
import { openMemory } from '../mem/mem.js'
import { nameStructs } from '../scenario/machine-names.js'
import { LitmusRunError } from './errors.js'
import type { Implementation, SrcuUser } from './implementation.js'

/** The key of the thread that is process 0. */
const FIRST_KEY = 101

/**
 * A machine whose CPUs the processes are. A section of RCU is a synchronous stretch: it takes no
 * code, and a grace period within one ends it. SRCU domains have the given flavour.
 */
export function percpuOf(flavour: SrcuFlavour): Implementation {
  return {
    name: `percpu, ${flavour} SRCU`,
    boot: async (cpus, { domains }) => {
      const machine = percpu.boot({ memory: '1 MiB', cpus, journal: 16 })
      for (const name of domains) machine.srcu(name, { flavour })
      const { handle } = machine
      const memory = openMemory(handle.buffer)
      const structs = machine.watch.structs()
      await machine.offline()
      const settings = { doorbell: 'waitAsync', stallTimeout: Infinity } as const
      return {
        name: (t) => nameStructs(t, memory, structs),
        join: (cpu, uses, misused) =>
          cpu.prepare(() => {
            const options = { ...settings, thread: FIRST_KEY + cpu.number }
            const own = percpu.join(handle, options)
            const users = new Map(uses.domains.map((name) => [name, userOf(own.srcu(name), misused)]))
            return {
              rcu: {
                readLock: () => undefined,
                readUnlock: () => undefined,
                synchronize: (expedited) =>
                  expedited ? own.rcu.synchronizeExpedited() : own.rcu.synchronize(),
              },
              srcu: (name) => {
                const user = users.get(name)
                if (user === undefined) throw new LitmusRunError(`${name} is no SRCU domain of this process`)
                return user
              },
            }
          }),
      }
    },
  }
}

function userOf(domain: Srcu, misused: (what: string) => void): SrcuUser {
  const unless = (leave: () => void): void => {
    try {
      leave()
    } catch (error) {
      if (!(error instanceof percpu.SrcuMisuseError)) throw error
      misused(error.code)
    }
  }
  return {
    readLock: () => domain.readLock(),
    readUnlock: (token) => unless(() => domain.readUnlock(token)),
    downRead: () => domain.downRead(),
    upRead: (token) => unless(() => domain.upRead(token)),
    synchronize: (expedited) => (expedited ? domain.synchronizeExpedited() : domain.synchronize()),
  }
}
