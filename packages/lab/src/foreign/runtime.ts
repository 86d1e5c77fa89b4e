/**
 * What transformed code calls (transform.ts). `lab.view(x)[i]` stands where `x[i]` stood: for a view of shared memory
 * `view` gives a proxy for the moment of the access, and for everything else x itself, so that all the language says of
 * `x[i]` still holds: evaluation order, getters, keys that are not numbers, strict mode, compound assignment,
 * destructuring, `delete`, the error for null.
 */
import { types } from 'node:util'
import { foreignAtomics } from './atomics.js'
import { Proxies } from './proxies.js'
import { isSharedView } from './real-view.js'

const proxies = new Proxies(false)

function view(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? proxies.of(value) : value
}

/**
 * The receiver of a call of `set`. A private typed array reads what it is given to copy: if that is shared memory it has
 * to be read through the access. (The argument of any other `set`, of a Map say, is nobody's business.)
 */
function setter(value: unknown): unknown {
  if (!types.isTypedArray(value) || isSharedView(value)) return view(value)
  const { set } = value as { set: unknown }
  if (set !== typedArraySet) return value
  return {
    set: (source: unknown, offset?: unknown) => Reflect.apply(typedArraySet, value, [view(source), offset]),
  }
}
const typedArraySet = Reflect.get(Object.getPrototypeOf(Int8Array.prototype) as object, 'set') as (
  ...args: readonly unknown[]
) => unknown

/**
 * A value in the middle of an optional chain, with the object it was read from. `a?.b[i].c` becomes
 * `lab.optional(a)?.prop("b").view[i].c`: one chain still, that ends early where it did.
 */
class Link {
  readonly value: unknown
  readonly #receiver: unknown

  constructor(value: unknown, receiver: unknown) {
    this.value = value
    this.#receiver = receiver
  }

  get view(): unknown {
    return view(this.value)
  }

  get setter(): unknown {
    return setter(this.value)
  }

  prop(key: PropertyKey): Link {
    return new Link((this.value as Record<PropertyKey, unknown>)[key], this.value)
  }

  /** `key` is converted by the access, as in the original. */
  element(key: unknown): Link {
    const from = this.view as Record<PropertyKey, unknown>
    return new Link(from[key as PropertyKey], from)
  }

  /** A private name, which only the transformed code itself can read. */
  read(get: (value: unknown) => unknown): Link {
    return new Link(get(this.value), this.value)
  }

  /** A call of a method that may be one of a shared view. */
  method(key: 'set' | (string & {})): Link {
    const from = (key === 'set' ? this.setter : this.view) as Record<PropertyKey, unknown>
    return new Link(from[key], from)
  }

  call(...args: readonly unknown[]): Link {
    if (typeof this.value !== 'function') throw new TypeError(`${typeof this.value} is not a function`)
    return new Link(Reflect.apply(this.value, this.#receiver, args), undefined)
  }

  /** Itself, or undefined where the chain ends. */
  some(): Link | undefined {
    return this.value === undefined || this.value === null ? undefined : this
  }
}

/** What `super.method` gives, bound; through the access if it is one of the engine's and `self` is a shared view. */
function inherited(method: unknown, self: unknown): unknown {
  if (typeof method !== 'function') return method
  const does = isSharedView(self)
    ? proxies.method(method as (this: unknown, ...args: readonly unknown[]) => unknown)
    : method
  return (...args: readonly unknown[]): unknown => Reflect.apply(does, self, args)
}

export const lab: Record<string, unknown> = {
  view,
  setter,
  inherited,
  link: (value: unknown, receiver?: unknown) => new Link(value, receiver),
  optional: (value: unknown, receiver?: unknown) => new Link(value, receiver).some(),
  /** What has `Atomics`: the lab for the global object. */
  host: (value: unknown): unknown => (value === globalThis ? lab : value),
  Atomics: foreignAtomics,
}

export { foreignAtomics as Atomics }

/** Where CommonJS modules find it: they cannot import. */
Reflect.set(globalThis, Symbol.for('percpu-lab.foreign'), { lab, Atomics: foreignAtomics })
