/** How threads of a torture run join, where others were terminated. */
import { setTimeout as sleep } from 'node:timers/promises'
import { join, type Machine, type MachineHandle } from 'percpu'

/** A number may still be that of a thread which is being cleaned up after. */
export async function joinWhenFree(handle: MachineHandle): Promise<Machine> {
  for (let tries = 0; ; tries++) {
    try {
      return join(handle)
    } catch (error) {
      const isFull = error instanceof Error && 'code' in error && error.code === 'PERCPU_NO_FREE_CPU'
      if (!isFull || tries === 1000) throw error
      await sleep(2)
    }
  }
}
