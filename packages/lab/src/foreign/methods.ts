/**
 * The methods of typed arrays, element by element through the access.
 *
 * Methods that only read, and methods that move elements in place, are the generic methods of Array
 * run on the proxy. The others are written out: they return a typed array.
 */
import { foreignAccess, type Element, type SharedView } from './access.js'
import { getterOf, toElement, toInteger, toRelative } from './convert.js'
import { isSharedView, lengthOf, realOf, type ProxyMaker } from './real-view.js'

export interface Self {
  readonly real: SharedView
  readonly proxy: SharedView
  readonly proxies: ProxyMaker
}

type Method = (self: Self, args: readonly unknown[]) => unknown
type Callable = (this: unknown, ...args: readonly unknown[]) => unknown
type PrivateArray = Record<number, Element> & {
  readonly length: number
  sort(compare?: unknown): void
  reverse(): void
}

const prototype = Object.getPrototypeOf(Int8Array.prototype) as Record<string, unknown>
const methods = new Map<unknown, Method>()

/** The replacement of a method of the prototype of typed arrays; undefined for other functions. */
export function methodOf(native: unknown): Method | undefined {
  return methods.get(native)
}

/** Replaces a method, if the engine has it: not all engines have the newer ones. */
function define(name: string, method: Method): void {
  if (typeof prototype[name] === 'function') methods.set(prototype[name], method)
}

const generic = (name: string) => Reflect.get(Array.prototype, name) as Callable
const callable = (value: unknown): value is Callable => typeof value === 'function'

for (const name of [
  'at',
  'entries',
  'includes',
  'indexOf',
  'join',
  'keys',
  'lastIndexOf',
  'toLocaleString',
  'toString',
  'values',
])
  define(name, ({ proxy }, args) => Reflect.apply(generic(name), proxy, args))

for (const name of ['copyWithin', 'reverse'])
  define(name, ({ proxy, real, proxies }, args) => {
    Reflect.apply(generic(name), proxy, args)
    return proxies.outward(real)
  })

/** Callbacks get the view that the user knows, as their last argument. */
for (const name of ['every', 'find', 'findIndex', 'findLast', 'findLastIndex', 'forEach', 'some'])
  define(name, ({ proxy, real, proxies }, [callback, thisArgument]) => {
    const outward = proxies.outward(real)
    const inner = callable(callback)
      ? (value: unknown, index: unknown) => Reflect.apply(callback, thisArgument, [value, index, outward])
      : callback
    return Reflect.apply(generic(name), proxy, [inner])
  })

for (const name of ['reduce', 'reduceRight'])
  define(name, ({ proxy, real, proxies }, [callback, ...initial]) => {
    const outward = proxies.outward(real)
    const inner = callable(callback)
      ? (sum: unknown, value: unknown, index: unknown) =>
          Reflect.apply(callback, undefined, [sum, value, index, outward])
      : callback
    return Reflect.apply(generic(name), proxy, [inner, ...initial])
  })

define('fill', ({ proxy, real, proxies }, [value, start, end]) => {
  Reflect.apply(generic('fill'), proxy, [toElement(real, value), start, end])
  return proxies.outward(real)
})

define('subarray', ({ real, proxies }, args) =>
  proxies.outward(Reflect.apply(prototype['subarray'] as Callable, real, args)),
)

define('slice', ({ real, proxies }, [start, end]) => {
  const length = lengthOf(real)
  const from = toRelative(start, length, 0)
  const to = toRelative(end, length, length)
  const count = Math.max(0, to - from)
  const made = speciesCreate(real, count)
  for (let k = 0; k < count; k++) put(proxies, made, k, foreignAccess().load(real, from + k))
  return proxies.outward(made)
})

define('map', ({ real, proxies }, [callback, thisArgument]) => {
  if (!callable(callback)) throw new TypeError(`${typeof callback} is not a function`)
  const length = lengthOf(real)
  const made = speciesCreate(real, length)
  for (let k = 0; k < length; k++) {
    const value = foreignAccess().load(real, k)
    put(proxies, made, k, Reflect.apply(callback, thisArgument, [value, k, proxies.outward(real)]))
  }
  return proxies.outward(made)
})

define('filter', ({ real, proxies }, [callback, thisArgument]) => {
  if (!callable(callback)) throw new TypeError(`${typeof callback} is not a function`)
  const kept: Element[] = []
  for (let k = 0, length = lengthOf(real); k < length; k++) {
    const value = foreignAccess().load(real, k)
    if (Reflect.apply(callback, thisArgument, [value, k, proxies.outward(real)])) kept.push(value)
  }
  const made = speciesCreate(real, kept.length)
  for (const [k, value] of kept.entries()) put(proxies, made, k, value)
  return proxies.outward(made)
})

define('sort', ({ real, proxies }, [compare]) => {
  checkComparator(compare)
  const copy = copyOf(real)
  copy.sort(compare)
  for (let k = 0; k < copy.length; k++) foreignAccess().store(real, k, copy[k] as Element)
  return proxies.outward(real)
})

define('toSorted', ({ real }, [compare]) => {
  checkComparator(compare)
  const copy = copyOf(real)
  copy.sort(compare)
  return copy
})

define('toReversed', ({ real }) => {
  const copy = copyOf(real)
  copy.reverse()
  return copy
})

define('with', ({ real }, [index, value]) => {
  const length = lengthOf(real)
  const relative = toInteger(index)
  const at = relative < 0 ? length + relative : relative
  const element = toElement(real, value)
  if (at < 0 || at >= length) throw new RangeError('Invalid typed array index')
  const copy = copyOf(real)
  copy[at] = element
  return copy
})

define('set', ({ real, proxies }, [source, offset]) => {
  const at = toInteger(offset)
  if (at < 0) throw new RangeError('offset is out of bounds')
  if (source === undefined || source === null) throw new TypeError(`${source} cannot be copied from`)
  const from = Object(proxies.of(source)) as ArrayLike<unknown>
  const count = Math.min(Math.max(toInteger(from.length), 0), Number.MAX_SAFE_INTEGER)
  if (at + count > lengthOf(real)) throw new RangeError('offset is out of bounds')
  // A view of the same memory is read whole before anything is written, so that no part overwrites
  // another.
  const values = sameBuffer(realOf(source), real) ? Array.from(from) : undefined
  for (let k = 0; k < count; k++)
    foreignAccess().store(real, at + k, toElement(real, values ? values[k] : from[k]))
})

function sameBuffer(source: unknown, view: SharedView): boolean {
  return isSharedView(source) && source.buffer === view.buffer
}

function checkComparator(compare: unknown): void {
  if (compare !== undefined && !callable(compare))
    throw new TypeError('The comparison function must be either a function or undefined')
}

type Constructor = new (length: number) => PrivateArray
const tagOf = getterOf(prototype, Symbol.toStringTag)

function intrinsic(view: SharedView): Constructor {
  return Reflect.get(globalThis, tagOf(view) as string) as Constructor
}

/** A private array of the same type with the same elements. */
function copyOf(view: SharedView): PrivateArray {
  const length = lengthOf(view)
  const copy = new (intrinsic(view))(length)
  for (let k = 0; k < length; k++) copy[k] = foreignAccess().load(view, k)
  return copy
}

/** TypedArraySpeciesCreate: an array of the type that a subclass wants for its `slice`. */
function speciesCreate(view: SharedView, length: number): PrivateArray {
  const { constructor } = view as { constructor?: unknown }
  if (constructor === undefined) return new (intrinsic(view))(length)
  if (typeof constructor !== 'function' && (typeof constructor !== 'object' || constructor === null))
    throw new TypeError('The .constructor property is not an object')
  const species: unknown = Reflect.get(constructor, Symbol.species)
  return new ((species ?? intrinsic(view)) as Constructor)(length)
}

/** Stores an element in an array that a species made: it may be one of shared memory again. */
function put(proxies: ProxyMaker, array: PrivateArray, index: number, value: unknown): void {
  ;(proxies.of(array) as Record<number, unknown>)[index] = value
}
