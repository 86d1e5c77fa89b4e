/**
 * Whether the memory model of ECMAScript, with grace periods added, allows one candidate execution.
 *
 * A candidate says what each process did and which values it read. It is allowed if there are a
 * write for each read to read from, and a memory order, such that
 * - happens-before has no cycle. It is the transitive closure of each process's own order, of
 *   _synchronizes-with_ (an atomic read reads from an atomic write), of the initial values before
 *   everything, and of the pairs that barriers and grace periods add (sections.ts);
 * - reads are coherent. No read reads from a write that it happens before. And no read reads from a
 *   write that is overwritten by another one which happens before the read;
 * - there is a total order of all events that contains happens-before. Where R reads from W, no
 *   atomic write V of the same word stands between the two in it, if W synchronizes with R, or if W
 *   is atomic and W and V happen before R, or if R is atomic and W happens before R and V.
 *
 * That is the specification's definition (ECMA-262, "Memory Model") for words of one width.
 */
import { Relation, settle, type Choice } from './relation.js'
import { orderingsOf, type Orderings, type PlacedEvent } from './sections.js'
import type { LitmusEvent, ProcessTrace } from './traces.js'

/** The event that writes all initial values. */
const INIT = 0

/** The doings of every process, and the values found in memory at the end. */
export interface Candidate {
  readonly initial: readonly number[]
  readonly traces: readonly ProcessTrace[]
  /** The variables that are read after all processes have ended, and the values found. */
  readonly finally: readonly { readonly variable: number; readonly value: number }[]
}

export interface Judgement {
  readonly isAllowed: boolean
  /**
   * Whether accesses of two processes race in an allowed execution. Known only if all were asked
   * for.
   */
  readonly hasRace: boolean
  readonly misuse: readonly string[]
}

/** The number of attempts left, for all candidates of a test together. */
export interface Effort {
  left: number
}
/** No attempts are left. */
export class EffortSpent extends Error {}

/**
 * Finds out whether the candidate is allowed. With `all` it looks at each way in which it is, for
 * races.
 *
 * @throws EffortSpent
 */
export function judgeCandidate(candidate: Candidate, all: boolean, effort: Effort): Judgement {
  const execution = new Execution(candidate, all, effort)
  const isAllowed = execution.isAllowed()
  return { isAllowed, hasRace: execution.hasRace, misuse: execution.orderings.misuse }
}

class Execution {
  hasRace = false
  readonly orderings: Orderings
  readonly #all: boolean
  readonly #effort: Effort
  readonly #initial: readonly number[]
  readonly #events: PlacedEvent[] = []
  readonly #order: Relation
  /** Writers of each variable, without the initial one. */
  readonly #writers = new Map<number, PlacedEvent[]>()
  readonly #readers: PlacedEvent[] = []
  /**
   * The write that each read reads from, by the read's id; undefined for reads without a choice
   * yet.
   */
  readonly #readsFrom: (number | undefined)[] = []
  #found = false

  constructor(candidate: Candidate, all: boolean, effort: Effort) {
    this.#all = all
    this.#effort = effort
    this.#initial = candidate.initial
    const none = { variable: -1, isAtomic: false, read: 0, wrote: 0, cookie: 0 }
    this.#events.push({ ...none, kind: 'store', id: INIT, process: -1 })
    candidate.traces.forEach((trace, process) => this.#place(trace.events, process))
    this.#place(this.#finalReads(candidate), candidate.traces.length)
    this.#order = this.#agentOrder(candidate.traces.length)
    for (const event of this.#events.slice(1)) {
      const { kind, variable } = event
      if (kind === 'load' || kind === 'modify') this.#readers.push(event)
      if (kind === 'store' || kind === 'modify')
        this.#writers.set(variable, [...(this.#writers.get(variable) ?? []), event])
    }
    this.orderings = orderingsOf(this.#events)
  }

  isAllowed(): boolean {
    this.#chooseWrites(0, this.#order)
    return this.#found
  }

  #place(events: readonly LitmusEvent[], process: number): void {
    for (const event of events) this.#events.push({ ...event, id: this.#events.length, process })
  }

  /**
   * The reads of a thread that has waited for all others. They are atomic for words with atomic
   * operations.
   */
  #finalReads(candidate: Candidate): LitmusEvent[] {
    return candidate.finally.map(({ variable, value }) => {
      const isAtomic = this.#events.some((event) => event.variable === variable && event.isAtomic)
      return { kind: 'load', variable, isAtomic, read: value, wrote: 0, cookie: 0 }
    })
  }

  /** Each process's own order, after the initial values and before the final reads. */
  #agentOrder(observer: number): Relation {
    const order = new Relation(this.#events.length)
    const first = this.#events.find(({ process }) => process === observer)
    // It goes from the last event to the first, so that each pair adds one row to few others.
    for (const { id, process } of [...this.#events].reverse()) {
      if (id === INIT) continue
      const next = this.#events[id + 1]
      if (next?.process === process) order.add(id, next.id)
      else if (process !== observer && first !== undefined) order.add(id, first.id)
      if (this.#events[id - 1]?.process !== process) order.add(INIT, id)
    }
    return order
  }

  /**
   * Chooses a write for each read from the `next` on, in all ways. True as soon as nothing more is
   * to be found.
   */
  #chooseWrites(next: number, order: Relation): boolean {
    const read = this.#readers[next]
    if (read === undefined)
      return settle(
        order,
        this.orderings.choices,
        (settled) => this.#accept(settled),
        (partial) => this.#isCoherent(partial),
      )
    const sources = (this.#writers.get(read.variable) ?? []).filter(({ wrote }) => wrote === read.read)
    const init = this.#events[INIT]
    if (this.#initial[read.variable] === read.read && init !== undefined) sources.push(init)
    for (const write of sources) {
      const extended = order.clone()
      if (order.has(read.id, write.id)) continue
      if (write.isAtomic && read.isAtomic && !extended.add(write.id, read.id)) continue
      this.#readsFrom[read.id] = write.id
      if (this.#isCoherent(extended) && this.#chooseWrites(next + 1, extended)) return true
    }
    this.#readsFrom[read.id] = undefined
    return false
  }

  #isCoherent(order: Relation): boolean {
    if (this.#effort.left-- <= 0) throw new EffortSpent()
    return this.#readers.every(({ id, variable }) => {
      const from = this.#readsFrom[id]
      if (from === undefined) return true
      if (order.has(id, from)) return false
      return !(this.#writers.get(variable) ?? []).some(
        (write) => order.has(from, write.id) && order.has(write.id, id),
      )
    })
  }

  /** Looks for a memory order. True if the search is over. */
  #accept(order: Relation): boolean {
    if (!settle(order.clone(), this.#memoryOrderChoices(order), () => true)) return false
    this.#found = true
    this.hasRace ||= this.#races(order)
    return !this.#all || this.hasRace
  }

  #memoryOrderChoices(order: Relation): Choice[] {
    const choices: Choice[] = []
    for (const { id: read, variable, isAtomic } of this.#readers) {
      const from = this.#readsFrom[read] ?? INIT
      const isFromAtomic = this.#events[from]?.isAtomic ?? false
      for (const { id: other, isAtomic: isOtherAtomic } of this.#writers.get(variable) ?? []) {
        if (!isOtherAtomic || other === from || other === read) continue
        const before = order.has(from, read)
        if (
          (isFromAtomic && isAtomic) ||
          (before && order.has(other, read) && isFromAtomic) ||
          (before && order.has(from, other) && isAtomic)
        )
          choices.push({ from: other, to: from, orFrom: read, orTo: other })
      }
    }
    return choices
  }

  #races(order: Relation): boolean {
    const accesses = this.#events.filter(({ kind }) => /^(load|store|modify)$/.test(kind)).slice(1)
    return accesses.some((first, index) =>
      accesses
        .slice(index + 1)
        .some(
          (second) =>
            first.variable === second.variable &&
            first.process !== second.process &&
            !(first.kind === 'load' && second.kind === 'load') &&
            !(first.isAtomic && second.isAtomic) &&
            !order.has(first.id, second.id) &&
            !order.has(second.id, first.id),
        ),
    )
  }
}
