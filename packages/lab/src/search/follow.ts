/** The search for one execution: that of a schedule. */
import { END, FAILED, TOO_LONG, type Search } from '../engine/search.js'
import type { World } from '../engine/world.js'
import { lowest, timersIn } from './masks.js'
import type { Choice } from './schedule.js'

/**
 * Follows a schedule. It passes over the entries of processes that cannot step. After the end of
 * the schedule, the process of the last step goes on, so that a shortened schedule still gives a
 * whole execution.
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
    if (world.isBroken) return FAILED
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
