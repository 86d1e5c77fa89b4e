/**
 * The states in which a litmus test may end under the memory model of ECMAScript. They are
 * enumerated, not sampled, and exact, also for the values found in memory at the end.
 *
 * RCU and SRCU are known by their promises (sections.ts). So the states say what users of an
 * implementation can rely on; the exploration (run.ts) says whether an implementation keeps its
 * promises. Values out of thin air are left out.
 */
import { LitmusLimitError } from './errors.js'
import { EffortSpent, judgeCandidate, type Candidate, type Effort, type Judgement } from './execution.js'
import { holds, type LitmusTest, type Verdict } from './syntax.js'
import { tracesOf, type ProcessTrace } from './traces.js'

export interface AxiomaticOptions {
  /** The accesses that READ_ONCE and WRITE_ONCE are. Default: 'atomic'. */
  readonly once?: 'atomic' | 'plain'
  /**
   * The most combinations of values to look at, and the most orders of grace periods to try.
   * Default: 2,000,000.
   */
  readonly limit?: number
  /** Whether to look for data races in every execution, which takes longer. Default: false. */
  readonly races?: boolean
  /**
   * Whether to leave out states that cannot change the verdict: `states` is then not complete.
   * Default: false.
   */
  readonly verdictOnly?: boolean
}

export interface FinalState {
  /** Values of the test's observables, in their order. */
  readonly values: readonly number[]
  /** Whether the proposition of the test's condition holds. */
  readonly satisfies: boolean
}

export interface AxiomaticResult {
  /** Says in which of the states the proposition holds. 'Deadlock' if no execution ends. */
  readonly verdict: Verdict
  readonly states: readonly FinalState[]
  /** The number of combinations of values that were looked at. */
  readonly candidates: number
  /** Misuse, such as `srcu-bad-nesting`, and the reasons why processes could not go on. */
  readonly flags: readonly string[]
  /** Whether an execution has a data race; undefined if that was not asked for. */
  readonly races: boolean | undefined
}

/**
 * Enumerates the states.
 *
 * @throws LitmusLimitError if there are more candidates than the limit
 */
export function allowedStates(test: LitmusTest, options: AxiomaticOptions = {}): AxiomaticResult {
  return new Enumeration(test, options).run()
}

/** The verdict on all states of a test. */
export function verdictOn(states: readonly FinalState[], isFiltered: boolean): Verdict {
  if (states.length === 0) return isFiltered ? 'Never' : 'Deadlock'
  const satisfying = states.filter(({ satisfies }) => satisfies).length
  if (satisfying === 0) return 'Never'
  return satisfying === states.length ? 'Always' : 'Sometimes'
}

/**
 * The most traces of one process. More of them would not combine with another process's within any
 * limit.
 */
const MOST_TRACES = 100_000

class Enumeration {
  readonly #test: LitmusTest
  readonly #limit: number
  readonly #all: boolean
  readonly #verdictOnly: boolean
  readonly #effort: Effort
  readonly #traces: readonly (readonly ProcessTrace[])[]
  readonly #values: readonly ReadonlySet<number>[]
  /** Variables whose final values are asked for. */
  readonly #final: readonly number[]
  readonly #states = new Map<string, FinalState>()
  readonly #flags = new Set<string>()
  /** Whether states were found that satisfy the proposition, and whether some that do not. */
  readonly #seen = new Set<boolean>()
  #candidates = 0
  #hasRace = false

  constructor(test: LitmusTest, options: AxiomaticOptions) {
    const { once = 'atomic', limit = 2_000_000, races = false, verdictOnly = false } = options
    this.#verdictOnly = verdictOnly
    this.#test = test
    this.#limit = limit
    this.#effort = { left: limit }
    this.#all = races
    const { processes, values } = tracesOf(test, { once, limit: Math.min(limit, MOST_TRACES) })
    this.#traces = processes
    this.#values = values
    this.#final = test.observables.flatMap((seen) => (seen.kind === 'variable' ? [seen.variable] : []))
  }

  run(): AxiomaticResult {
    this.#combine([])
    const states = [...this.#states.values()]
    return {
      verdict: verdictOn(states, this.#test.filter !== undefined),
      states,
      candidates: this.#candidates,
      flags: [...this.#flags],
      races: this.#all ? this.#hasRace : undefined,
    }
  }

  #combine(chosen: readonly ProcessTrace[]): void {
    const traces = this.#traces[chosen.length]
    if (traces === undefined) this.#finish(chosen, [])
    else for (const trace of traces) this.#combine([...chosen, trace])
  }

  #finish(traces: readonly ProcessTrace[], finalValues: readonly number[]): void {
    const variable = this.#final[finalValues.length]
    if (variable !== undefined) {
      for (const value of this.#values[variable] ?? []) this.#finish(traces, [...finalValues, value])
      return
    }
    if (++this.#candidates > this.#limit) throw this.#tooLarge()
    const values = this.#observe(traces, finalValues)
    const { filter, proposition } = this.#test
    const key = values.join()
    if (
      !this.#all &&
      (this.#verdictOnly ? this.#seen.has(holds(proposition, values)) : this.#states.has(key))
    )
      return
    if (filter !== undefined && !holds(filter, values)) return
    if (!this.#isJustified(traces, finalValues)) return
    const candidate = {
      initial: this.#test.variables.map(({ initial }) => initial),
      traces,
      finally: this.#final.map((read, index) => ({ variable: read, value: finalValues[index] ?? 0 })),
    }
    if (!this.#judge(candidate)) return
    const satisfies = holds(proposition, values)
    this.#states.set(key, { values, satisfies })
    this.#seen.add(satisfies)
  }

  #observe(traces: readonly ProcessTrace[], finalValues: readonly number[]): number[] {
    let next = 0
    return this.#test.observables.map((seen) => {
      if (seen.kind === 'variable') return finalValues[next++] ?? 0
      const register = this.#test.processes[seen.process]?.registers.indexOf(seen.register) ?? -1
      return traces[seen.process]?.registers[register] ?? 0
    })
  }

  /** Whether every value that is read is an initial one or is written by somebody. */
  #isJustified(traces: readonly ProcessTrace[], finalValues: readonly number[]): boolean {
    const written = this.#test.variables.map(({ initial }) => new Set([initial]))
    for (const { events } of traces)
      for (const { kind, variable, wrote } of events)
        if (kind === 'store' || kind === 'modify') written[variable]?.add(wrote)
    return (
      this.#final.every((variable, index) => written[variable]?.has(finalValues[index] ?? 0)) &&
      traces.every(({ events }) =>
        events.every(
          ({ kind, variable, read }) =>
            (kind !== 'load' && kind !== 'modify') || written[variable]?.has(read) === true,
        ),
      )
    )
  }

  #judge(candidate: Candidate): boolean {
    const { isAllowed, hasRace, misuse } = this.#judgement(candidate)
    if (!isAllowed) return false
    this.#hasRace ||= hasRace
    for (const flag of misuse) this.#flags.add(flag)
    for (const { fault } of candidate.traces) if (fault !== undefined) this.#flags.add(fault)
    return true
  }

  #judgement(candidate: Candidate): Judgement {
    try {
      return judgeCandidate(candidate, this.#all, this.#effort)
    } catch (error) {
      if (error instanceof EffortSpent) throw this.#tooLarge()
      throw error
    }
  }

  #tooLarge(): LitmusLimitError {
    const { name } = this.#test
    return new LitmusLimitError(`${name} has more candidate executions than the limit, ${this.#limit}`, {
      test: name,
      limit: this.#limit,
    })
  }
}
