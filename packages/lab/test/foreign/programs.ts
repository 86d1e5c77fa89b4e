/** Runs programs as they are and transformed, and records what they do to shared memory. */
import vm from 'node:vm'
import { types } from 'node:util'
import { foreignAccess, ordinary, setForeignAccess, type ForeignAccess } from '../../dist/foreign/access.js'
import '../../dist/foreign/runtime.js'
import { transform } from '../../dist/foreign/transform.js'

/** What a program did: its result or error, what it logged, and its shared memory afterwards. */
export interface Outcome {
  readonly result: unknown
  readonly error: string | undefined
  readonly log: readonly unknown[]
  readonly memory: string
}

const SIZE = 64

function initialise(buffer: SharedArrayBuffer): SharedArrayBuffer {
  const words = new Int32Array(buffer)
  for (let k = 0; k < 16; k++) words[k] = k * k - 20
  return buffer
}

function hex(buffer: SharedArrayBuffer): string {
  return Buffer.from(new Uint8Array(buffer)).toString('hex')
}

/**
 * Runs the body of an async function that has `i32` and `u8` (both over one shared buffer of 64
 * bytes), `big`, `f64`, `data` (a DataView), `own` (a private Int32Array), and `log(value)`, which
 * gives its value back.
 */
export async function run(
  body: string,
  how: 'as it is' | 'transformed',
  buffer: SharedArrayBuffer = initialise(new SharedArrayBuffer(SIZE)),
): Promise<Outcome> {
  const log: unknown[] = []
  const program = `return (async function (i32, u8, big, f64, data, own, log) {${body}\n})`
  const code =
    how === 'as it is' ? program : transform(program, { file: 'program.js', format: 'commonjs' }).code
  const make = Reflect.apply(vm.compileFunction(code), undefined, []) as (
    ...args: unknown[]
  ) => Promise<unknown>
  const i32 = new Int32Array(buffer)
  const views = [
    i32,
    new Uint8Array(buffer),
    new BigInt64Array(buffer),
    new Float64Array(buffer),
    new DataView(buffer),
  ]
  let result: unknown
  let error: string | undefined
  try {
    result = await make(...views, Int32Array.of(5, 6, 7, 8), (value: unknown) => {
      log.push(simple(value))
      return value
    })
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.name : String(thrown)
  }
  return { result: simple(result), error, log, memory: hex(buffer) }
}

/**
 * A value that can be compared: functions are all alike, and a proxy, which no program may get hold
 * of, is like nothing.
 */
function simple(value: unknown, depth = 3): unknown {
  if (types.isProxy(value)) return 'a proxy'
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return value
  // What shared views hold is compared at the end.
  if (types.isTypedArray(value) && types.isSharedArrayBuffer(value.buffer))
    return `${Object.prototype.toString.call(value)} of ${value.length}, shared`
  if (types.isTypedArray(value))
    return `${Object.prototype.toString.call(value)} ${Array.prototype.join.call(value)}`
  if (types.isAnyArrayBuffer(value)) return 'a buffer'
  if (depth === 0) return 'an object'
  if (Array.isArray(value)) return value.map((part: unknown) => simple(part, depth - 1))
  const parts = Object.entries(Object.getOwnPropertyDescriptors(value)).map(
    ([key, { value: part }]) => [key, simple(part as unknown, depth - 1)] as const,
  )
  return { tag: Object.prototype.toString.call(value), ...Object.fromEntries(parts) }
}

/** The accesses that a call makes, as text: `load 3`, `store 3 = 7`, `add 0 1`. */
export async function recorded(work: () => unknown): Promise<string[]> {
  const seen: string[] = []
  const before = setForeignAccess(recorder(seen))
  try {
    await work()
  } finally {
    setForeignAccess(before)
  }
  return seen
}

function recorder(seen: string[]): ForeignAccess {
  return {
    ...ordinary,
    load: (view, index) => (seen.push(`load ${index}`), ordinary.load(view, index)),
    store: (view, index, value) => {
      seen.push(`store ${index} = ${value}`)
      ordinary.store(view, index, value)
    },
    loadAtomic: (view, index) => (seen.push(`atomic load ${index}`), ordinary.loadAtomic(view, index)),
    storeAtomic: (view, index, value) => {
      seen.push(`atomic store ${index} = ${value}`)
      ordinary.storeAtomic(view, index, value)
    },
    modify: (view, index, operation, value) => {
      seen.push(`${operation} ${index} ${value}`)
      return ordinary.modify(view, index, operation, value)
    },
    compareExchange: (view, index, expected, replacement) => {
      seen.push(`compareExchange ${index} ${expected} ${replacement}`)
      return ordinary.compareExchange(view, index, expected, replacement)
    },
    wait: (view, index, value, timeout) => {
      seen.push(`wait ${index} ${value} ${timeout}`)
      return ordinary.wait(view, index, value, timeout)
    },
    waitAsync: (view, index, value, timeout) => {
      seen.push(`waitAsync ${index} ${value} ${timeout}`)
      return ordinary.waitAsync(view, index, value, timeout)
    },
    notify: (view, index, count) => {
      seen.push(`notify ${index} ${count}`)
      return ordinary.notify(view, index, count)
    },
    loadData: (view, type, offset, littleEndian) => {
      seen.push(`get${type} ${offset} ${littleEndian}`)
      return ordinary.loadData(view, type, offset, littleEndian)
    },
    storeData: (view, type, offset, value, littleEndian) => {
      seen.push(`set${type} ${offset} ${value} ${littleEndian}`)
      ordinary.storeData(view, type, offset, value, littleEndian)
    },
    unseen: (_view, method) => {
      seen.push(`unseen ${method}`)
    },
  }
}

/**
 * An access whose views are elsewhere: each real view stands for the same part of a shadow buffer.
 * A program that gets past the access reads the zeros, or writes the bytes, of the real one.
 */
function shadowing(): { access: ForeignAccess; shadow: SharedArrayBuffer } {
  const shadow = new SharedArrayBuffer(SIZE)
  type View = ArrayBufferView & { readonly length?: number }
  const there = <Real extends View>(view: Real): Real => {
    const name = Object.prototype.toString.call(view).slice(8, -1)
    const constructor = Reflect.get(globalThis, name) as new (...args: unknown[]) => Real
    return new constructor(shadow, view.byteOffset, view.length ?? view.byteLength)
  }
  const access: ForeignAccess = {
    load: (view, ...rest) => ordinary.load(there(view), ...rest),
    store: (view, ...rest) => ordinary.store(there(view), ...rest),
    loadAtomic: (view, ...rest) => ordinary.loadAtomic(there(view), ...rest),
    storeAtomic: (view, ...rest) => ordinary.storeAtomic(there(view), ...rest),
    modify: (view, ...rest) => ordinary.modify(there(view), ...rest),
    compareExchange: (view, ...rest) => ordinary.compareExchange(there(view), ...rest),
    wait: (view, ...rest) => ordinary.wait(there(view), ...rest),
    waitAsync: (view, ...rest) => ordinary.waitAsync(there(view), ...rest),
    notify: (view, ...rest) => ordinary.notify(there(view), ...rest),
    loadData: (view, ...rest) => ordinary.loadData(there(view), ...rest),
    storeData: (view, ...rest) => ordinary.storeData(there(view), ...rest),
    unseen: () => undefined,
  }
  return { access, shadow }
}

/**
 * Runs a transformed body on shadow memory; the real one, which it is given too, must stay empty.
 */
export async function runInShadow(body: string): Promise<Outcome> {
  const { access, shadow } = shadowing()
  initialise(shadow)
  const before = setForeignAccess(access)
  try {
    const { memory, ...outcome } = await run(body, 'transformed', new SharedArrayBuffer(SIZE))
    if (/[^0]/.test(memory)) throw new Error(`memory was written past the access: ${memory}`)
    return { ...outcome, memory: hex(shadow) }
  } finally {
    setForeignAccess(before)
  }
}

/** Runs a body both ways; gives the difference, or undefined, and the accesses that were seen. */
export async function compare(body: string) {
  if (foreignAccess() !== ordinary) throw new Error('an earlier test has left its access in place')
  const plain = await run(body, 'as it is')
  let after: Outcome | undefined
  const accesses = await recorded(async () => {
    after = await run(body, 'transformed')
  })
  return { plain, after, accesses }
}
