/**
 * The traces of each process of a test, for every sequence of values that its loads could read.
 *
 * To find the values that a variable may hold, the processes run again and again, each time with
 * the values written so far, until nothing new is written. So no value comes out of thin air.
 */
import { LitmusError, LitmusLimitError } from './errors.js'
import { modified, runProcess, variableAt, type Processor } from './evaluate.js'
import type { AccessOrder, LitmusProcess, LitmusTest, Modification } from './syntax.js'

export type EventKind =
  | 'load'
  | 'store'
  | 'modify'
  | 'fence'
  | 'membarrier begin'
  | 'membarrier end'
  | 'rcu lock'
  | 'rcu unlock'
  | 'rcu begin'
  | 'rcu end'
  | 'srcu lock'
  | 'srcu unlock'
  | 'srcu begin'
  | 'srcu end'

export interface LitmusEvent {
  readonly kind: EventKind
  /** Number of the variable, or of the SRCU domain; -1 for none. */
  readonly variable: number
  readonly isAtomic: boolean
  readonly read: number
  readonly wrote: number
  /** The value that srcu_read_lock returned, or that srcu_read_unlock was given. */
  readonly cookie: number
}

/** One process, run to its end with certain values. */
export interface ProcessTrace {
  readonly events: readonly LitmusEvent[]
  readonly registers: readonly number[]
  /** The reason why it ended early, if it did: it followed a value that is no address. */
  readonly fault: string | undefined
}

export interface TraceOptions {
  /** The accesses that READ_ONCE and WRITE_ONCE are. */
  readonly once: 'atomic' | 'plain'
  /** The most traces of one process. */
  readonly limit: number
}

/** The traces of every process, and the values that each variable may hold. */
export interface Traces {
  readonly processes: readonly (readonly ProcessTrace[])[]
  readonly values: readonly ReadonlySet<number>[]
}

/**
 * Finds the traces.
 *
 * @throws LitmusLimitError if a process has more traces than the limit
 */
export function tracesOf(test: LitmusTest, options: TraceOptions): Traces {
  const values = test.variables.map(({ initial }) => new Set([initial]))
  for (let round = 0; ; round++) {
    const processes = test.processes.map((process) => processTraces(test, process, values, options))
    // A value depends on at most as many stores, one after another, as an execution has.
    const stores = processes.reduce((sum, traces) => sum + mostStores(traces), 0)
    if (!addValues(values, processes) || round > stores) return { processes, values }
  }
}

function mostStores(traces: readonly ProcessTrace[]): number {
  const count = ({ events }: ProcessTrace) =>
    events.filter(({ kind }) => kind === 'store' || kind === 'modify').length
  return traces.reduce((most, trace) => Math.max(most, count(trace)), 0)
}

/** Adds the values that the traces write; returns whether there was a new one. */
function addValues(values: readonly Set<number>[], processes: readonly (readonly ProcessTrace[])[]): boolean {
  let grew = false
  for (const { kind, variable, wrote } of processes.flat().flatMap(({ events }) => events)) {
    const known = values[variable]
    if ((kind !== 'store' && kind !== 'modify') || known === undefined || known.has(wrote)) continue
    known.add(wrote)
    grew = true
  }
  return grew
}

/**
 * Ends a run that needs a value which is not chosen yet. There is one of it, because it is thrown
 * often.
 */
class NeedsValue extends Error {
  variable = 0
}
const needsValue = new NeedsValue('a load needs a value')

function processTraces(
  test: LitmusTest,
  process: LitmusProcess,
  values: readonly ReadonlySet<number>[],
  options: TraceOptions,
): ProcessTrace[] {
  const traces: ProcessTrace[] = []
  const explore = (oracle: readonly number[]) => {
    const recorder = new Recorder(test, process.number, options.once, oracle)
    const outcome = runOnce(test, process, recorder)
    if (outcome instanceof NeedsValue) {
      const { variable } = outcome
      for (const value of values[variable] ?? []) explore([...oracle, value])
      return
    }
    if (traces.push(outcome) > options.limit)
      throw new LitmusLimitError(
        `P${process.number} of ${test.name} can do more than ${options.limit} things`,
        {
          test: test.name,
          process: process.number,
          limit: options.limit,
        },
      )
  }
  explore([])
  return traces
}

function runOnce(test: LitmusTest, process: LitmusProcess, recorder: Recorder): ProcessTrace | NeedsValue {
  try {
    const registers = runProcess(test, process, recorder)
    return { events: recorder.events, registers, fault: undefined }
  } catch (error) {
    if (error instanceof NeedsValue) return error
    if (!(error instanceof LitmusError)) throw error
    const registers = process.registers.map(() => 0)
    return { events: recorder.events, registers, fault: error.message }
  }
}

/** The first cookie of SRCU read sections. They are unique in an execution, and no other values. */
const COOKIE = 0x2000_0000

class Recorder implements Processor {
  readonly events: LitmusEvent[] = []
  readonly #test: LitmusTest
  readonly #process: number
  readonly #once: 'atomic' | 'plain'
  readonly #oracle: readonly number[]
  #reads = 0
  #sections = 0

  constructor(test: LitmusTest, process: number, once: 'atomic' | 'plain', oracle: readonly number[]) {
    this.#test = test
    this.#process = process
    this.#once = once
    this.#oracle = oracle
  }

  load(address: number, order: AccessOrder): number {
    const variable = variableAt(this.#test, address)
    const read = this.#choose(variable)
    this.#record('load', { variable, isAtomic: this.#isAtomic(order), read })
    return read
  }
  store(address: number, value: number, order: AccessOrder): void {
    const variable = variableAt(this.#test, address)
    this.#record('store', { variable, isAtomic: this.#isAtomic(order), wrote: value })
  }
  modify(address: number, modification: Modification, operand: number, expected: number): number {
    const variable = variableAt(this.#test, address)
    const read = this.#choose(variable)
    const wrote = modified(modification, read, operand, expected)
    this.#record('modify', { variable, isAtomic: true, read, wrote })
    return read
  }
  fence(): void {
    this.#record('fence')
  }
  membarrier(): void {
    this.#record('membarrier begin')
    this.#record('membarrier end')
  }
  lock(address: number): void {
    this.#record('modify', { variable: variableAt(this.#test, address), isAtomic: true, read: 0, wrote: 1 })
  }
  unlock(address: number): void {
    this.#record('store', { variable: variableAt(this.#test, address), isAtomic: true, wrote: 0 })
  }
  rcuReadLock(): void {
    this.#record('rcu lock')
  }
  rcuReadUnlock(): void {
    this.#record('rcu unlock')
  }
  synchronizeRcu(): void {
    this.#record('rcu begin')
    this.#record('rcu end')
  }
  srcuReadLock(domain: number): number {
    const cookie = COOKIE + this.#process * 256 + this.#sections++
    this.#record('srcu lock', { variable: variableAt(this.#test, domain), cookie })
    return cookie
  }
  srcuReadUnlock(domain: number, cookie: number): void {
    this.#record('srcu unlock', { variable: variableAt(this.#test, domain), cookie })
  }
  /** For the axioms a section is the same, whoever ends it. */
  srcuDownRead(domain: number): number {
    return this.srcuReadLock(domain)
  }
  srcuUpRead(domain: number, cookie: number): void {
    this.srcuReadUnlock(domain, cookie)
  }
  synchronizeSrcu(domain: number): void {
    const variable = variableAt(this.#test, domain)
    this.#record('srcu begin', { variable })
    this.#record('srcu end', { variable })
  }

  #isAtomic(order: AccessOrder): boolean {
    return (order === 'once' ? this.#once : order) === 'atomic'
  }
  #choose(variable: number): number {
    const value = this.#oracle[this.#reads++]
    if (value !== undefined) return value
    needsValue.variable = variable
    throw needsValue
  }
  #record(kind: EventKind, fields: Partial<LitmusEvent> = {}): void {
    this.events.push({ kind, variable: -1, isAtomic: false, read: 0, wrote: 0, cookie: 0, ...fields })
  }
}
