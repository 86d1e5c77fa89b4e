/** Times short operations by running many of them in one loop. */
import type { Effort, Measure } from './suite.js'

/**
 * Performs an operation `count` times. The loop is the benchmark's own, so that its code is
 * optimised for it alone; the result must depend on the operations, so that the engine cannot leave
 * any out.
 */
export type Loop = (count: number) => number

/**
 * Consumes the results of loops. Exported so that nothing can prove it unused; a fraction, so that
 * it stays a float.
 */
export let consumed = 0.5

/** Nanoseconds per operation of `loop`, which is run for about the round time of the effort. */
export function perOperation(loop: Loop): Measure {
  let count = 0
  return (effort) => {
    if (count === 0) count = calibrate(loop, effort)
    // With too few operations the time is that of the call and of the clock.
    const run = runFor(loop, count, (effort.roundTime * 1e6) / 2)
    count = run.count
    return run.time / run.count
  }
}

/**
 * Time of `loop(count)` in nanoseconds, of a loop that does not wait. Of two times the shorter one
 * counts. That of the clock includes other programs; that of the process includes the threads that
 * compile and collect garbage.
 */
export function timeLoop(loop: Loop, count: number): number {
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  consumed += loop(count)
  const time = Number(process.hrtime.bigint() - start)
  const { user, system } = process.cpuUsage(cpu)
  return Math.min(time, (user + system) * 1000)
}

/**
 * Lets the engine optimise the loop, and finds the count that takes about one round time. An
 * interruption would count as time of the loop, and give far too few operations: of three runs
 * the fastest counts. `timeOf` is {@link timeLoop}, or the clock of a test.
 */
export function calibrate(loop: Loop, { roundTime }: Effort, timeOf = timeLoop): number {
  const target = roundTime * 1e6
  warmUp(loop)
  const fastest = (loop: Loop, count: number): number => {
    let best = Infinity
    for (let run = 0; run < 3 && best >= target / 2; run++) best = Math.min(best, timeOf(loop, count))
    return best
  }
  const { count, time } = runFor(loop, 1, target / 2, fastest)
  return Math.ceil((count * target) / time)
}

const MOST_OPERATIONS = 2 ** 31 - 1
/** Calls in one burst, and how long it takes at least, in nanoseconds. */
const CALLS = 100
const BURST = 1e6
/** After so many bursts that were no faster, the loop is warm. */
const STEADY = 8
const MOST_BURSTS = 100
/** Milliseconds between bursts. */
const PAUSE = 3

/**
 * Calls the loop often and briefly, until it gets no faster. A loop that becomes hot within one
 * call is compiled in its middle, and knows less of its objects than one that is compiled as a
 * whole: it may take three times as long, and the engine keeps its code. In the pauses the threads
 * that compile get a CPU.
 */
function warmUp(loop: Loop): void {
  let count = 1
  const burst: Loop = (calls) => {
    let sum = 0
    for (let i = 0; i < calls; i++) sum += loop(count)
    return sum
  }
  let best = Infinity
  let steady = 0
  for (let bursts = 0; bursts < MOST_BURSTS && steady < STEADY; bursts++) {
    const time = timeLoop(burst, CALLS)
    const isFaster = time / count < best * 0.97
    steady = isFaster || time < BURST ? 0 : steady + 1
    best = Math.min(best, time / count)
    if (time < BURST) count = Math.min(MOST_OPERATIONS, count * 2)
    pause()
  }
}

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4))
function pause(): void {
  Atomics.wait(nobodyWakes, 0, 0, PAUSE)
}

/** Runs the loop, with more operations until they take at least `shortest` nanoseconds. */
function runFor(
  loop: Loop,
  count: number,
  shortest: number,
  timeOf = timeLoop,
): { count: number; time: number } {
  for (;;) {
    const time = timeOf(loop, count)
    if (time >= shortest || count >= MOST_OPERATIONS) return { count, time: Math.max(time, 1) }
    const factor = Math.min(10, Math.max(1.5, (shortest * 1.5) / Math.max(time, 1)))
    count = Math.min(MOST_OPERATIONS, Math.ceil(count * factor))
  }
}
