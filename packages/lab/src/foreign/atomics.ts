/**
 * `Atomics` for foreign code. It uses the access for views of shared memory, or their proxies, and
 * the engine's own functions for anything else. Arguments are checked and converted in the order of
 * the language. Arguments that the language refuses go to the engine's own function, which throws
 * its own error.
 */
import { types } from 'node:util'
import {
  foreignAccess,
  type Element,
  type IntegerView,
  type Modification,
  type WaitableView,
} from './access.js'
import { toAtomicElement, toIndex, toInteger, toNumber } from './convert.js'
import { isSharedView, lengthOf, realOf } from './real-view.js'

type AnyFunction = (...args: readonly unknown[]) => unknown
const native = Atomics as unknown as Record<string, AnyFunction>

function isInteger(view: unknown): view is IntegerView {
  return (
    isSharedView(view) &&
    !types.isDataView(view) &&
    !types.isUint8ClampedArray(view) &&
    !types.isFloat32Array(view) &&
    !types.isFloat64Array(view) &&
    // Some engines have a Float16Array.
    !Object.prototype.toString.call(view).includes('Float')
  )
}

function isWaitable(view: unknown): view is WaitableView {
  return isSharedView(view) && (types.isInt32Array(view) || types.isBigInt64Array(view))
}

function indexIn(view: IntegerView, index: unknown): number {
  const at = toIndex(index, 'Atomics index')
  if (at >= lengthOf(view)) throw new RangeError('Invalid atomic access index')
  return at
}

/** An operation on integer views. `does` gets the real view and an index within it. */
function operation(
  name: string,
  does: (view: IntegerView, index: number, args: readonly unknown[]) => unknown,
) {
  const replacement = {
    [name](...all: readonly unknown[]): unknown {
      const [view, index, ...args] = all
      const real = realOf(view)
      if (!isInteger(real)) return native[name]?.(real, index, ...args)
      return does(real, indexIn(real, index), args)
    },
  }
  return replacement[name] as AnyFunction
}

const modification = (name: Modification) =>
  operation(name, (view, index, [value]) =>
    foreignAccess().modify(view, index, name, toAtomicElement(view, value)),
  )

function waiting(name: 'wait' | 'waitAsync') {
  return (...all: readonly unknown[]): unknown => {
    const [view, index, value, timeout] = all
    const real = realOf(view)
    if (!isWaitable(real)) return native[name]?.(real, ...all.slice(1))
    const at = indexIn(real, index)
    const expected: Element = types.isBigInt64Array(real)
      ? BigInt.asIntN(64, value as bigint)
      : (value as number) | 0
    const milliseconds = toNumber(timeout)
    return foreignAccess()[name](
      real,
      at,
      expected,
      Number.isNaN(milliseconds) ? Infinity : Math.max(0, milliseconds),
    )
  }
}

function notify(...all: readonly unknown[]): unknown {
  const [view, index, count] = all
  const real = realOf(view)
  if (!isWaitable(real)) return native['notify']?.(real, ...all.slice(1))
  const at = indexIn(real, index)
  return foreignAccess().notify(real, at, count === undefined ? Infinity : Math.max(0, toInteger(count)))
}

const replaced = {
  load: operation('load', (view, index) => foreignAccess().loadAtomic(view, index)),
  store: operation('store', (view, index, [value]) => {
    const element = toAtomicElement(view, value)
    foreignAccess().storeAtomic(view, index, element)
    return element
  }),
  add: modification('add'),
  sub: modification('sub'),
  and: modification('and'),
  or: modification('or'),
  xor: modification('xor'),
  exchange: modification('exchange'),
  compareExchange: operation('compareExchange', (view, index, [expected, replacement]) => {
    const before = toAtomicElement(view, expected)
    return foreignAccess().compareExchange(view, index, before, toAtomicElement(view, replacement))
  }),
  wait: waiting('wait'),
  notify,
  ...(typeof native['waitAsync'] === 'function' ? { waitAsync: waiting('waitAsync') } : {}),
}

/**
 * Functions that are not replaced (`isLockFree`, and the ones that engines add) are the engine's
 * own.
 */
export const foreignAtomics = Object.freeze(
  Object.assign(Object.create(Atomics) as object, replaced),
) as unknown as typeof Atomics
