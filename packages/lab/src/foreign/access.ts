/**
 * The end of every access of foreign code to shared memory: one object. It does the ordinary thing,
 * unless an engine has put its own in place. Foreign code is code that was not written for `#mem`.
 * It reaches this object through the import of shim.ts, or through the calls that transform.ts
 * compiles into it.
 *
 * No user code runs inside an access. Indices are whole numbers within the view. Values are
 * converted already: by ToNumber or ToBigInt, or by ToIntegerOrInfinity for atomic operations. They
 * are not cut to the element's width.
 */

export type SharedView =
  | Int8Array<SharedArrayBuffer>
  | Uint8Array<SharedArrayBuffer>
  | Uint8ClampedArray<SharedArrayBuffer>
  | Int16Array<SharedArrayBuffer>
  | Uint16Array<SharedArrayBuffer>
  | Int32Array<SharedArrayBuffer>
  | Uint32Array<SharedArrayBuffer>
  | Float32Array<SharedArrayBuffer>
  | Float64Array<SharedArrayBuffer>
  | BigInt64Array<SharedArrayBuffer>
  | BigUint64Array<SharedArrayBuffer>

/** Views that atomic operations take. */
export type IntegerView = Exclude<
  SharedView,
  Uint8ClampedArray<SharedArrayBuffer> | Float32Array<SharedArrayBuffer> | Float64Array<SharedArrayBuffer>
>

/** Views that a thread can wait on. */
export type WaitableView = Int32Array<SharedArrayBuffer> | BigInt64Array<SharedArrayBuffer>

export type Element = number | bigint
export type Modification = 'add' | 'sub' | 'and' | 'or' | 'xor' | 'exchange'
export type WaitResult = 'ok' | 'not-equal' | 'timed-out'
export type AsyncWaitResult =
  | { readonly async: false; readonly value: 'not-equal' | 'timed-out' }
  | { readonly async: true; readonly value: Promise<'ok' | 'timed-out'> }

/** Element types of a DataView, as in `getInt16`. */
export const dataTypes = [
  'Int8',
  'Uint8',
  'Int16',
  'Uint16',
  'Int32',
  'Uint32',
  'Float32',
  'Float64',
  'BigInt64',
  'BigUint64',
] as const
export type DataType = (typeof dataTypes)[number]

/**
 * The accesses that an engine implements, to see foreign code. Views are real typed arrays over
 * shared buffers, never proxies.
 */
export interface ForeignAccess {
  /** Plain. */
  load(view: SharedView, index: number): Element
  store(view: SharedView, index: number, value: Element): void
  loadAtomic(view: IntegerView, index: number): Element
  storeAtomic(view: IntegerView, index: number, value: Element): void
  /** Gives the element's old value. */
  modify(view: IntegerView, index: number, operation: Modification, value: Element): Element
  /** Gives the element's old value. */
  compareExchange(view: IntegerView, index: number, expected: Element, replacement: Element): Element
  /** `timeout` in milliseconds, at least 0, maybe Infinity. */
  wait(view: WaitableView, index: number, value: Element, timeout: number): WaitResult
  waitAsync(view: WaitableView, index: number, value: Element, timeout: number): AsyncWaitResult
  /** Wakes at most `count` waiters, which may be 0 or Infinity; returns how many. */
  notify(view: WaitableView, index: number, count: number): number
  /** A plain access through a DataView, at a byte offset within it, aligned or not. */
  loadData(view: DataView<SharedArrayBuffer>, type: DataType, offset: number, littleEndian: boolean): Element
  storeData(
    view: DataView<SharedArrayBuffer>,
    type: DataType,
    offset: number,
    value: Element,
    littleEndian: boolean,
  ): void
  /**
   * Called before a method that may touch the shared memory of the view without the accesses above.
   */
  unseen(view: ArrayBufferView<SharedArrayBuffer>, method: string): void
  /** Called where a turn of a loop that may wait begins. */
  turn?(loop: TurningLoop): void
}

/** A loop in which a turn that has changed no memory leaves its thread as it was. */
export interface TurningLoop {
  /** For the engine: where the newest turn began; -1 before the first. */
  from: number
  /** Whether that is so now: it depends on the objects that the loop reads from. */
  remembersNothing(): boolean
}

// TypeScript has separate overloads for arrays of numbers and of bigints. The engine checks at run
// time what it cannot.
type Elements = Record<number, Element>
type Operations = Record<Modification, (view: IntegerView, index: number, value: Element) => Element> & {
  load(view: IntegerView, index: number): Element
  store(view: IntegerView, index: number, value: Element): Element
  compareExchange(view: IntegerView, index: number, expected: Element, replacement: Element): Element
  wait(view: WaitableView, index: number, value: Element, timeout: number): WaitResult
  waitAsync(view: WaitableView, index: number, value: Element, timeout: number): AsyncWaitResult
  notify(view: WaitableView, index: number, count: number): number
}
const operations = Atomics as unknown as Operations
type DataMethods = Record<`get${DataType}`, (offset: number, littleEndian: boolean) => Element> &
  Record<`set${DataType}`, (offset: number, value: Element, littleEndian: boolean) => void>

/** The ordinary accesses, as if there were no lab. */
export const ordinary: ForeignAccess = {
  load: (view, index) => (view as Elements)[index] as Element,
  store: (view, index, value) => {
    ;(view as Elements)[index] = value
  },
  loadAtomic: (view, index) => operations.load(view, index),
  storeAtomic: (view, index, value) => {
    operations.store(view, index, value)
  },
  modify: (view, index, operation, value) => operations[operation](view, index, value),
  compareExchange: (view, index, expected, replacement) =>
    operations.compareExchange(view, index, expected, replacement),
  wait: (view, index, value, timeout) => operations.wait(view, index, value, timeout),
  waitAsync: (view, index, value, timeout) => operations.waitAsync(view, index, value, timeout),
  notify: (view, index, count) => operations.notify(view, index, count),
  loadData: (view, type, offset, littleEndian) =>
    (view as unknown as DataMethods)[`get${type}`](offset, littleEndian),
  storeData: (view, type, offset, value, littleEndian) => {
    ;(view as unknown as DataMethods)[`set${type}`](offset, value, littleEndian)
  },
  unseen: () => undefined,
}

let current = ordinary

/** The object that gets accesses now. */
export function foreignAccess(): ForeignAccess {
  return current
}

/** Puts an engine, or `ordinary`, in place for the calling thread; returns the object before. */
export function setForeignAccess(access: ForeignAccess): ForeignAccess {
  const before = current
  current = access
  return before
}
