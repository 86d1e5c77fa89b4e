/**
 * Executions drawn at random, for scenarios too large to search completely.
 *
 * 'random' gives each process that can step the same chance at each step. 'pct' is probabilistic
 * concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010). Processes have
 * random priorities, and the highest steps. At depth - 1 random steps the process that steps falls
 * to the lowest priority. With n processes and k steps, an execution finds a bug of that depth with
 * a chance of at least 1 / (n k^(depth-1)). Kills and time-outs happen at random steps, about one
 * in `rarity`.
 */
import { END, FAILED, TOO_LONG, type Search } from '../engine/search.js'
import { takeBack } from '../engine/step.js'
import type { World } from '../engine/world.js'
import { lowest, timersIn } from './masks.js'

export interface RandomOptions {
  readonly mode: 'pct' | 'random'
  /** Any 32-bit number; the same seed gives the same executions. */
  readonly seed: number
  /** The number of orderings that must come together for the bugs looked for. */
  readonly depth: number
  readonly maxSteps: number
}

/**
 * A small generator of 32-bit numbers (Steele, Lea, Flood 2014: the mixer of SplitMix, on 32 bits).
 */
export function generator(seed: number): (below: number) => number {
  let state = seed | 0
  return (below) => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) % below
  }
}

export class RandomSearch implements Search {
  private readonly random: (below: number) => number
  private priorities: number[] = []
  private changes: number[] = []
  /** Steps of the longest execution so far. Changes of priority are drawn from them. */
  private longest = 16
  private floor = 0
  /** The number of steps in which one kill or time-out is to be expected. */
  private rarity = 16

  constructor(
    private readonly world: World,
    private readonly options: RandomOptions,
  ) {
    this.random = generator(options.seed)
    world.tracksDependence = false
    world.chooseOutcome = (count) => this.random(count)
    this.begin()
  }

  next(): number {
    const { world, options } = this
    const depth = world.history.length
    if (world.isBroken) return FAILED
    if (depth >= options.maxSteps) return TOO_LONG
    const must = world.enabled()
    const may = world.optional()
    if (must === 0) return this.pick(timersIn(world, may))
    if (may !== 0 && this.random(this.rarity) === 0) return this.pick(may)
    if (options.mode === 'random') return this.pick(must)
    const first = this.highest(must)
    if (!this.changes.includes(depth)) return first
    this.priorities[first] = --this.floor
    return this.highest(must)
  }

  /** Draws the next execution. Takes the world back to its start. */
  begin(): void {
    const { world, options, random } = this
    this.longest = Math.max(this.longest, world.history.length)
    takeBack(world, 0)
    this.rarity = Math.max(4, this.longest)
    this.floor = 0
    this.priorities = []
    this.changes = Array.from({ length: options.depth - 1 }, () => random(this.longest))
  }

  private highest(mask: number): number {
    let best = -1
    for (let rest = mask; rest !== 0; rest &= rest - 1) {
      const id = lowest(rest)
      this.priorities[id] ??= 1 + this.random(1 << 20)
      if (best < 0 || this.priorities[id] > (this.priorities[best] as number)) best = id
    }
    return best
  }

  private pick(mask: number): number {
    let bits = 0
    for (let rest = mask; rest !== 0; rest &= rest - 1) bits++
    if (bits === 0) return END
    let rest = mask
    for (let skip = this.random(bits); skip > 0; skip--) rest &= rest - 1
    return lowest(rest)
  }
}
