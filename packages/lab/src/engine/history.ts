/**
 * The steps of the execution that is being built, one column per property, and how each step is
 * ordered with the others.
 *
 * Every step has two vector clocks. The clock of *dependence* counts processes: a step comes after
 * another one if swapping them could matter. The search (search/dpor.ts) is built on it. The clock
 * of *happens-before* counts agents: a CPU and its interrupt handlers are one agent. It follows the
 * memory model of ECMAScript: agent order, and an atomic write before an atomic access of the same
 * bytes that reads from it. The oracle of data races (ordering.ts) is built on it.
 *
 * The slot of a word in a {@link Shadow} holds the last step that touched the word. Each step
 * remembers which step the slot held before. So the accesses of a word form a list from the newest
 * to the oldest, and taking a step back takes one link off.
 */
import type { LabView } from './views.js'

/**
 * The most processes, and the most agents, of a world: clocks and the search's bit masks are so
 * wide.
 */
export const MAX_PROCESSES = 30
export const CLOCK = 32

/** Joins the clock at `from` into the one at `into`. */
export function join(clocks: Int32Array, into: number, from: number, width: number): void {
  for (let i = 0; i < width; i++) {
    const value = clocks[from + i] as number
    if (value > (clocks[into + i] as number)) clocks[into + i] = value
  }
}

/** Undoes what a step did beside its own access. */
export type Undo = () => void

export class History {
  /** Number of steps made so far. */
  length = 0
  process = new Int32Array(1024)
  /** The agent (CPU) whose code it is. */
  agent = new Int32Array(1024)
  /** 1 for the first step of its process. */
  sequence = new Int32Array(1024)
  agentSequence = new Int32Array(1024)
  code = new Int32Array(1024)
  index = new Int32Array(1024)
  view: (LabView | undefined)[] = []
  a: unknown[] = []
  b: unknown[] = []
  /** The word's value before the step, or the bytes of a range. */
  before: unknown[] = []
  /** What the step gave to its process. */
  result: unknown[] = []
  undo: (Undo | undefined)[] = []
  /**
   * The first word touched, the number of words, and the bytes touched of the first word. With
   * several words the bytes are those of each.
   */
  word = new Int32Array(1024)
  words = new Int32Array(1024)
  mask = new Int32Array(1024)
  /** The step from which an atomic or stale load reads, -1 for the initial value. */
  readFrom = new Int32Array(1024)
  /** Where the step's links begin. */
  link = new Int32Array(1024)
  dependence = new Int32Array(1024 * CLOCK)
  happened = new Int32Array(1024 * CLOCK)
  /** Number of the outcome that the step took, and of outcomes that there were. */
  outcome = new Int32Array(1024)
  outcomes = new Int32Array(1024)

  /** The step before it of the same process, and of the same agent; -1 for none. */
  previous = new Int32Array(1024)
  agentPrevious = new Int32Array(1024)
  /** A step that comes before this one in every execution, or -1. */
  cause = new Int32Array(1024)
  /** 1 if the step gave its process a value. */
  logged = new Int32Array(1024)
  /** 1 if `before` has to be put back. */
  changed = new Int32Array(1024)
  /** The word whose queue of waiters the step touched, or -1. */
  queue = new Int32Array(1024)

  links = new Int32Array(4096)
  linkCount = 0

  /** Makes room for one more step and returns its number. The caller fills the columns in. */
  append(): number {
    const step = this.length++
    if (step === this.process.length) this.grow()
    this.link[step] = this.linkCount
    this.undo[step] = undefined
    this.outcome[step] = 0
    this.outcomes[step] = 1
    this.readFrom[step] = -1
    this.changed[step] = 0
    this.queue[step] = -1
    return step
  }

  /** Puts `step` at the head of the list in slot `slot` of `heads`. */
  attach(step: number, heads: Int32Array, slot: number): void {
    if (this.linkCount === this.links.length) this.links = widen(this.links)
    this.links[this.linkCount++] = heads[slot] as number
    heads[slot] = step + 1
  }

  /** Takes the newest link off its list, which must be that of `heads[slot]`. */
  detach(heads: Int32Array, slot: number): void {
    heads[slot] = this.links[--this.linkCount] as number
  }

  private grow(): void {
    this.process = widen(this.process)
    this.agent = widen(this.agent)
    this.sequence = widen(this.sequence)
    this.agentSequence = widen(this.agentSequence)
    this.code = widen(this.code)
    this.index = widen(this.index)
    this.word = widen(this.word)
    this.words = widen(this.words)
    this.mask = widen(this.mask)
    this.readFrom = widen(this.readFrom)
    this.link = widen(this.link)
    this.dependence = widen(this.dependence)
    this.happened = widen(this.happened)
    this.previous = widen(this.previous)
    this.agentPrevious = widen(this.agentPrevious)
    this.cause = widen(this.cause)
    this.logged = widen(this.logged)
    this.changed = widen(this.changed)
    this.queue = widen(this.queue)
    this.outcome = widen(this.outcome)
    this.outcomes = widen(this.outcomes)
  }
}

function widen(column: Int32Array): Int32Array<ArrayBuffer> {
  const wide = new Int32Array(column.length * 2)
  wide.set(column)
  return wide
}
