/**
 * The functions that transformed code calls (transform.ts).
 *
 * `lab.view(x)[i]` stands where `x[i]` stood. For a view of shared memory `view` gives a proxy for
 * the moment of the access, and for everything else it gives x itself. So all rules of the language
 * for `x[i]` still hold: evaluation order, getters, keys that are not numbers, strict mode,
 * compound assignment, destructuring, `delete`, the error for null.
 */
import { types } from 'node:util'
import { foreignAtomics } from './atomics.js'
import { Proxies } from './proxies.js'
import { isSharedView } from './real-view.js'
import { WaitingLoop } from './waiting-loop.js'

const proxies = new Proxies(false)

function view(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? proxies.of(value) : value
}

/**
 * The receiver of a call of `set`. A private typed array reads the list that it is given to copy. A
 * list in shared memory has to be read through the access. The argument of any other `set`, of a
 * Map for example, is not touched.
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
 * A value in the middle of an optional chain, with the object that it was read from. `a?.b[i].c`
 * becomes `lab.optional(a)?.prop("b").view[i].c`: still one chain, which ends early where it did.
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

  /** The access converts `key`, as in the original. */
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

/**
 * The value of `super.method`, bound to `self`. A method of the engine uses the access if `self` is
 * a shared view.
 */
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
  loop: (chains: () => readonly (readonly unknown[])[]) => new WaitingLoop(chains),
  /** The object that has `Atomics`: the lab in place of the global object. */
  host: (value: unknown): unknown => (value === globalThis ? lab : value),
  Atomics: foreignAtomics,
}

export { foreignAtomics as Atomics }

/** CommonJS modules cannot import: they find the runtime here. */
Reflect.set(globalThis, Symbol.for('percpu-lab.foreign'), { lab, Atomics: foreignAtomics })
