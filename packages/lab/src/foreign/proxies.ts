/**
 * Proxies of typed arrays and DataViews over shared memory.
 *
 * Every element access of a proxy goes to the {@link ForeignAccess} in place. A proxy behaves as
 * its view does, with two differences. It is no typed array to the engine: `ArrayBuffer.isView` is
 * false. And methods looked up on it are other functions than the prototype's.
 *
 * There are two kinds. The transform gives its proxies to nobody: it makes one for the moment of an
 * access, and methods return, and hand to callbacks, the real view. The shim gives its proxies to
 * the user, and methods return proxies. `outward` gives the one or the other.
 */
import { types } from 'node:util'
import { foreignAccess, type SharedView } from './access.js'
import { toElement } from './convert.js'
import { dataMethod } from './data-view.js'
import { methodOf } from './methods.js'
import { isSharedView, lengthOf, realOf, setReal, type ProxyMaker, type RealView } from './real-view.js'

type Callable = (this: unknown, ...args: readonly unknown[]) => unknown

/** Makes proxies, one for each view. */
export class Proxies implements ProxyMaker {
  readonly #proxies = new WeakMap<RealView, object>()
  readonly #outward: boolean
  readonly #wrappers = new WeakMap<Callable, Callable>()

  /** `outward` says whether users get to hold the proxies. */
  constructor(outward: boolean) {
    this.#outward = outward
  }

  of(value: unknown): unknown {
    if (!isSharedView(value)) return value
    const known = this.#proxies.get(value)
    if (known) return known
    const proxy = types.isDataView(value)
      ? new Proxy(value, { get: (target, key) => this.#get(target, key) })
      : new Proxy(value, this.#handler())
    this.#proxies.set(value, proxy)
    setReal(proxy, value)
    return proxy
  }

  outward(view: unknown): unknown {
    return this.#outward ? this.of(view) : view
  }

  #handler(): ProxyHandler<SharedView> {
    return {
      get: (target, key) => {
        const index = elementIndex(target, key)
        if (index === undefined) return this.#get(target, key)
        return index < 0 ? undefined : foreignAccess().load(target, index)
      },
      set: (target, key, value: unknown, receiver) => {
        const index = elementIndex(target, key)
        if (index === undefined) return Reflect.set(target, key, value, realOf(receiver))
        if (realOf(receiver) !== target) return Reflect.set(target, key, value, receiver)
        store(target, key, value)
        return true
      },
      getOwnPropertyDescriptor: (target, key) => {
        const index = elementIndex(target, key)
        if (index === undefined) return Reflect.getOwnPropertyDescriptor(target, key)
        if (index < 0) return undefined
        const value = foreignAccess().load(target, index)
        return { value, writable: true, enumerable: true, configurable: true }
      },
      defineProperty: (target, key, descriptor) => {
        const index = elementIndex(target, key)
        if (index === undefined || !('value' in descriptor))
          return Reflect.defineProperty(target, key, descriptor)
        const { value, ...attributes } = descriptor as { value: unknown }
        if (!Reflect.defineProperty(target, key, attributes)) return false
        store(target, key, value)
        return true
      },
    }
  }

  /** A property that is no element. */
  #get(target: RealView, key: PropertyKey): unknown {
    const value: unknown = Reflect.get(target, key, target)
    return typeof value !== 'function' || key === 'constructor' ? value : this.method(value as Callable)
  }

  /** A function that does what a method does. It uses the access if its `this` is a shared view. */
  method(plain: Callable): Callable {
    let wrapper = this.#wrappers.get(plain)
    if (!wrapper) this.#wrappers.set(plain, (wrapper = this.#wrap(plain)))
    return wrapper
  }

  #wrap(plain: Callable): Callable {
    const data = dataMethod(plain)
    const instead = methodOf(plain)
    const proxies = this as Proxies
    const wrapper = function (this: unknown, ...args: readonly unknown[]): unknown {
      const real = realOf(this)
      if (!isSharedView(real)) return Reflect.apply(plain, this, args)
      if (types.isDataView(real)) return data ? data(real, args) : Reflect.apply(plain, real, args)
      const self = { real, proxy: proxies.of(real) as SharedView, proxies }
      if (instead) return instead(self, args)
      if (Buffer.isBuffer(real)) foreignAccess().unseen(real, plain.name)
      return Reflect.apply(plain, proxies.outward(real), args)
    }
    Object.defineProperty(wrapper, 'name', { value: plain.name })
    Object.defineProperty(wrapper, 'length', { value: plain.length })
    return wrapper
  }
}

/**
 * The index that a key names: -1 for one outside the view, undefined for a key that is no number.
 */
function elementIndex(view: SharedView, key: PropertyKey): number | undefined {
  if (typeof key !== 'string') return undefined
  const number = Number(key)
  if (key === '-0') return -1
  if (String(number) !== key) return undefined
  return Number.isInteger(number) && number >= 0 && number < lengthOf(view) ? number : -1
}

/**
 * Stores an element. As in the language, the conversion comes first: it may run code, which may
 * throw.
 */
function store(view: SharedView, key: PropertyKey, value: unknown): void {
  const element = toElement(view, value)
  const index = elementIndex(view, key)
  if (index !== undefined && index >= 0) foreignAccess().store(view, index, element)
}
