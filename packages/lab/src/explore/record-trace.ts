/** Turns the steps of an execution into a {@link Trace}. */
import { bytesOf } from '../engine/footprint.js'
import {
  ATOMIC,
  CALL,
  CODE,
  CHOOSE,
  COMPARE_EXCHANGE,
  IPI,
  IPI_SYNC,
  LOAD,
  MASK,
  NOTIFY,
  RETURN,
  TURN,
  WAIT_ASYNC,
  WAKE,
  opNames,
  reads,
  writes,
} from '../engine/ops.js'
import type { Task } from '../engine/process.js'
import { BYTES } from '../engine/views.js'
import { isExpected, valueAt } from '../engine/access.js'
import type { World } from '../engine/world.js'
import type { Verdict } from '../oracles/verdict.js'
import { describeCall } from '../scenario/call-history.js'
import type { Names } from '../scenario/names.js'
import type { StackRecorder } from './stacks.js'
import type { DataRace, EventName, Trace, TraceEvent } from '../trace.js'

export function recordTrace(
  test: string,
  world: World,
  names: Names,
  schedule: string,
  verdict: Verdict,
  stacks: StackRecorder | undefined,
): Trace {
  const processes = world.processes.map(({ id, name, kind, cpu }) => ({ id, name, kind, cpu: cpu.number }))
  const events: TraceEvent[] = []
  for (const step of shownSteps(world, verdict)) events.push(eventOf(world, names, step, stacks))
  const race = verdict.kind === 'data race' ? raceOf(world, events) : undefined
  const failure = {
    kind: verdict.kind,
    message: race === undefined ? withPlace(verdict, world, events) : raceMessage(world, race, events),
    race,
    stuck: verdict.stuck ?? [],
  }
  return { test, processes, events, schedule, failure }
}

/** All steps, but for those that repeat others in an execution without an end. */
function shownSteps({ history }: World, { repeats }: Verdict): readonly number[] {
  const all = Array.from({ length: history.length }, (_, step) => step)
  if (repeats === undefined) return all
  return all.filter((step) => step <= repeats.to && (step < SHOWN || step >= repeats.from))
}
/** Steps of an execution without an end that are shown from its beginning. */
const SHOWN = 40

/** The message, with the place of the loop that has no end. */
function withPlace({ message, repeats }: Verdict, { history }: World, events: readonly TraceEvent[]): string {
  if (repeats === undefined || repeats.to === history.length - 1) return message
  const place = events.find(({ step }) => step === repeats.from)?.stack[0]
  return place === undefined ? message : `${message} The loop: ${place}`
}

function eventOf(world: World, names: Names, step: number, stacks: StackRecorder | undefined): TraceEvent {
  const { history } = world
  const code = history.code[step] as number
  const view = history.view[step]
  const index = history.index[step] as number
  const address = view === undefined ? undefined : view.form === BYTES ? index : index * 2 ** view.shift
  const described =
    view === undefined || address === undefined ? undefined : names.describe(view.shadow, address)
  const bytes = bytesOf({ view, code, index, a: history.a[step], b: history.b[step] })
  return {
    step,
    process: history.process[step] as number,
    name: nameOf(code, index),
    order:
      view === undefined || isCall(code)
        ? 'none'
        : code >= ATOMIC || (code & CODE) >= NOTIFY
          ? 'atomic'
          : 'plain',
    address: isCall(code) ? undefined : address,
    bytes: isCall(code) ? 0 : bytes,
    word: isCall(code) ? describeCall(history.a[step]) : described?.name,
    kind: described?.kind,
    read: readOf(world, step),
    wrote:
      writes(code) && !isCall(code) && view !== undefined && !isFailedExchange(world, step)
        ? wroteOf(world, step)
        : undefined,
    target: isIpi(code) ? index : undefined,
    readFrom: code === LOAD && (history.outcome[step] as number) > 0 ? history.readFrom[step] : undefined,
    stack: stacks?.at(step) ?? [],
  }
}

function nameOf(code: number, index: number): EventName {
  if ((code & CODE) === MASK && index === 1) return 'unmask'
  return opNames[code & CODE] ?? 'load'
}

function isCall(code: number): boolean {
  return (code & CODE) === CALL || (code & CODE) === RETURN
}

function isIpi(code: number): boolean {
  return (code & CODE) === IPI || (code & CODE) === IPI_SYNC
}

/** Whether the step is a compare-exchange that found another value than it expected. */
function isFailedExchange({ history }: World, step: number): boolean {
  const view = history.view[step]
  if (view === undefined || ((history.code[step] as number) & CODE) !== COMPARE_EXCHANGE) return false
  return !isExpected(view, history.before[step], history.a[step])
}

function readOf(world: World, step: number): number | bigint | string | undefined {
  const { history } = world
  const code = history.code[step] as number
  const result = history.result[step]
  switch (code & CODE) {
    case WAKE:
    case NOTIFY:
    case CHOOSE:
    case MASK:
      return history.logged[step] === 1 ? (result as string) : undefined
    case WAIT_ASYNC:
      return history.logged[step] === 1 && (result as { async: boolean }).async ? undefined : 'not-equal'
    case TURN:
      return (result as Task | undefined)?.kind
    case IPI:
      return undefined
    default:
      if (!reads(code)) return undefined
      return shown(
        history.logged[step] === 1 && (history.outcome[step] as number) > 0
          ? result
          : (history.before[step] ?? result),
      )
  }
}

function shown(value: unknown): number | bigint | string | undefined {
  if (value instanceof Uint8Array) return `${value.length} bytes`
  return value as number | bigint | string | undefined
}

/** The value that the step left: the next step that writes there found it, or it is there now. */
function wroteOf(world: World, step: number): number | bigint | string | undefined {
  const { history } = world
  const view = history.view[step]
  if (view === undefined) return undefined
  const index = history.index[step] as number
  for (let later = step + 1; later < history.length; later++) {
    if (history.changed[later] !== 1) continue
    if (history.view[later]?.shadow !== view.shadow || history.word[later] !== history.word[step]) continue
    if (history.index[later] === index) return shown(history.before[later])
  }
  return shown(valueAt(view, history.code[step] as number, index, history.a[step], history.b[step]))
}

function raceOf(world: World, events: readonly TraceEvent[]): DataRace | undefined {
  const { race } = world
  if (race === undefined) return undefined
  const word = events[race.first]?.word ?? 'the word'
  const missing = {
    'plain-plain': `an atomic store after the first and an atomic load that reads it before the second would order them, or a lock around both`,
    'atomic-plain': `an atomic access orders nothing with a plain one of the same word: make both atomic`,
    'unequal widths': `atomic accesses of ${word} with different widths are not atomic with each other: use one width`,
  }[race.rule]
  return { ...race, missing }
}

function raceMessage(world: World, race: DataRace, events: readonly TraceEvent[]): string {
  const describe = (step: number) => {
    const event = events[step]
    const name = world.processes[event?.process ?? 0]?.name ?? ''
    return `${name} (step ${step}, ${event?.order ?? ''} ${event?.name ?? ''})`
  }
  const word = events[race.first]?.word ?? 'a word'
  return `${describe(race.first)} and ${describe(race.second)} race on ${word}: ${race.missing}`
}
