/**
 * Replays an execution that the lab found, on real worker threads. Each thread makes the accesses
 * of its CPU. Threads hand over after each access, so that the order is that of the trace. Every
 * value that is read is compared with the trace.
 *
 * A replay tells whether the lab's memory does what the engine's does. Threads that take turns are
 * ordered: a load that read a stale value in the trace reads the newest one here, and is not
 * compared.
 */
import { once as onceEmitted } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Trace } from '../trace.js'
import { ConformanceFailure, engineAndCpu } from './engine.js'
import { planReplay, type Found, type ReplayPlan } from './replay-plan.js'
import type { ReplayJob } from './replay-worker.js'
import { WordAccess } from './word-access.js'

export interface ReplayReport {
  /** Accesses that were made. */
  readonly steps: number
  /** Values that were compared. */
  readonly compared: number
  /** Loads that are stale in the trace. */
  readonly stale: number
  readonly threads: number
  readonly platform: string
}

/**
 * Replays the trace.
 *
 * @throws ConformanceFailure if a value is not the one of the trace; `details.step` is the step of
 *   the trace
 * @throws LitmusRunError if the trace has accesses that it does not describe completely
 */
export async function replayTrace(trace: Trace): Promise<ReplayReport> {
  const plan = planReplay(trace)
  const found = await runThreads(plan)
  plan.found.forEach((expected, turn) => {
    const event = plan.events[turn]
    if (expected === undefined || event === undefined || Object.is(found[turn], expected)) return
    const what = `step ${event.step}, ${event.order} ${event.name} of ${event.word ?? `address ${event.address}`}`
    throw new ConformanceFailure(
      `${trace.test}: ${what} found ${found[turn]} instead of ${expected}; ${engineAndCpu()}`,
      { step: event.step, expected, found: found[turn], platform: engineAndCpu() },
    )
  })
  return {
    steps: plan.events.length,
    compared: plan.found.filter((expected) => expected !== undefined).length,
    stale: plan.stale,
    threads: plan.threads.length,
    platform: engineAndCpu(),
  }
}

async function runThreads(plan: ReplayPlan): Promise<Found[]> {
  const memory = new SharedArrayBuffer(plan.byteLength)
  const words = new WordAccess(memory)
  for (const { address, bytes, value } of plan.initial) words.store(address, bytes, value, false)
  const turn = new SharedArrayBuffer(4)
  const workers = plan.threads.map((steps) => {
    const workerData: ReplayJob = { memory, turn, steps, turns: plan.events.length }
    return new Worker(new URL('./replay-worker.js', import.meta.url), { workerData })
  })
  try {
    const messages = await Promise.all(workers.map((worker) => onceEmitted(worker, 'message')))
    const found: Found[] = []
    for (const [steps] of messages as [{ turn: number; found: Found }[]][])
      for (const step of steps) found[step.turn] = step.found
    return found
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}
