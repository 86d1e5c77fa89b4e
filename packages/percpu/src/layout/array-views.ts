/**
 * Views: the values of array fields. Every index is checked: outside the array an ArgumentError is
 * thrown, and nothing is read or written.
 *
 * Numbers lie at `base + index` in units of their view: bytes for 8-bit and big-endian ones,
 * elements for others. The compiler takes everything that a class closes over for constant, as in
 * scalar-properties.ts. So `at` and `set` compile to the access and the check.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { ArgumentError } from '../errors.js'
import { jsonAs, showAs } from '../inspect.js'
import { shown } from '../shown.js'
import { encodeAddress, loadAddress, storeAddress } from './addresses.js'
import {
  checkStretch,
  copyInBytes,
  copyOutBytes,
  elementsFor,
  recordStretch,
  type TypedArray,
} from './array-copies.js'
import type { Flavour, Held, Holder, UndoLog } from './flavours.js'
import { notA, typeOfValue } from './values.js'
import { flavours } from './flavours.js'
import type { AddressType, Kind, Scalar } from './types.js'
import { typeName } from './types.js'

interface View<Element> extends Iterable<Element> {
  readonly length: number
  /**
   * The element at `index`, an integer from 0 to `length` - 1.
   *
   * @throws ArgumentError for any other.
   */
  at(index: number): Element
}
/** A plain array of numbers that cannot be written here. */
export interface ReadonlyArrayView<Value> extends View<Value> {
  /** A private copy; each element is read once, not all at one moment. */
  toArray(): Value[]
  /**
   * Fills `target` with the elements from index `from` on, default 0. Not all are of one moment.
   *
   * @throws ArgumentError if there are not so many, or `target` is no typed array of such elements.
   */
  copyTo(target: TypedArray, from?: number): void
}
/** A plain array of numbers. */
export interface ArrayView<Value> extends ReadonlyArrayView<Value> {
  /**
   * Writes the element at `index`, an integer from 0 to `length` - 1.
   *
   * @throws ArgumentError for any other.
   */
  set(index: number, value: Value): void
  /**
   * Writes all of `source`, from index `to` on, default 0. Numbers that do not fit wrap as in a
   * typed array.
   *
   * @throws ArgumentError if there is no room, or `source` is no typed array of such elements, or
   *   one of them is no address; nothing is written then. In a section JournalFullError.
   */
  copyFrom(source: TypedArray, to?: number): void
}
/** An array of atomic words: `at` gives the cell. */
export type AtomicArrayView<Cell> = View<Cell>
/** An array of structs or of arrays: `at` gives the accessor or the inner array. */
export type StructArrayView<Element> = View<Element>

function outside(index: number, length: number): ArgumentError {
  return new ArgumentError(`index ${shown(index)} is outside an array of ${String(length)} elements`, {
    index,
    length,
  })
}

/** How the numbers of a type are read and written. One takes `step` units of the view. */
interface Access<Value, V> {
  readonly view: (memory: Memory) => V
  readonly load: (view: V, index: number) => Value
  readonly store: (view: V, index: number, value: Value) => void
  readonly step: number
}
function access<Value, V>(
  view: (memory: Memory) => V,
  load: (view: V, index: number) => Value,
  store: (view: V, index: number, value: Value) => void,
  step = 1,
): Access<Value, V> {
  return { view, load, store, step }
}

const bytes = (memory: Memory): mem.BytesView => memory.bytes
const little = {
  u8: access(bytes, mem.loadU8, mem.storeU8),
  i8: access(bytes, mem.load8, mem.store8),
  u16: access((memory) => memory.u16, mem.loadU16, mem.storeU16),
  i16: access((memory) => memory.i16, mem.load16, mem.store16),
  u32: access((memory) => memory.u32, mem.loadU32, mem.storeU32),
  i32: access((memory) => memory.i32, mem.load32, mem.store32),
  u64: access((memory) => memory.u64, mem.loadU64, mem.storeU64),
  f32: access((memory) => memory.f32, mem.loadF32, mem.storeF32),
  f64: access((memory) => memory.f64, mem.loadF64, mem.storeF64),
}
const addresses = access((memory) => memory.i32, loadAddress, storeAddress)
const bigEndian = {
  u8: little.u8,
  i8: little.i8,
  u16: access(bytes, mem.loadBigU16, mem.storeBigU16, 2),
  i16: access(bytes, mem.loadBig16, mem.storeBig16, 2),
  u32: access(bytes, mem.loadBigU32, mem.storeBigU32, 4),
  i32: access(bytes, mem.loadBig32, mem.storeBig32, 4),
  u64: access(bytes, mem.loadBigU64, mem.storeBigU64, 8),
  f32: access(bytes, mem.loadBigF32, mem.storeBigF32, 4),
  f64: access(bytes, mem.loadBigF64, mem.storeBigF64, 8),
}

interface NumbersBase extends Held {
  /** Of element 0, in units of the view. */
  readonly base: number
  readonly length: number
}
type NumberArray<Value> = new (
  holder: Holder,
  base: number,
  length: number,
) => ReadonlyArrayView<Value> & NumbersBase

function numbers<Value, V>(
  how: Access<Value, V>,
  flavour: Flavour,
  type: Scalar | AddressType,
): NumberArray<Value> {
  const { view, load, step } = how
  const { memoryOf } = flavour
  return class {
    declare readonly holder: Holder
    declare readonly base: number
    declare readonly length: number
    constructor(holder: Holder, base: number, length: number) {
      this.holder = holder
      this.base = base
      this.length = length
    }
    at(index: number): Value {
      if (typeof index !== 'number' || index >>> 0 !== index || index >= this.length)
        throw outside(index, this.length)
      return load(view(memoryOf(this)), this.base + index * step)
    }
    toArray(): Value[] {
      return Array.from(this)
    }
    copyTo(target: TypedArray, from = 0): void {
      const elements = elementsFor('target', type, target)
      checkStretch(from, elements.length, this.length)
      const address = (this.base + from * step) * (type.size / step)
      if (copyOutBytes(memoryOf(this), type, address, elements)) return
      for (let i = 0; i < elements.length; i++) elements[i] = this.at(from + i) as never
    }
    *[Symbol.iterator](): IterableIterator<Value> {
      for (let index = 0; index < this.length; index++) yield this.at(index)
    }
  }
}

/** Of an index and a value. @throws ArgumentError. */
type Check = (view: NumbersBase, index: number, value: unknown) => void
type Copier = (this: NumbersBase, source: TypedArray, to?: number) => void

/** `copyFrom`: everything is checked, and recorded, before the first element is written. */
function copier<Value, V>(how: Access<Value, V>, flavour: Flavour, type: Scalar | AddressType): Copier {
  const { view, store, step } = how as Access<unknown, V>
  const { memoryOf } = flavour
  return function (source, to = 0) {
    const given = elementsFor('source', type, source)
    checkStretch(to, given.length, this.length)
    // Addresses are checked first, in a copy: nobody changes them after that.
    const elements = type.form === 'address' ? given.slice() : given
    if (type.form === 'address') for (const each of elements) encodeAddress(each as number)
    const memory = memoryOf(this)
    const first = this.base + to * step
    const address = first * (type.size / step)
    // Mutant: layout/copy-before-entries.
    if (flavour.name === 'section')
      recordStretch(this.holder as UndoLog, address, elements.length * type.size)
    if (copyInBytes(memory, type, address, elements)) return
    for (let i = 0; i < elements.length; i++) store(view(memory), first + i * step, elements[i])
  }
}

type Setter = (this: NumbersBase, index: number, value: unknown) => void

function setter<Value, V>(how: Access<Value, V>, flavour: Flavour, size: number, check: Check): Setter {
  const { view, store, step } = how as Access<unknown, V>
  const { memoryOf } = flavour
  const record = recorder(size, step)
  if (flavour.name === 'section') {
    return function (index, value) {
      check(this, index, value)
      // Before the store, or a kill in between would leave it for good. Mutant:
      // layout/element-before-entry.
      record(this.holder as UndoLog, this.base + index * step)
      store(view(memoryOf(this)), this.base + index * step, value)
    }
  }
  return function (index, value) {
    check(this, index, value)
    store(view(memoryOf(this)), this.base + index * step, value)
  }
}

function checkIndex({ length }: NumbersBase, index: number): void {
  if (typeof index !== 'number' || index >>> 0 !== index || index >= length) throw outside(index, length)
}
function checkSmall({ length }: NumbersBase, index: number, value: unknown): void {
  if (typeof index !== 'number' || index >>> 0 !== index || index >= length) throw outside(index, length)
  if (typeof value !== 'number') throw notA('number', value)
}
function checkBig({ length }: NumbersBase, index: number, value: unknown): void {
  if (typeof index !== 'number' || index >>> 0 !== index || index >= length) throw outside(index, length)
  if (typeof value !== 'bigint') throw notA('bigint', value)
}

/** For addresses in a section: one that is refused takes no entry. */
const setAddress: Setter = function (index, value) {
  if (typeof index !== 'number' || index >>> 0 !== index || index >= this.length)
    throw outside(index, this.length)
  ;(this.holder as UndoLog).write32(this.base + index, encodeAddress(value as number))
}

/** Records a number of `size` bytes, which is `step` units of the view. */
function recorder(size: number, step: number): (log: UndoLog, index: number) => void {
  if (size === 1) return (log, index) => log.record8(index)
  if (size === 2) return (log, index) => log.record16(index / step)
  if (size === 4) return (log, index) => log.record32(index / step)
  return (log, index) => log.record64(index / step)
}

const made = new Map<string, NumberArray<number | bigint>>()

/** How the numbers of a type are read and written; addresses are numbers, too. */
function accessOf(type: Scalar | AddressType): Access<number | bigint, unknown> {
  const how = type.form === 'address' ? addresses : (type.big ? bigEndian : little)[type.name]
  return how as unknown as Access<number | bigint, unknown>
}

/** The view class of an array of `type` of this kind. */
export function numberArrayOf(
  type: Scalar | AddressType,
  { name, canWrite }: Flavour,
  kind: Kind | undefined,
): NumberArray<number | bigint> {
  const isWritable = canWrite(kind)
  const key = `${name} ${String(isWritable)} ${type.form === 'address' ? 'address' : typeName(type)}`
  const known = made.get(key)
  if (known !== undefined) return known
  const how = accessOf(type)
  const fresh = numbers(how, flavours[name], type)
  if (isWritable) {
    const isLogged = name === 'section' && type.form === 'address'
    const value = isLogged
      ? setAddress
      : setter(
          how,
          flavours[name],
          type.size,
          type.form === 'address' ? checkIndex : typeOfValue(type) === 'bigint' ? checkBig : checkSmall,
        )
    Object.defineProperty(fresh.prototype, 'set', { value })
    Object.defineProperty(fresh.prototype, 'copyFrom', { value: copier(how, flavours[name], type) })
  } else if (name !== 'value') {
    for (const method of ['set', 'copyFrom'])
      Object.defineProperty(fresh.prototype, method, { value: refuse })
  }
  showAs<ReadonlyArrayView<number | bigint>>(fresh, (view) => ({ length: view.length, first: firstOf(view) }))
  jsonAs<ReadonlyArrayView<number | bigint>>(fresh, 'array', (view) => view.toArray())
  made.set(key, fresh)
  return fresh
}

/** For who writes without the types: what is missing tells less. */
function refuse(): never {
  throw new ArgumentError('this array cannot be written here: it is locked: write it in a section')
}

function firstOf(view: ReadonlyArrayView<number | bigint>): (number | bigint)[] {
  return Array.from({ length: Math.min(view.length, 16) }, (_, index) => view.at(index))
}

/** Bytes in one unit of `base` of {@link numberArrayOf}. */
export function unitOf(type: Scalar | AddressType): number {
  return type.form === 'scalar' && type.big ? 1 : type.size
}

/** An array of cells, structs or arrays. Their views are made when they are asked for. */
export class ViewArray<Element> implements View<Element> {
  static {
    showAs<ViewArray<unknown>>(this, ({ length, address }) => ({ length, address }))
    // An inner array, a struct or a cell gives its own; an address may lead nowhere.
    jsonAs<ViewArray<{ toJSON(): unknown } | undefined>>(this, 'array', (view) =>
      Array.from(view, (part) => part?.toJSON() ?? null),
    )
  }

  declare readonly holder: Holder
  /** Byte address of element 0. */
  declare readonly address: number
  declare readonly length: number
  declare private readonly stride: number
  declare private readonly make: (holder: Holder, address: number) => Element
  constructor(
    holder: Holder,
    address: number,
    length: number,
    stride: number,
    make: (holder: Holder, address: number) => Element,
  ) {
    this.holder = holder
    this.address = address
    this.length = length
    this.stride = stride
    this.make = make
  }
  at(index: number): Element {
    if (typeof index !== 'number' || index >>> 0 !== index || index >= this.length)
      throw outside(index, this.length)
    return this.make(this.holder, this.address + index * this.stride)
  }
  *[Symbol.iterator](): IterableIterator<Element> {
    for (let index = 0; index < this.length; index++) yield this.at(index)
  }
}
