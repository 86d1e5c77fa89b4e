/** RCU and SRCU of a few words, to explore many litmus tests with, and to break. */
import { mem } from 'percpu-lab'
import type { Implementation, ImplementationCpu, RcuUser } from 'percpu-lab/litmus'
import { SmallSrcu, type SmallSrcuContext } from '../../dist/litmus/small-srcu.js'

/** Each domain, and RCU, is a small SRCU. Sections of RCU on one CPU nest: the outermost counts. */
export const standIn = standInOf((context, cpu) => rcuOf(new SmallSrcu(context, cpu)))

/** `open`: gives RCU its own way, on words of which all are zero. */
export function standInOf(open: (context: SmallSrcuContext, cpu: number) => RcuUser): Implementation {
  return {
    name: 'stand-in',
    boot: (cpus, { domains }) => {
      let contexts = new Map<string, SmallSrcuContext>()
      let rcu: SmallSrcuContext
      return {
        name: (t) => {
          const context = () => ({ mem, cpus, ...t.words(SmallSrcu.words(cpus)) })
          rcu = context()
          contexts = new Map(domains.map((name) => [name, context()]))
        },
        join: (cpu, uses): ImplementationCpu => {
          const users = new Map(
            uses.domains.map((name) => {
              const context = contexts.get(name) ?? rcu
              return [name, srcuOf(new SmallSrcu(context, cpu.number))]
            }),
          )
          const none = srcuOf(new SmallSrcu(rcu, cpu.number))
          return { rcu: open(rcu, cpu.number), srcu: (name) => users.get(name) ?? none }
        },
      }
    },
  }
}

export function rcuOf(domain: SmallSrcu): RcuUser {
  let depth = 0
  let rank = 0
  return {
    readLock: () => {
      if (depth++ === 0) rank = domain.readLock()
    },
    readUnlock: () => {
      if (--depth === 0) domain.readUnlock(rank)
    },
    synchronize: () => domain.synchronize(),
  }
}

function srcuOf(domain: SmallSrcu): ReturnType<ImplementationCpu['srcu']> {
  return {
    readLock: () => domain.readLock(),
    readUnlock: (rank) => domain.readUnlock(rank),
    downRead: () => domain.readLock(),
    upRead: (rank) => domain.readUnlock(rank),
    synchronize: () => domain.synchronize(),
  }
}
