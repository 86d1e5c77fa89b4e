/**
 * The small import for foreign code that a lab is to see, in place of the globals:
 *
 *     import { Atomics, Int32Array } from 'percpu-lab/foreign'
 *
 * A typed array made over a SharedArrayBuffer is then a proxy. `shared(view)` makes a proxy of a
 * view that came from elsewhere. `raw(view)` gives the view behind a proxy, to post it to a thread,
 * for example.
 */
import { foreignAtomics } from './atomics.js'
import { Proxies } from './proxies.js'
import { realOf } from './real-view.js'

const proxies = new Proxies(true)

/** A proxy of a typed array or DataView over shared memory; anything else is given back. */
export function shared<View>(view: View): View {
  return proxies.of(view) as View
}

/** The view behind a proxy; anything else is given back. */
export function raw<View>(view: View): View {
  return realOf(view) as View
}

/** A constructor whose instances over shared memory are proxies; `instanceof` works for both. */
function sharing<Constructor extends object>(constructor: Constructor): Constructor {
  return new Proxy(constructor, {
    construct: (target, args: readonly unknown[], newTarget) =>
      shared(
        Reflect.construct(
          target as unknown as new (...args: readonly unknown[]) => object,
          // A proxy is no typed array to the constructor, but can be read as a list.
          args,
          newTarget,
        ) as object,
      ),
  })
}

const SharedInt8Array = sharing(globalThis.Int8Array)
const SharedUint8Array = sharing(globalThis.Uint8Array)
const SharedUint8ClampedArray = sharing(globalThis.Uint8ClampedArray)
const SharedInt16Array = sharing(globalThis.Int16Array)
const SharedUint16Array = sharing(globalThis.Uint16Array)
const SharedInt32Array = sharing(globalThis.Int32Array)
const SharedUint32Array = sharing(globalThis.Uint32Array)
const SharedFloat32Array = sharing(globalThis.Float32Array)
const SharedFloat64Array = sharing(globalThis.Float64Array)
const SharedBigInt64Array = sharing(globalThis.BigInt64Array)
const SharedBigUint64Array = sharing(globalThis.BigUint64Array)
const SharedDataView = sharing(globalThis.DataView)

export {
  foreignAtomics as Atomics,
  SharedInt8Array as Int8Array,
  SharedUint8Array as Uint8Array,
  SharedUint8ClampedArray as Uint8ClampedArray,
  SharedInt16Array as Int16Array,
  SharedUint16Array as Uint16Array,
  SharedInt32Array as Int32Array,
  SharedUint32Array as Uint32Array,
  SharedFloat32Array as Float32Array,
  SharedFloat64Array as Float64Array,
  SharedBigInt64Array as BigInt64Array,
  SharedBigUint64Array as BigUint64Array,
  SharedDataView as DataView,
}
