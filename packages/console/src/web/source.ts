/** From where the page has what it shows of a machine: this process, or another one. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Machine, Monitor } from 'percpu'
import { FileError } from '../errors.js'
import { inspections, inspectSpaces } from '../inspect/client.js'
import { MemoryWatch } from '../inspect/memory.js'
import type { Refusal, Report, SpacesReport } from '../inspect/protocol.js'
import { attempt, reportOf, sender } from '../inspect/report.js'

/** Milliseconds between reports. */
export const INTERVAL = 1000

/** A report, or why there is none at this moment. */
export type Told = Report | Pick<Refusal, 'error'>

export interface LiveSource {
  /**
   * Calls `tell` at once or soon, and then every second, until the function is called that it
   * gives. CPUs are asked for signs of life meanwhile.
   */
  watch(tell: (told: Told) => void): () => void
  /** What the address spaces have. @throws FileError, OfflineError */
  spaces(): Promise<SpacesReport>
}

/** The machine, of which this thread is a CPU. */
export function machineSource(machine: Machine): LiveSource {
  return {
    watch(tell) {
      const memory = new MemoryWatch(machine)
      let monitor: Monitor | undefined
      const look = (): void => {
        const told = attempt(() => {
          monitor ??= machine.watch.monitor({ interval: INTERVAL })
          return reportOf(machine, 0, memory)
        })
        tell(told)
      }
      look()
      const timer = setInterval(look, INTERVAL).unref()
      return () => {
        clearInterval(timer)
        monitor?.stop()
      }
    },
    spaces: () => Promise.resolve({ ...sender(), spaces: machine.spaces() }),
  }
}

/**
 * The machine whose process serves inspections at `path`. It may end, and another one take its
 * place: it is looked for every second.
 */
export function socketSource(path: string): LiveSource {
  return {
    watch(tell) {
      const ended = new AbortController()
      void follow(path, tell, ended.signal)
      return () => ended.abort()
    },
    spaces: () => inspectSpaces(path),
  }
}

async function follow(path: string, tell: (told: Told) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const report of inspections(path, INTERVAL, signal, { memory: true })) tell(report)
      tell({ error: `the process that served ${path} has ended` })
    } catch (error) {
      if (!(error instanceof FileError)) throw error
      tell({ error: error.message })
    }
    await pause(INTERVAL, undefined, { signal }).catch(() => undefined)
  }
}
