/**
 * Waits in tests that run several CPUs on one thread, without a time limit: whoever was rung
 * answers, and the jobs that this makes run. A wake-up that was lost shows as a promise that is
 * still pending when nobody has anything to do any more.
 */
import assert from 'node:assert/strict'
import type { Machine } from 'percpu'

/** More than the longest chain of hand-overs in these tests. */
const ROUNDS = 36

/** Lets all these CPUs answer what was rung, again and again, with their jobs in between. */
export async function answerAll(machines: readonly Machine[], isOver = () => false): Promise<void> {
  for (let round = 0; round < ROUNDS && !isOver(); round++) {
    for (const machine of machines) machine.poll()
    await new Promise(setImmediate)
  }
}

/**
 * Asserts that the promise settles by nothing but answers to rings; returns what it resolves to.
 */
export async function settles<Result>(
  promise: Promise<Result>,
  machines: readonly Machine[],
  message: string,
): Promise<Result> {
  const ended = new Set<string>()
  const end = (): unknown => ended.add('ended')
  promise.then(end, end)
  await answerAll(machines, () => ended.size > 0)
  if (ended.size > 0) return promise
  // Waits would keep the process alive.
  await Promise.allSettled(machines.map((machine) => machine.offline()))
  assert.fail(message)
}
