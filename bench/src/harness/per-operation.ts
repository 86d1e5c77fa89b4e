/** Measures the time of one operation with a loop. */
import type { Effort, Measure } from './suite.js'

/**
 * Does the operation `count` times and returns a number that depends on all of them, so that the engine cannot leave
 * any out.
 */
export type Loop = (count: number) => number

/** Consumes the results of loops. Exported so that nothing can prove it unused; a fraction, so that it stays a float. */
export let consumed = 0.5

/** Nanoseconds per operation of `loop`, which is run long enough for the round time of the effort. */
export function perOperation(loop: Loop): Measure {
  let count = 0
  return (effort) => {
    if (count === 0) count = calibrate(loop, effort)
    return timeLoop(loop, count) / count
  }
}

/** Time of `loop(count)` in nanoseconds. */
export function timeLoop(loop: Loop, count: number): number {
  const start = process.hrtime.bigint()
  consumed += loop(count)
  return Number(process.hrtime.bigint() - start)
}

/** Finds the count that takes about one round time. Its runs also let the engine optimise the loop. */
export function calibrate(loop: Loop, { roundTime }: Effort): number {
  const target = roundTime * 1e6
  const chunk = grow(loop, 1, target / 400)
  // Many short calls before the long ones: a loop that becomes hot within one call is optimised in its middle, with less
  // known about what it calls.
  for (let i = 0; i < 400; i++) timeLoop(loop, chunk)
  const count = grow(loop, chunk, target / 2)
  return Math.max(1, Math.ceil((count * target) / Math.max(timeLoop(loop, count), 1)))
}

/** Raises the count until the loop takes `time` nanoseconds. */
function grow(loop: Loop, start: number, time: number): number {
  let count = start
  for (let taken = timeLoop(loop, count); taken < time; taken = timeLoop(loop, count)) {
    count = Math.ceil(count * Math.min(10, Math.max(1.1, time / Math.max(taken, 1))))
  }
  return count
}
