/** Views of shared memory, and the ones behind proxies. */
import { types } from 'node:util'
import type { SharedView } from './access.js'
import { getterOf } from './convert.js'

export type RealView = SharedView | DataView<SharedArrayBuffer>

/** The view behind each proxy. */
const reals = new WeakMap<object, RealView>()

const typedArrayPrototype = Object.getPrototypeOf(Int8Array.prototype) as object
const typedArrayBuffer = getterOf(typedArrayPrototype, 'buffer')
const dataViewBuffer = getterOf(DataView.prototype, 'buffer')
const lengthGetter = getterOf(typedArrayPrototype, 'length')

export function lengthOf(view: SharedView): number {
  return lengthGetter(view) as number
}

/** Whether the value is a real typed array or DataView over shared memory. */
export function isSharedView(value: unknown): value is RealView {
  if (!ArrayBuffer.isView(value)) return false
  const buffer = types.isDataView(value) ? dataViewBuffer(value) : typedArrayBuffer(value)
  return buffer instanceof SharedArrayBuffer || types.isSharedArrayBuffer(buffer)
}

/** The view behind a proxy; anything else is given back. */
export function realOf(value: unknown): unknown {
  return reals.get(value as object) ?? value
}

/** From now on `proxy` stands for `view`. */
export function setReal(proxy: object, view: RealView): void {
  reals.set(proxy, view)
}

/** The part of a maker of proxies that the methods of a proxy need. */
export interface ProxyMaker {
  /** The proxy of a shared view; everything else is given back. */
  of(value: unknown): unknown
  /** The form of a view that the user sees: its proxy or itself. */
  outward(view: unknown): unknown
}
