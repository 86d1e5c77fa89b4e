/**
 * Lets the engine see foreign code (foreign/). Its accesses are made through real typed arrays, and
 * are steps like the ones of `#mem`.
 */
import type { DataType, Element, ForeignAccess, Modification, SharedView } from '../foreign/access.js'
import { access } from './hook.js'
import { ADD, AND, ATOMIC, COMPARE_EXCHANGE, EXCHANGE, LOAD, OR, STORE, SUB, XOR } from './ops.js'
import {
  F32_BIG,
  F64_BIG,
  I16_BIG,
  I32_BIG,
  I64_BIG,
  I8,
  LITTLE,
  U16_BIG,
  U32_BIG,
  U64_BIG,
  U8,
} from './formats.js'
import { beginTurn } from './turns.js'
import { BIGINTS, BYTES, LabView, NUMBERS, shadowOf } from './views.js'
import { notify, wait, waitAsync } from './waiting.js'

const codes: Record<Modification, number> = {
  add: ADD,
  sub: SUB,
  and: AND,
  or: OR,
  xor: XOR,
  exchange: EXCHANGE,
}
const formats: Record<DataType, number> = {
  Int8: I8,
  Uint8: U8,
  Int16: I16_BIG,
  Uint16: U16_BIG,
  Int32: I32_BIG,
  Uint32: U32_BIG,
  Float32: F32_BIG,
  Float64: F64_BIG,
  BigInt64: I64_BIG,
  BigUint64: U64_BIG,
}

/**
 * A view of the whole buffer with the elements of `view`. All views of one element type share it,
 * wherever their arrays begin.
 */
const wholes = new WeakMap<SharedArrayBuffer, Map<string, LabView>>()

function wholeOf(view: SharedView | DataView<SharedArrayBuffer>): LabView {
  const { buffer } = view
  let views = wholes.get(buffer)
  if (views === undefined) wholes.set(buffer, (views = new Map<string, LabView>()))
  const { name } = view.constructor
  let whole = views.get(name)
  if (whole === undefined) views.set(name, (whole = makeWhole(view)))
  return whole
}

function makeWhole(view: SharedView | DataView<SharedArrayBuffer>): LabView {
  const { buffer } = view
  const shadow = shadowOf(buffer)
  if (view instanceof DataView) return new LabView(BYTES, new DataView(buffer), shadow, 0, buffer.byteLength)
  const Elements = view.constructor as new (
    buffer: SharedArrayBuffer,
    offset: number,
    length: number,
  ) => SharedView
  const length = Math.floor(buffer.byteLength / view.BYTES_PER_ELEMENT)
  const array = new Elements(buffer, 0, length)
  const isBig = array instanceof BigInt64Array || array instanceof BigUint64Array
  const shift = Math.log2(view.BYTES_PER_ELEMENT)
  return isBig
    ? new LabView(BIGINTS, array, shadow, shift, length)
    : new LabView(NUMBERS, array, shadow, shift, length)
}

function inWhole(view: SharedView, index: number): number {
  return view.byteOffset / view.BYTES_PER_ELEMENT + index
}

/** The accesses of foreign code while an exploration runs. */
export const exploredAccess: ForeignAccess = {
  load: (view, index) => access(LOAD, wholeOf(view), inWhole(view, index), undefined, undefined) as Element,
  store: (view, index, value) => {
    access(STORE, wholeOf(view), inWhole(view, index), value, undefined)
  },
  loadAtomic: (view, index) =>
    access(ATOMIC | LOAD, wholeOf(view), inWhole(view, index), undefined, undefined) as Element,
  storeAtomic: (view, index, value) => {
    access(ATOMIC | STORE, wholeOf(view), inWhole(view, index), value, undefined)
  },
  modify: (view, index, operation, value) =>
    access(ATOMIC | codes[operation], wholeOf(view), inWhole(view, index), value, undefined) as Element,
  compareExchange: (view, index, expected, replacement) =>
    access(ATOMIC | COMPARE_EXCHANGE, wholeOf(view), inWhole(view, index), expected, replacement) as Element,
  wait: (view, index, value, timeout) => wait(wholeOf(view), inWhole(view, index), value, timeout),
  waitAsync: (view, index, value, timeout) =>
    waitAsync(wholeOf(view), inWhole(view, index), value, timeout) as ReturnType<ForeignAccess['waitAsync']>,
  notify: (view, index, count) => notify(wholeOf(view), inWhole(view, index), count),
  loadData: (view, type, offset, littleEndian) =>
    access(LOAD, wholeOf(view), view.byteOffset + offset, undefined, formatOf(type, littleEndian)) as Element,
  storeData: (view, type, offset, value, littleEndian) => {
    access(STORE, wholeOf(view), view.byteOffset + offset, value, formatOf(type, littleEndian))
  },
  turn: beginTurn,
  unseen: (_view, method) => {
    throw new Error(
      `${method}() may touch shared memory in ways that the lab cannot see: use element accesses`,
    )
  },
}

function formatOf(type: DataType, littleEndian: boolean): number {
  return formats[type] + (littleEndian ? LITTLE : 0)
}
