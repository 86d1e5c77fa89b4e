/**
 * Small machines, and several CPUs of one thread, made by the library that is given: tests may load
 * it with another `#mem`, so that nothing here may import it.
 */
import type * as Percpu from 'percpu'
import type { BootOptions, JoinOptions, Machine } from 'percpu'

export interface MachineMaker {
  /** A machine of its own, with `options` in place of the defaults. */
  readonly fresh: (options?: BootOptions) => Machine
  /** Another CPU, as if it were thread `thread`. */
  readonly joinAs: (machine: Machine, thread: number, options?: JoinOptions) => Machine
}

export function machineMaker(
  { boot, join }: Pick<typeof Percpu, 'boot' | 'join'>,
  defaults: BootOptions,
): MachineMaker {
  const { cpus, ...others } = defaults
  return {
    // A machine without SMP has one CPU.
    fresh: (options = {}) =>
      boot({ ...others, ...(cpus === undefined || options.smp === false ? {} : { cpus }), ...options }),
    joinAs(machine, thread, options = {}) {
      const asThread = { doorbell: 'waitAsync', ...options, thread } as const
      return join(machine.handle, asThread)
    },
  }
}
