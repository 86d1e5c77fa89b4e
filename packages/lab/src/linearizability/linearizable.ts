/**
 * Whether a history is linearizable: whether each call can be given a moment between its beginning
 * and its end, so that the calls, made one after another at these moments, give what they gave.
 *
 * Source: Herlihy and Wing, Linearizability: A Correctness Condition for Concurrent Objects (1990).
 * The search is that of Wing and Gong, Testing and Verifying Concurrent Objects (1993), with the
 * memory of Lowe, Testing for Linearizability (2017): a set of calls that leads to a state which
 * the same set has led to before need not be looked at again. By Herlihy and Wing's theorem of
 * locality, calls that concern different objects, such as keys, are checked apart.
 *
 * Cost: exponential in the number of calls that overlap, linear in the length of the history.
 */
import { inspect } from 'node:util'
import { checkOptions, ScenarioError, aFunction, wholeFrom } from '../check.js'
import { explain } from './explain.js'
import { checkHistory, type Call } from './history.js'
import { initialState, type Specification, type State } from './specification.js'

export interface LinearizabilityOptions {
  /**
   * What a call concerns, such as a key: calls that give different values do not concern each
   * other, and each value, which is a primitive one, has a specified object of its own. Default:
   * all calls concern the same.
   */
  readonly key?: (call: Call) => unknown
  /**
   * Methods that never change the state, such as `['get', 'has']`. A call of one comes at once
   * where it can, which spares the search most of its work where many overlap. Default: none.
   */
  readonly queries?: readonly string[]
  /** The most states to look at. Default 1,000,000. */
  readonly maxStates?: number
}

/** The history cannot be explained by calls that take effect one after another. */
export class NotLinearizableError extends Error {
  readonly code = 'LAB_NOT_LINEARIZABLE'
  override readonly name = 'NotLinearizableError'
  constructor(
    message: string,
    /** The calls that concern what went wrong, by their beginnings. */
    readonly history: readonly Call[],
    /** The longest order that explains the calls in it. */
    readonly longest: readonly Call[],
  ) {
    super(message)
  }
}

/**
 * Checks a history against a sequential specification. Gives an order, for each key, in which the
 * calls can have taken effect; calls that were cut off are in it only where they are needed.
 *
 * @throws NotLinearizableError if there is none
 * @throws ScenarioError if the search has looked at `maxStates` states, or for a history, a
 *   specification or options that cannot be
 */
export function checkLinearizability(
  history: readonly Call[],
  specification: Specification,
  options: LinearizabilityOptions = {},
): Call[][] {
  checkOptions('checkLinearizability', options, { key: aFunction, queries: names, maxStates: wholeFrom(1) })
  checkHistory(history)
  const { key = () => undefined, queries = [], maxStates = 1_000_000 } = options
  const parts = new Map<unknown, Call[]>()
  for (const call of history) {
    const value = key(call)
    if (Object(value) === value)
      throw new ScenarioError(`key: ${inspect(value)} of a call of ${call.method} is no primitive value`)
    const part = parts.get(value)
    if (part) part.push(call)
    else parts.set(value, [call])
  }
  return [...parts].map(([value, calls]) => {
    const search = new Search(calls, initialState(specification), new Set(queries), maxStates)
    if (search.run()) return search.order()
    const about = value === undefined ? 'the history' : `the history of ${inspect(value)}`
    const longest = search.longest()
    const message = `${about} is not linearizable\n${explain(calls, longest, stateAfter(specification, longest))}`
    throw new NotLinearizableError(message, byBeginning(calls), longest)
  })
}

function stateAfter(specification: Specification, calls: readonly Call[]): State {
  let state = initialState(specification)
  for (const call of calls) state = state.after(call) ?? state
  return state
}

function byBeginning(calls: readonly Call[]): Call[] {
  return [...calls].sort((a, b) => a.began - b.began)
}

/** The beginning of a call, or its end. They form a list in the order of time. */
interface Entry {
  readonly call: Call
  /** The call's number: calls are numbered by their beginnings. */
  readonly number: number
  /** Of a beginning: the end, undefined if the call was cut off. */
  readonly end: Entry | undefined
  readonly isEnd: boolean
  before: Entry | undefined
  after: Entry | undefined
}

/** A call of the order so far, and what was before it. */
interface Taken {
  readonly entry: Entry
  readonly state: State
  readonly newest: number
  /** Then nothing is gained by another call in its place. */
  readonly isQuery: boolean
}

class Search {
  readonly #head: Entry
  readonly #stack: Taken[] = []
  readonly #seen = new Set<string>()
  readonly #queries: ReadonlySet<string>
  readonly #maxStates: number
  #state: State
  /** The highest number of a call in the order. */
  #newest = -1
  /** Calls with an end that are not in the order yet. */
  #missing: number
  #longest: readonly Call[] = []

  constructor(calls: readonly Call[], state: State, queries: ReadonlySet<string>, maxStates: number) {
    this.#queries = queries
    this.#head = listOf(calls)
    this.#missing = calls.filter(({ ended }) => ended !== undefined).length
    this.#state = state
    this.#maxStates = maxStates
  }

  /** Whether there is an order. */
  run(): boolean {
    let entry = this.#head.after
    while (this.#missing > 0) {
      // What comes after an end cannot come before its call. So all choices were tried here.
      if (entry === undefined || entry.isEnd) {
        if (this.#stack.length > this.#longest.length) this.#longest = this.order()
        const last = this.#stack.pop()
        if (last === undefined) return false
        entry = this.#putBack(last)
        continue
      }
      const state = this.#state.after(entry.call)
      if (state !== undefined && this.#isNew(entry, state)) {
        this.#take(entry, state)
        entry = this.#head.after
      } else entry = entry.after
    }
    return true
  }

  order(): Call[] {
    return this.#stack.map(({ entry }) => entry.call)
  }

  longest(): readonly Call[] {
    return this.#longest
  }

  /** Whether the calls so far and that of `entry` have not led to the state before. */
  #isNew(entry: Entry, state: State): boolean {
    const newest = Math.max(this.#newest, entry.number)
    let key = `${newest}`
    for (let other = this.#head.after; other; other = other.after) {
      if (!other.isEnd && other.number >= newest) break
      if (!other.isEnd && other !== entry) key += `,${other.number}`
    }
    key += `|${state.fingerprint}`
    if (this.#seen.has(key)) return false
    if (this.#seen.size >= this.#maxStates)
      throw new ScenarioError(
        `the history needs more than ${this.#maxStates} states: give a key, or shorten it`,
      )
    this.#seen.add(key)
    return true
  }

  #take(entry: Entry, state: State): void {
    const { method } = entry.call
    const isQuery = this.#queries.has(method)
    if (isQuery && state.fingerprint !== this.#state.fingerprint)
      throw new ScenarioError(`the specification's ${method}() is told to be a query, and changes the state`)
    this.#stack.push({ entry, state: this.#state, newest: this.#newest, isQuery })
    this.#state = state
    this.#newest = Math.max(this.#newest, entry.number)
    unlink(entry)
    if (entry.end !== undefined) {
      unlink(entry.end)
      this.#missing--
    }
  }

  /** Takes the newest call of the order out again; gives what to try instead, if anything. */
  #putBack({ entry, state, newest, isQuery }: Taken): Entry | undefined {
    this.#state = state
    this.#newest = newest
    if (entry.end !== undefined) {
      link(entry.end)
      this.#missing++
    }
    link(entry)
    return isQuery ? undefined : entry.after
  }
}

const names = [
  (value: unknown) => Array.isArray(value) && value.every((name) => typeof name === 'string'),
  'an array of names of methods',
] as const

/** Before the first entry. */
const nothing = {
  call: { thread: '', method: '', args: [], began: -Infinity },
  number: -1,
  end: undefined,
  isEnd: false,
}

/** Beginnings come before ends of the same time: such calls overlap. */
function listOf(calls: readonly Call[]): Entry {
  const entries: Entry[] = []
  const make = (entry: Omit<Entry, 'before' | 'after'>): Entry => {
    const made = { ...entry, before: undefined, after: undefined }
    entries.push(made)
    return made
  }
  byBeginning(calls).forEach((call, number) => {
    const isCutOff = call.ended === undefined
    const end = isCutOff ? undefined : make({ call, number, end: undefined, isEnd: true })
    make({ call, number, end, isEnd: false })
  })
  const timeOf = ({ call, isEnd }: Entry): number => (isEnd && call.ended ? call.ended.at : call.began)
  entries.sort((a, b) => timeOf(a) - timeOf(b) || Number(a.isEnd) - Number(b.isEnd))
  const head: Entry = { ...nothing, before: undefined, after: undefined }
  let last = head
  for (const entry of entries) {
    entry.before = last
    last.after = entry
    last = entry
  }
  return head
}

function unlink(entry: Entry): void {
  if (entry.before) entry.before.after = entry.after
  if (entry.after) entry.after.before = entry.before
}

/** Undoes the newest {@link unlink} that is not undone. */
function link(entry: Entry): void {
  if (entry.before) entry.before.after = entry
  if (entry.after) entry.after.before = entry
}
