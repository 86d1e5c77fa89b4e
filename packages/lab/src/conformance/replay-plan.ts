/**
 * The plan of a trace's replay on real threads: the accesses of each thread, in the order of the
 * trace. Their operands follow from the values that the trace says were read and written.
 */
import { LitmusRunError } from '../litmus/errors.js'
import type { Trace, TraceEvent, TraceProcess } from '../trace.js'

export type ReplayKind =
  | 'load'
  | 'store'
  | 'add'
  | 'sub'
  | 'and'
  | 'or'
  | 'xor'
  | 'exchange'
  | 'compareExchange'
  | 'wait'
  | 'wake'
  | 'notify'

export interface ReplayStep {
  /** Position among the steps that are replayed. */
  readonly turn: number
  /** {@link TraceEvent.step} */
  readonly step: number
  readonly kind: ReplayKind
  readonly isAtomic: boolean
  readonly address: number
  readonly bytes: number
  /** The value that it writes, adds and so on, as bits. */
  readonly operand: bigint
  /** The value that a compareExchange expects. */
  readonly expected: bigint
  /**
   * For a wait: 0 if it returns at once, 1 if it is woken, 2 if its time runs out. For a notify:
   * the number that it wakes in the trace.
   */
  readonly count: number
}

/**
 * The finding of a step in the trace: the bits of a value, or the result of a wake or notify.
 * Undefined if it is not compared.
 */
export type Found = bigint | string | number | undefined

export interface ReplayPlan {
  /** Bytes of memory that are needed. */
  readonly byteLength: number
  /** Values that memory has before the first step. */
  readonly initial: readonly { readonly address: number; readonly bytes: number; readonly value: bigint }[]
  /** The steps of each thread. */
  readonly threads: readonly (readonly ReplayStep[])[]
  /** The finding of each turn in the trace. */
  readonly found: readonly Found[]
  /** The events of the turns. */
  readonly events: readonly TraceEvent[]
  /**
   * The number of loads that read a stale value. Their findings are not compared: threads that take
   * turns always read the newest value.
   */
  readonly stale: number
}

const names = new Set<string>(
  'load store add sub and or xor exchange compareExchange wait wake notify'.split(' '),
)

/**
 * @throws LitmusRunError for a trace with accesses to ranges of bytes, whose contents it does not
 *   have
 */
export function planReplay(trace: Trace): ReplayPlan {
  const replayed = trace.events.filter((event) => isReplayed(event, trace.events))
  const threadOf = assignThreads(trace.processes)
  const threads: ReplayStep[][] = []
  const found: Found[] = []
  const isKilled = trace.events.some(({ name }) => name === 'kill')
  replayed.forEach((event, turn) => {
    const thread = (threads[threadOf(event.process)] ??= [])
    thread.push(stepOf(event, turn, trace.events))
    // A CPU that was killed while it waited is not killed here: a notify would wake it, too.
    found.push(isKilled && event.name === 'notify' ? undefined : foundIn(event))
  })
  const end = Math.max(0, ...replayed.map(({ address = 0, bytes }) => address + bytes))
  return {
    byteLength: Math.ceil((end + 8) / 8) * 8,
    initial: initialValues(replayed),
    threads: [...threads].map((steps: ReplayStep[] | undefined) => steps ?? []),
    found,
    events: replayed,
    stale: replayed.filter(({ readFrom }) => readFrom !== undefined).length,
  }
}

function isReplayed(event: TraceEvent, events: readonly TraceEvent[]): boolean {
  // Other wakes end the calls that waited for a handler.
  if (event.name === 'wake')
    return (
      events.findLast(({ step, process }) => step < event.step && process === event.process)?.name === 'wait'
    )
  if (event.address === undefined) return false
  if (['fill', 'copyIn', 'copyOut'].includes(event.name))
    throw new LitmusRunError(`step ${event.step} is a ${event.name}: traces do not say which bytes`, {
      step: event.step,
      name: event.name,
    })
  return names.has(event.name)
}

/** Handlers run on the thread of their CPU; reapers are threads of their own. */
function assignThreads(processes: readonly TraceProcess[]): (process: number) => number {
  const threads: string[] = []
  const byProcess = processes.map(({ kind, cpu }) => {
    const key = kind === 'reaper' ? `reaper ${cpu}` : `cpu ${cpu}`
    if (!threads.includes(key)) threads.push(key)
    return threads.indexOf(key)
  })
  return (process) => byProcess[process] ?? 0
}

function stepOf(event: TraceEvent, turn: number, events: readonly TraceEvent[]): ReplayStep {
  const { step, bytes, address = 0, order } = event
  const kind = event.name as ReplayKind
  const read = toBits(event.read, bytes)
  // A compareExchange that wrote nothing is given a value that is not there.
  const failed = kind === 'compareExchange' && event.wrote === undefined
  const wrote = failed ? read : toBits(event.wrote, bytes)
  return {
    turn,
    step,
    kind,
    isAtomic: order === 'atomic',
    address,
    bytes,
    operand: operandOf(kind, read, wrote, bytes),
    expected: wrote === read ? ~read : read,
    count: kind === 'wait' ? waitOutcome(event, events) : Number(kind === 'notify' ? (event.read ?? 0) : 0),
  }
}

function operandOf(kind: ReplayKind, read: bigint, wrote: bigint, bytes: number): bigint {
  if (kind === 'add') return BigInt.asIntN(bytes * 8, wrote - read)
  if (kind === 'sub') return BigInt.asIntN(bytes * 8, read - wrote)
  if (kind === 'xor') return read ^ wrote
  if (kind === 'compareExchange' && wrote === read) return ~read
  // The value that an `and` left is a mask that leaves this value; likewise for `or`.
  return wrote
}

/** The `count` of a wait. */
function waitOutcome(wait: TraceEvent, events: readonly TraceEvent[]): number {
  const next = events.find(({ step, process }) => step > wait.step && process === wait.process)
  // A wait that does not block has no result yet when it begins.
  if (next?.name !== 'wake') return wait.read === undefined ? 1 : 0
  return next.read === 'timed-out' ? 2 : 1
}

function foundIn(event: TraceEvent): Found {
  if (event.readFrom !== undefined) return undefined
  switch (event.name) {
    case 'store':
    case 'wait':
      return undefined
    case 'wake':
      return typeof event.read === 'string' ? event.read : undefined
    case 'notify':
      return Number(event.read ?? 0)
    default:
      return event.read === undefined ? undefined : toBits(event.read, event.bytes)
  }
}

/**
 * The bits of a value, as a signed integer. Numbers of 8 bytes, and numbers with a fraction, are
 * floating-point values.
 */
export function toBits(value: number | bigint | string | undefined, bytes: number): bigint {
  if (typeof value === 'bigint') return BigInt.asIntN(bytes * 8, value)
  if (typeof value !== 'number') return 0n
  const view = new DataView(new ArrayBuffer(8))
  if (bytes === 8) view.setFloat64(0, value)
  else if (!Number.isInteger(value)) view.setFloat32(0, value)
  else return BigInt.asIntN(bytes * 8, BigInt(value))
  return bytes === 8 ? view.getBigInt64(0) : BigInt(view.getInt32(0))
}

/** Values that are read before they are written: they were there at the start. */
function initialValues(events: readonly TraceEvent[]): ReplayPlan['initial'] {
  const known = new Set<number>()
  const initial: { address: number; bytes: number; value: bigint }[] = []
  for (const { address = 0, bytes, read, readFrom, name } of events) {
    const isNew = !known.has(address)
    if (name === 'wait' || name === 'wake' || name === 'notify') continue
    if (isNew && name !== 'store' && (readFrom === undefined || readFrom < 0))
      initial.push({ address, bytes, value: toBits(read, bytes) })
    for (let byte = address; byte < address + bytes; byte++) known.add(byte)
  }
  return initial
}
