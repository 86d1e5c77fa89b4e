/**
 * A schedule: the process of each step, and the outcome that the step takes. It is written as a
 * short string, to run one execution again.
 */
import type { World } from '../engine/world.js'

export interface Choice {
  readonly process: number
  readonly outcome: number
}

/** The schedule of the execution at whose end the world is. */
export function scheduleOf(world: World): Choice[] {
  const { history } = world
  return Array.from({ length: history.length }, (_, step) => ({
    process: history.process[step] as number,
    outcome: history.outcome[step] as number,
  }))
}

/**
 * Writes a schedule as a string. Steps of one process in a row are one entry: the process and their
 * number. A step with an outcome other than 0 has an entry of its own.
 */
export function encode(schedule: readonly Choice[]): string {
  const bytes: number[] = []
  for (let at = 0; at < schedule.length;) {
    const { process, outcome } = schedule[at] as Choice
    let end = at + 1
    if (outcome === 0)
      while (end < schedule.length && schedule[end]?.process === process && schedule[end]?.outcome === 0)
        end++
    bytes.push(process | (outcome === 0 ? 0 : 0x80))
    pushVarint(bytes, outcome === 0 ? end - at : outcome)
    at = end
  }
  return Buffer.from(bytes).toString('base64url')
}

/** A string that is no schedule, or a schedule that does not fit its scenario. */
export class ScheduleError extends Error {
  readonly code = 'LAB_SCHEDULE'
  override readonly name = 'ScheduleError'
}

export function decode(text: string): Choice[] {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw new ScheduleError(`${JSON.stringify(text)} is no schedule`)
  const schedule: Choice[] = []
  let at = 0
  while (at < bytes.length) {
    const head = bytes[at++] as number
    let value = 0
    let shift = 0
    for (;;) {
      const byte = bytes[at++]
      if (byte === undefined || shift > 28)
        throw new ScheduleError(`the schedule ${JSON.stringify(text)} is cut off`)
      value |= (byte & 0x7f) << shift
      shift += 7
      if (byte < 0x80) break
    }
    const process = head & 0x7f
    if (head >= 0x80) schedule.push({ process, outcome: value })
    else for (let i = 0; i < value; i++) schedule.push({ process, outcome: 0 })
  }
  return schedule
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  bytes.push(rest)
}
