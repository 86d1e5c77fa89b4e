/** Carries accesses out on the real arrays, and takes them back. */
import {
  ADD,
  AND,
  CODE,
  COMPARE_EXCHANGE,
  COPY_IN,
  COPY_OUT,
  EXCHANGE,
  FILL,
  LOAD,
  OR,
  STORE,
  SUB,
  WAIT,
  WAIT_ASYNC,
  XOR,
} from './ops.js'
import { loadFormat, storeFormat } from './formats.js'
import { BIGINTS, BYTES, type LabView } from './views.js'

/**
 * The value that the access is about: that of an element, or of the bytes in the operand's format.
 * For a range it is a copy of the bytes.
 */
export function valueAt(view: LabView, code: number, index: number, a: unknown, b: unknown): unknown {
  if (view.form === BYTES) {
    switch (code & CODE) {
      case FILL:
        return rangeOf(view, index, b as number).slice()
      case COPY_IN:
        return rangeOf(view, index, (a as Uint8Array).length).slice()
      case COPY_OUT:
        return undefined
      default:
        return loadFormat(view.bytes, index, b as number)
    }
  }
  return view.form === BIGINTS ? view.bigints[index] : view.numbers[index]
}

/** Stores the value that {@link valueAt} gave. */
export function restore(view: LabView, index: number, value: unknown, b: unknown): void {
  if (view.form === BYTES) {
    if (value instanceof Uint8Array) rangeOf(view, index, value.length).set(value)
    else storeFormat(view.bytes, index, b as number, value as number)
  } else if (view.form === BIGINTS) view.bigints[index] = value as bigint
  else view.numbers[index] = value as number
}

/**
 * Whether a compare-exchange that expects `expected` finds it. The expected value is converted to
 * the element type first: 0xffffffff matches -1 in an i32.
 */
export function isExpected(view: LabView, found: unknown, expected: unknown): boolean {
  return view.form === BIGINTS
    ? BigInt.asUintN(64, found as bigint) === BigInt.asUintN(64, expected as bigint)
    : ((found as number) ^ (expected as number)) << (32 - (8 << view.shift)) === 0
}

/** Does the access. `before` is the value that {@link valueAt} gave; the result is the caller's. */
export function perform(
  view: LabView,
  code: number,
  index: number,
  a: unknown,
  b: unknown,
  before: unknown,
): unknown {
  if (view.form === BYTES) return performOnBytes(view, code, index, a, b, before)
  if (view.form === BIGINTS) return performOnBigints(view, code, index, a as bigint, b as bigint)
  const { numbers } = view
  const old = before as number
  switch (code & CODE) {
    case LOAD:
    case WAIT:
    case WAIT_ASYNC:
      return old
    case STORE:
      numbers[index] = a as number
      return undefined
    case ADD:
      numbers[index] = old + (a as number)
      return old
    case SUB:
      numbers[index] = old - (a as number)
      return old
    case AND:
      numbers[index] = old & (a as number)
      return old
    case OR:
      numbers[index] = old | (a as number)
      return old
    case XOR:
      numbers[index] = old ^ (a as number)
      return old
    case EXCHANGE:
      numbers[index] = a as number
      return old
    case COMPARE_EXCHANGE:
      if (isExpected(view, old, a)) numbers[index] = b as number
      return old
    default:
      throw new Error(`no access: code ${code & CODE}`)
  }
}

function performOnBigints(view: LabView, code: number, index: number, a: bigint, b: bigint): unknown {
  const { bigints } = view
  const old = bigints[index] as bigint
  switch (code & CODE) {
    case LOAD:
      return old
    case STORE:
      bigints[index] = a
      return undefined
    case ADD:
      bigints[index] = old + a
      return old
    case SUB:
      bigints[index] = old - a
      return old
    case AND:
      bigints[index] = old & a
      return old
    case OR:
      bigints[index] = old | a
      return old
    case XOR:
      bigints[index] = old ^ a
      return old
    case EXCHANGE:
      bigints[index] = a
      return old
    case COMPARE_EXCHANGE:
      if (isExpected(view, old, a)) bigints[index] = b
      return old
    default:
      throw new Error(`no access of 64 bits: code ${code & CODE}`)
  }
}

function performOnBytes(
  view: LabView,
  code: number,
  index: number,
  a: unknown,
  b: unknown,
  before: unknown,
): unknown {
  switch (code & CODE) {
    case LOAD:
      return before
    case STORE:
      storeFormat(view.bytes, index, b as number, a as number)
      return undefined
    case FILL:
      rangeOf(view, index, b as number).fill(a as number)
      return undefined
    case COPY_IN:
      rangeOf(view, index, (a as Uint8Array).length).set(a as Uint8Array)
      return undefined
    case COPY_OUT:
      return rangeOf(view, index, a as number).slice()
    default:
      throw new Error(`no access of bytes: code ${code & CODE}`)
  }
}

function rangeOf(view: LabView, address: number, length: number): Uint8Array {
  return new Uint8Array(view.shadow.buffer, address, length)
}
