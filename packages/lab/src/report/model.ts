/**
 * The events as both diagrams draw them: the column, the handlers around it, the write that it saw,
 * and whether it is the failure. They are computed from a {@link Trace} and nothing else. It may be
 * any trace, also one broken off in the middle of a handler.
 */
import type { Trace, TraceEvent, TraceProcess } from '../trace.js'
import { describe, failed, place } from './words.js'

/** The reason why an event is marked. */
export type Mark = 'first' | 'second' | 'failure' | 'stuck'

export interface Item {
  readonly event: TraceEvent
  readonly process: TraceProcess
  /** Index into {@link Model.cpus}. */
  readonly column: number
  /**
   * The number of handlers around it on its CPU. `enter` and `leave` have the depth of the process
   * that they interrupt.
   */
  readonly depth: number
  /** The number of handlers under way on its CPU after it. */
  readonly after: number
  /** Whether it is the first event in a row of a process that has no `enter`: a reaper, a timer. */
  readonly begins: boolean
  readonly text: string
  readonly place: string
  /**
   * Index of the event whose write it read. -1 for the initial value, undefined if it reads none.
   */
  readonly saw: number | undefined
  /** Whether it read a value older than the newest. */
  readonly stale: boolean
  readonly mark: Mark | undefined
}

export interface Model {
  /** Numbers of the CPUs, ascending: the columns. */
  readonly cpus: readonly number[]
  readonly items: readonly Item[]
  /** The deepest nesting of each column. */
  readonly depths: readonly number[]
}

const readers = new Set([
  'load',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
  'copyOut',
  'spin',
  'wait',
])
const writers = new Set([
  'store',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
  'fill',
  'copyIn',
])

/** Whether the event changes memory: a failed compareExchange does not. */
export function writes(event: TraceEvent): boolean {
  return writers.has(event.name) && !failed(event)
}

export function reads(event: TraceEvent): boolean {
  return readers.has(event.name)
}

/**
 * The identity of a word in a trace. Two memories may have the same addresses, but not the same
 * names.
 */
export function wordKey(event: TraceEvent): string | undefined {
  if (event.address === undefined && event.word === undefined) return undefined
  return `${event.word ?? ''}@${event.address ?? ''}`
}

export function modelOf(trace: Trace): Model {
  const processes = new Map(trace.processes.map((process) => [process.id, process]))
  const processOf = (event: TraceEvent): TraceProcess =>
    processes.get(event.process) ?? {
      id: event.process,
      name: `process ${event.process}`,
      kind: 'cpu',
      cpu: 0,
    }
  const cpus = [...new Set([...trace.processes, ...trace.events.map(processOf)].map(({ cpu }) => cpu))].sort(
    (left, right) => left - right,
  )
  const depths = cpus.map(() => 0)
  const nesting = new Nesting(cpus.length)
  const lastWrites = new Map<string, number>()
  const steps = new Map(trace.events.map(({ step }, index) => [step, index]))
  const marks = marksOf(trace)
  const ended = endsOf(trace)
  const items = trace.events.map((event, index): Item => {
    const process = processOf(event)
    const column = cpus.indexOf(process.cpu)
    const { depth, begins } = nesting.place(column, event, process)
    if (ended(index)) nesting.end(column, process)
    const after = nesting.depth(column)
    const inside = event.name === 'enter' || event.name === 'leave' || process.kind !== 'cpu' ? 1 : 0
    depths[column] = Math.max(depths[column] ?? 0, depth, inside)
    const key = wordKey(event)
    const newest = key === undefined ? -1 : (lastWrites.get(key) ?? -1)
    const from = event.readFrom === undefined ? newest : (steps.get(event.readFrom) ?? -1)
    if (key !== undefined && writes(event)) lastWrites.set(key, index)
    return {
      event,
      process,
      column,
      depth,
      after,
      begins,
      text: describe(event, process),
      place: place(event),
      saw: key !== undefined && reads(event) ? from : undefined,
      stale: event.readFrom !== undefined && from !== newest,
      mark: marks.get(event.step),
    }
  })
  return { cpus, items, depths }
}

/**
 * Tells the last events of handlers that ended without a `leave`: others have events after it, and
 * the handler neither waits nor is killed.
 */
function endsOf({ events, processes, failure }: Trace): (index: number) => boolean {
  const waits = new Set(failure?.stuck.map(({ process }) => process))
  const cpuOf = new Map(processes.map(({ id, cpu }) => [id, cpu]))
  const killed = new Set(events.flatMap(({ name, process }) => (name === 'kill' ? cpuOf.get(process) : [])))
  const handlers = processes.filter(
    ({ id, kind, cpu }) => kind === 'irq' && !waits.has(id) && !killed.has(cpu),
  )
  const last = new Set(handlers.map(({ id }) => events.findLastIndex(({ process }) => process === id)))
  return (index) => index < events.length - 1 && last.has(index) && events[index]?.name !== 'leave'
}

/** The handlers under way on each CPU. */
class Nesting {
  readonly #stacks: number[][]
  readonly #latest: (number | undefined)[]

  constructor(columns: number) {
    this.#stacks = Array.from({ length: columns }, () => [])
    this.#latest = Array.from({ length: columns }, () => undefined)
  }

  depth(column: number): number {
    return this.#stacks[column]?.length ?? 0
  }

  end(column: number, { id }: TraceProcess): void {
    const stack = this.#stacks[column] ?? []
    const at = stack.lastIndexOf(id)
    if (at >= 0) stack.splice(at)
  }

  /** The depth of the next event of a column. */
  place(column: number, event: TraceEvent, process: TraceProcess): { depth: number; begins: boolean } {
    const stack = this.#stacks[column] ?? []
    const before = this.#latest[column]
    this.#latest[column] = process.id
    if (event.name === 'enter') return { depth: stack.push(process.id) - 1, begins: false }
    if (event.name === 'leave') {
      stack.pop()
      return { depth: stack.length, begins: false }
    }
    if (event.name === 'kill') return { depth: stack.splice(0).length, begins: false }
    const at = stack.lastIndexOf(process.id)
    // Handlers above the code that goes on have ended, also without an event that says so.
    if (at >= 0 || process.kind === 'cpu') stack.splice(at + 1)
    if (at >= 0) return { depth: at + 1, begins: false }
    if (process.kind === 'cpu' || process.kind === 'kill' || process.kind === 'timer')
      return { depth: process.kind === 'cpu' ? 0 : stack.length, begins: false }
    // It is a reaper, or a handler whose beginning is not in the trace.
    return { depth: stack.length + 1, begins: before !== process.id }
  }
}

function marksOf(trace: Trace): Map<number, Mark> {
  const marks = new Map<number, Mark>()
  const { failure } = trace
  if (failure === undefined) return marks
  for (const { process } of failure.stuck) {
    const last = trace.events.findLast((event) => event.process === process)
    if (last) marks.set(last.step, 'stuck')
  }
  if (failure.race) {
    marks.set(failure.race.first, 'first')
    marks.set(failure.race.second, 'second')
  } else if (failure.stuck.length === 0 && failure.kind !== 'execution count') {
    const last = trace.events.at(-1)
    if (last) marks.set(last.step, 'failure')
  }
  return marks
}
