/** Machines of the library as it ships. */
import { boot, join, NoFreeCpuError, type JoinOptions, type Machine, type MachineHandle } from 'percpu'
import { machineMaker } from './machine-maker.js'

export const { fresh, joinAs } = machineMaker({ boot, join }, { memory: '1 MiB', cpus: 3 })

/**
 * Joins as soon as a number is free: that of a thread which is being replaced becomes free when it
 * is reaped.
 */
export async function joinWhenFree(handle: MachineHandle, options?: JoinOptions): Promise<Machine> {
  for (;;) {
    try {
      return join(handle, options)
    } catch (error) {
      if (!(error instanceof NoFreeCpuError)) throw error
      await new Promise(setImmediate)
    }
  }
}
