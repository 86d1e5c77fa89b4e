/** Waiting for a time that a timer alone would miss by a millisecond or more. */
import { setTimeout as pause } from 'node:timers/promises'

/** Timers may be late by as much, ms. */
const COARSE = 2

/**
 * Waits until `performance.now()` is `time`, or `signal` aborts: then it gives false. The last two
 * milliseconds take the processor.
 */
export async function until(time: number, signal?: AbortSignal): Promise<boolean> {
  const ahead = time - performance.now()
  if (ahead > COARSE) await pause(ahead - COARSE, undefined, { signal }).catch(() => undefined)
  while (performance.now() < time && signal?.aborted !== true)
    await new Promise((resolve) => setImmediate(resolve))
  return signal?.aborted !== true
}
