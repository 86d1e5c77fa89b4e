/**
 * Builds the accessor class of a struct: one property for each field, with only the operations that its kind allows. A
 * plain scalar has a getter and a setter, an atomic one a getter of its cell, everything else a getter of a view.
 *
 * A class made for one memory (`Struct.bind`) closes over it: the compiler then knows the typed arrays as constants.
 * Either way each access goes through the Memory object, so that taking its views away stops every accessor.
 *
 * Cost: see "layout" in docs/benchmarks.md. Views and cells are made at each use; optimised code does not allocate them.
 */
import type { Memory } from '#mem'
import { ViewArray, numberArrayOf, unitOf } from './array-views.js'
import { atomicCell, AtomicI32, AtomicU32, AtomicU64 } from './atomic-cells.js'
import { readStruct } from './read.js'
import type { ByteBased, MemoryOf, WordBased } from './scalar-properties.js'
import { byteProperty, isNarrow, wordProperty } from './scalar-properties.js'
import type { ArrayType, Kind, Member, Scalar, StructType, Type } from './types.js'
import { strideOf } from './types.js'

/** `base` is address / 4 for a struct aligned to 4 bytes or more, the address for a smaller one. */
export type AccessorClass = new (memory: Memory, base: number) => object
type Based = WordBased & ByteBased
type Getter = (this: Based) => unknown

const generic = new WeakMap<StructType, AccessorClass>()
const ownMemory: MemoryOf = (self) => self.memory
const inspect = Symbol.for('nodejs.util.inspect.custom')

/** Whether accessors of a type with this alignment keep `baseWord` rather than `byte`. */
export function isWordBased(align: number): boolean {
  return align >= 4
}

/** The class of `struct` for any memory: made once. */
export function accessorClass(struct: StructType): AccessorClass {
  let made = generic.get(struct)
  if (made === undefined) {
    made = makeClass(struct, ownMemory, accessorClass)
    generic.set(struct, made)
  }
  return made
}

/** A class of `struct` for one memory, and so of the structs nested in it. */
export function boundClass(struct: StructType, memory: Memory): AccessorClass {
  const fixed = memory
  const of: MemoryOf = () => fixed
  const made = new Map<StructType, AccessorClass>()
  const classOf = (inner: StructType): AccessorClass => {
    const known = made.get(inner) ?? makeClass(inner, of, classOf)
    made.set(inner, known)
    return known
  }
  return classOf(struct)
}

function makeClass(
  struct: StructType,
  of: MemoryOf,
  classOf: (struct: StructType) => AccessorClass,
): AccessorClass {
  const made = isWordBased(struct.align) ? wordClass() : byteClass()
  const common: PropertyDescriptorMap & ThisType<{ memory: Memory; address: number }> = {
    toObject: {
      value() {
        return readStruct(this.memory, struct, this.address)
      },
    },
    [inspect]: {
      value() {
        return readStruct(this.memory, struct, this.address)
      },
    },
    [Symbol.toStringTag]: { value: struct.name },
  }
  Object.defineProperties(made.prototype, common)
  for (const member of struct.members) {
    const property = propertyOf(struct, member, of, classOf)
    if (property !== undefined)
      Object.defineProperty(made.prototype, member.name, { ...property, enumerable: true })
  }
  return made
}

// Both are plain classes, not derived ones: a call of `super` costs more than the allocation.
function wordClass(): AccessorClass {
  return class {
    declare readonly memory: Memory
    declare readonly baseWord: number
    constructor(memory: Memory, word: number) {
      this.memory = memory
      this.baseWord = word
    }
    get address(): number {
      return this.baseWord * 4
    }
  }
}
function byteClass(): AccessorClass {
  return class {
    declare readonly memory: Memory
    declare readonly baseByte: number
    constructor(memory: Memory, byte: number) {
      this.memory = memory
      this.baseByte = byte
    }
    get address(): number {
      return this.baseByte
    }
  }
}

function propertyOf(
  struct: StructType,
  member: Member,
  of: MemoryOf,
  classOf: (struct: StructType) => AccessorClass,
): PropertyDescriptor | undefined {
  const { type, kind, offset } = member
  if (type === undefined) return undefined
  const words = isWordBased(struct.align)
  if (type.form === 'scalar') {
    if (kind === 'atomic') return { get: cellGetter(type, of, offset) }
    return words ? wordProperty(type, of, offset) : narrowProperty(type, of, offset)
  }
  if (type.form === 'struct') return { get: structGetter(struct, type, of, offset, classOf) }
  const { element } = type
  if (element.form === 'scalar' && kind !== 'atomic')
    return { get: numbersGetter(struct, type, element, of, offset) }
  const make = maker(type, kind, classOf)
  const address = baseGetter(words, 1, offset)
  return {
    get(this: Based) {
      return make(of(this), address(this))
    },
  }
}

function narrowProperty(scalar: Scalar, of: MemoryOf, offset: number): PropertyDescriptor {
  if (!isNarrow(scalar))
    throw new TypeError(`a ${scalar.name} cannot be in a struct aligned to less than 4 bytes`)
  return byteProperty(scalar, of, offset)
}

function cellGetter(scalar: Scalar, of: MemoryOf, offset: number): Getter {
  if (scalar.name === 'u64') {
    const at = offset / 8
    return function () {
      return new AtomicU64(of(this), (this.baseWord >> 1) + at)
    }
  }
  const at = offset / 4
  if (scalar.name === 'i32') {
    return function () {
      return new AtomicI32(of(this), this.baseWord + at)
    }
  }
  return function () {
    return new AtomicU32(of(this), this.baseWord + at)
  }
}

/** Where something at `offset` of the struct begins, in units of 1, 2, 4 or 8 bytes. */
function baseGetter(words: boolean, unit: number, offset: number): (self: Based) => number {
  const at = offset / unit
  if (!words) return unit === 1 ? (self) => self.baseByte + at : (self) => self.baseByte / unit + at
  if (unit === 1) return (self) => self.baseWord * 4 + at
  if (unit === 2) return (self) => self.baseWord * 2 + at
  return unit === 4 ? (self) => self.baseWord + at : (self) => (self.baseWord >> 1) + at
}

function structGetter(
  outer: StructType,
  inner: StructType,
  of: MemoryOf,
  offset: number,
  classOf: (struct: StructType) => AccessorClass,
): Getter {
  const Inner = classOf(inner)
  const base = baseGetter(isWordBased(outer.align), isWordBased(inner.align) ? 4 : 1, offset)
  return function () {
    return new Inner(of(this), base(this))
  }
}

function numbersGetter(
  struct: StructType,
  type: ArrayType,
  element: Scalar,
  of: MemoryOf,
  offset: number,
): Getter {
  const Numbers = numberArrayOf(element)
  const base = baseGetter(isWordBased(struct.align), unitOf(element), offset)
  const { length } = type
  return function () {
    return new Numbers(of(this), base(this), length)
  }
}

/** Makes the view of something of `type` at a byte address. */
function maker(
  type: Type,
  kind: Kind | undefined,
  classOf: (struct: StructType) => AccessorClass,
): (memory: Memory, address: number) => unknown {
  if (type.form === 'struct') {
    const Class = classOf(type)
    const unit = isWordBased(type.align) ? 4 : 1
    return (memory, address) => new Class(memory, address / unit)
  }
  if (type.form === 'scalar') return (memory, address) => atomicCell(memory, type.name, address)
  const { element, length } = type
  if (element.form === 'scalar' && kind !== 'atomic') {
    const Numbers = numberArrayOf(element)
    const unit = unitOf(element)
    return (memory, address) => new Numbers(memory, address / unit, length)
  }
  const make = maker(element, kind, classOf)
  const stride = strideOf(element)
  return (memory, address) => new ViewArray(memory, address, length, stride, make)
}
