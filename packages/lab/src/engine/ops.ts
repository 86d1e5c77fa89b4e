/**
 * The steps that a process can take. A step has a code, a view and an index if it is an access, and
 * two operands.
 *
 * Accesses come from the lab's `#mem`. The environment and the lab's own functions make the other
 * steps.
 */
import type { EventName } from '../trace.js'

export const LOAD = 0
export const STORE = 1
export const ADD = 2
export const SUB = 3
export const AND = 4
export const OR = 5
export const EXCHANGE = 6
/** Operands: expected, value. */
export const COMPARE_EXCHANGE = 7
/** Operands: address, length in bytes. On the view of bytes, as the two below. */
export const FILL = 8
export const COPY_IN = 9
export const COPY_OUT = 10
/** Operands: value, timeout in ms. */
export const WAIT = 11
export const WAIT_ASYNC = 12
/** Operand: count. */
export const NOTIFY = 13
/** The end of a WAIT, or of the wait for a handler that IPI_SYNC has sent. */
export const WAKE = 14
/** Operand: the predicate. Never enabled: see `awaitUntil` of the lab's `#mem`. */
export const SPIN = 15
/** Operand: the number of outcomes. */
export const CHOOSE = 16
export const ENTER = 17
export const LEAVE = 18
/** Operands: CPU, handler. */
export const IPI = 19
export const IPI_SYNC = 20
/** Operand: level below which interrupts wait. */
export const MASK = 21
export const TURN = 22
export const SAFEPOINT = 23
export const EXIT = 24
export const KILL = 25
export const TIMEOUT = 26
/** Operands: byte address, length. */
export const ALLOCATE = 27
export const FREE = 28
/** Gives the event loop something to do. Operand: the kind of task. */
export const TASK = 29

/** Of foreign code only: `#mem` has no exclusive or. */
export const XOR = 30
/**
 * The beginning and the end of a call whose history is checked (scenario/call-history.ts).
 * Operands: the event, length. On a view of bytes that nothing else touches: a beginning reads all
 * of it, and an end writes the word of its CPU. So the search tells apart only whether a call ends
 * before another one begins.
 */
export const CALL = 31
export const RETURN = 32

/** Added to the code of a sequentially consistent access. */
export const ATOMIC = 64
export const CODE = 63

export const opNames: readonly EventName[] = [
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'exchange',
  'compareExchange',
  'fill',
  'copyIn',
  'copyOut',
  'wait',
  'wait',
  'notify',
  'wake',
  'spin',
  'choose',
  'enter',
  'leave',
  'ipi',
  'ipi',
  'mask',
  'turn',
  'safepoint',
  'exit',
  'kill',
  'timeout',
  'allocate',
  'free',
  'task',
  'xor',
  'call',
  'return',
]

/**
 * Whether the step may change the word, as far as others can tell. A failed compare-exchange counts
 * as a write.
 */
export function writes(code: number): boolean {
  const op = code & CODE
  return (op >= STORE && op <= COPY_IN) || op === FREE || op === ALLOCATE || op === XOR || op === RETURN
}

export function reads(code: number): boolean {
  const op = code & CODE
  return (
    op === LOAD ||
    (op >= ADD && op <= COMPARE_EXCHANGE) ||
    op === XOR ||
    op === COPY_OUT ||
    op === WAIT ||
    op === WAIT_ASYNC
  )
}

/** Whether the step reads memory, and does nothing else. */
export function onlyLooks(code: number): boolean {
  const op = code & CODE
  return op === LOAD || op === COPY_OUT
}

/** Whether the step may change who waits on its word. */
export function touchesQueue(code: number): boolean {
  const op = code & CODE
  return op === WAIT || op === WAIT_ASYNC || op === NOTIFY || op === TIMEOUT
}
