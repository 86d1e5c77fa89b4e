/**
 * A schedule: who steps, and which outcome a step with several takes. It is written as a short string, to run one execution
 * again.
 */
import { END, FAILED, TOO_LONG, type Search } from '../engine/search.js'
import type { World } from '../engine/world.js'

export interface Choice {
  readonly process: number
  readonly outcome: number
}

/** The schedule of the execution that the world is at the end of. */
export function scheduleOf(world: World): Choice[] {
  const { history } = world
  return Array.from({ length: history.length }, (_, step) => ({
    process: history.process[step] as number,
    outcome: history.outcome[step] as number,
  }))
}

/** Runs of the same process are one entry: the process, how many steps, and the outcomes that are not 0. */
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

/** Thrown for a string that is no schedule. */
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
      if (byte === undefined || shift > 28) throw new ScheduleError(`${JSON.stringify(text)} is cut off`)
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

/**
 * Follows a schedule. Entries of processes that cannot step are passed over; after its end whoever stepped last goes on, so that a
 * shortened schedule still gives a whole execution.
 */
export class FollowSchedule implements Search {
  private at = 0
  private outcome = 0
  /** Whether every entry could be followed. */
  exact = true

  constructor(
    private readonly world: World,
    private readonly schedule: readonly Choice[],
    private readonly maxSteps: number,
  ) {
    world.chooseOutcome = (count) => {
      if (this.outcome >= count) this.exact = false
      return Math.min(this.outcome, count - 1)
    }
    world.tracksDependence = false
    world.onConflict = undefined
    world.onAlternative = undefined
  }

  next(): number {
    const { world, schedule } = this
    if (world.race !== undefined) return FAILED
    if (world.history.length >= this.maxSteps) return TOO_LONG
    const must = world.enabled()
    const may = world.optional()
    while (this.at < schedule.length) {
      const { process, outcome } = schedule[this.at++] as Choice
      if (((must | may) & (1 << process)) !== 0) {
        this.outcome = outcome
        return process
      }
      this.exact = false
    }
    this.outcome = 0
    const candidates = must !== 0 ? must : timersIn(world, may)
    if (candidates === 0) return END
    const last = world.history.length - 1
    const previous = last < 0 ? -1 : (world.history.process[last] as number)
    return previous >= 0 && (candidates & (1 << previous)) !== 0 ? previous : lowest(candidates)
  }
}

/** The timers among the processes of a mask: when nothing else can happen, time passes. */
export function timersIn(world: World, mask: number): number {
  let timers = 0
  for (const { id, kind } of world.processes)
    if (kind === 'timer' && (mask & (1 << id)) !== 0) timers |= 1 << id
  return timers
}

/** The process with the lowest number in a mask that is not empty. */
export function lowest(mask: number): number {
  return 31 - Math.clz32(mask & -mask)
}
