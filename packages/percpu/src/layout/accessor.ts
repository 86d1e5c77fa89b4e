/**
 * Builds the accessor classes of a struct: a property for each field, with only the operations that
 * its kind allows. A plain number has a getter, and a setter where its flavour has one. An atomic
 * one has a getter of its cell. Everything else has a getter of a view.
 *
 * A class made for one memory (`Struct.bind`) closes over it: the compiler then knows the typed
 * arrays as constants. Each access goes through the Memory object, so that taking its views away
 * stops every accessor.
 *
 * Cost: see "layout" in docs/benchmarks.md. Views and cells are made at each use, and optimised
 * code does not allocate them.
 */
import type { Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { structOf } from './accessor-types.js'
import { addressProperty, journalledAddress } from './addresses.js'
import { ViewArray, numberArrayOf, unitOf } from './array-views.js'
import { cellClass, ReadonlyCell } from './atomic-cells.js'
import type { Flavour, Held, Holder } from './flavours.js'
import { boundTo, flavours } from './flavours.js'
import { flexibleLength } from './flexible.js'
import type { Targets } from './follow.js'
import { followClass } from './follow.js'
import { jsonOf } from '../inspect.js'
import { checked } from './checked-properties.js'
import { journalledByte, journalledWord } from './journalled-properties.js'
import { isWordBased } from './locate.js'
import { readStruct } from './read.js'
import type { ByteBased, WordBased } from './scalar-properties.js'
import { byteProperty, isNarrow, wordProperty } from './scalar-properties.js'
import { textArrayOf, textProperty } from './text-fields.js'
import type { AddressType, ArrayType, FlexibleType, Kind, Member, Scalar, StructType, Type } from './types.js'
import { strideOf } from './types.js'

/** `base` is address / 4 for a struct aligned to 4 bytes or more, the address for a smaller one. */
export type AccessorClass = new (holder: Holder, base: number) => object
type Based = WordBased & ByteBased
type Getter = (this: Based) => unknown
type ClassOf = (struct: StructType) => AccessorClass

const inspect = Symbol.for('nodejs.util.inspect.custom')

/**
 * The accessor classes of one flavour. Each is made when it is first needed, as most structs never
 * are in a section.
 */
export class AccessorClasses {
  readonly #flavour: Flavour
  readonly #made = new WeakMap<StructType, AccessorClass>()
  /** Those without all of their properties yet: these can lead back to the same struct. */
  #making: Map<StructType, AccessorClass> | undefined

  constructor(flavour: Flavour) {
    this.#flavour = flavour
  }

  /** The class of `struct`. */
  readonly of: ClassOf = (struct) => {
    const making = this.#making
    const known = this.#made.get(struct) ?? making?.get(struct)
    if (known !== undefined) return known
    if (making === undefined) return this.#make(struct)
    const made = isWordBased(struct.align) ? wordClass() : byteClass()
    making.set(struct, made)
    defineProperties(made, struct, this.#flavour, this.of)
    return made
  }
  /** With all that it leads to; or nothing of it, where there is no room on the stack. */
  #make(struct: StructType): AccessorClass {
    const making = new Map<StructType, AccessorClass>()
    this.#making = making
    try {
      const made = this.of(struct)
      for (const [each, Class] of making) this.#made.set(each, Class)
      return made
    } finally {
      this.#making = undefined
    }
  }
}

export const sharedClasses = new AccessorClasses(flavours.shared)
export const sectionClasses = new AccessorClasses(flavours.section)
export const draftClasses = new AccessorClasses(flavours.draft)
export const valueClasses = new AccessorClasses(flavours.value)

const ofMemory = new WeakMap<Memory, AccessorClasses>()
/** The accessors of one memory. */
export function boundClasses(memory: Memory): AccessorClasses {
  const known = ofMemory.get(memory) ?? new AccessorClasses(boundTo(memory))
  ofMemory.set(memory, known)
  return known
}

function defineProperties(made: AccessorClass, struct: StructType, flavour: Flavour, classOf: ClassOf): void {
  const { memoryOf } = flavour
  const common: PropertyDescriptorMap & ThisType<Held & { memory: Memory; address: number }> = {
    memory: {
      get() {
        return memoryOf(this)
      },
    },
    toObject: {
      value() {
        return readStruct(this.memory, struct, this.address)
      },
    },
    toJSON: {
      value() {
        return jsonOf(struct.name, () => readStruct(this.memory, struct, this.address))
      },
    },
    [inspect]: {
      value() {
        return readStruct(this.memory, struct, this.address)
      },
    },
    [Symbol.toStringTag]: { value: struct.name },
    [structOf]: { value: struct },
  }
  Object.defineProperties(made.prototype, common)
  for (const member of struct.members) {
    const property = propertyOf(struct, member, flavour, classOf)
    if (property !== undefined)
      Object.defineProperty(made.prototype, member.name, {
        set: readOnly(struct, member, flavour),
        ...property,
        enumerable: true,
      })
  }
  const Follow = followClass(struct, flavour, targetsOf(flavour, classOf))
  if (Follow === undefined) return
  Object.defineProperty(made.prototype, 'follow', {
    get(this: Based) {
      return new Follow(this.holder, this.baseWord)
    },
  })
}

/** The setter of a property that has none: without it code that is not strict would go on. */
function readOnly(
  { name: struct }: StructType,
  { name, kind, type }: Member,
  flavour: Flavour,
): (value: unknown) => never {
  const isOne = type !== undefined && ['scalar', 'address', 'text'].includes(type.form)
  const how =
    flavour.name === 'value'
      ? 'it is part of a value that does not change: set another one'
      : !isOne
        ? 'write what is in it'
        : kind === 'atomic'
          ? 'it is atomic: use the methods of its cell'
          : 'it is locked: write it in a section'
  return () => {
    throw new ArgumentError(`${struct}.${name} cannot be assigned here: ${how}`, { struct, field: name })
  }
}

/** An address in a draft, or in a value, leads to an object that others may see. */
function targetsOf({ name, memoryOf }: Flavour, classOf: ClassOf): Targets {
  return name === 'draft' || name === 'value'
    ? { classOf: sharedClasses.of, holderOf: (holder) => memoryOf({ holder }) }
    : { classOf, holderOf: (holder) => holder }
}

// Both are plain classes, not derived ones: a call of `super` costs more than the allocation.
function wordClass(): AccessorClass {
  return class {
    declare readonly holder: Holder
    declare readonly baseWord: number
    constructor(holder: Holder, word: number) {
      this.holder = holder
      this.baseWord = word
    }
    get address(): number {
      return this.baseWord * 4
    }
  }
}
function byteClass(): AccessorClass {
  return class {
    declare readonly holder: Holder
    declare readonly baseByte: number
    constructor(holder: Holder, byte: number) {
      this.holder = holder
      this.baseByte = byte
    }
    get address(): number {
      return this.baseByte
    }
  }
}

function propertyOf(
  struct: StructType,
  { type, kind, offset }: Member,
  flavour: Flavour,
  classOf: ClassOf,
): PropertyDescriptor | undefined {
  if (type === undefined) return undefined
  if (type.form === 'struct') return { get: structGetter(struct, type, offset, classOf) }
  if (type.form === 'text') return textProperty(type, flavour, kind, offset)
  if (type.form === 'flexible') return flexibleProperty(type, kind, flavour, classOf, offset)
  if (type.form !== 'array') {
    return kind === 'atomic'
      ? { get: cellGetter(type, flavour, offset) }
      : plainProperty(struct, type, kind, flavour, offset)
  }
  const { element } = type
  if (isNumber(element) && kind !== 'atomic')
    return { get: numbersGetter(struct, type, element, kind, flavour, offset) }
  const make = maker(type, kind, flavour, classOf)
  const address = baseGetter(isWordBased(struct.align), 1, offset)
  return {
    get(this: Based) {
      return make(this.holder, address(this))
    },
  }
}

/** Its length is the object's own. */
function flexibleProperty(
  type: FlexibleType,
  kind: Kind | undefined,
  flavour: Flavour,
  classOf: ClassOf,
  offset: number,
): PropertyDescriptor {
  const make = elementsMaker(type.element, kind, flavour, classOf)
  const { memoryOf } = flavour
  return {
    get(this: Based) {
      const address = this.baseWord * 4 + offset
      return make(this.holder, address + type.size, flexibleLength(memoryOf(this), type, address))
    },
  }
}

function isNumber(type: Type): type is Scalar | AddressType {
  return type.form === 'scalar' || type.form === 'address'
}

function plainProperty(
  { align }: StructType,
  scalar: Scalar | AddressType,
  kind: Kind | undefined,
  flavour: Flavour,
  offset: number,
): PropertyDescriptor {
  const { name, memoryOf } = flavour
  if (scalar.form === 'address') {
    const property = (name === 'section' ? journalledAddress : addressProperty)(memoryOf, offset)
    return flavour.canWrite(kind) ? property : { get: property.get }
  }
  if (isWordBased(align)) {
    const property = wordProperty(scalar, memoryOf, offset)
    if (!flavour.canWrite(kind)) return { get: property.get }
    return name === 'section' ? journalledWord(property, scalar, offset) : checked(property, scalar)
  }
  if (!isNarrow(scalar))
    throw new TypeError(`a ${scalar.name} cannot be in a struct aligned to less than 4 bytes`)
  const property = byteProperty(scalar, memoryOf, offset)
  if (!flavour.canWrite(kind)) return { get: property.get }
  return name === 'section' ? journalledByte(property, scalar.size, offset) : checked(property, scalar)
}

function cellGetter(type: Scalar | AddressType, { name, memoryOf }: Flavour, offset: number): Getter {
  const index = baseGetter(true, type.size, offset)
  const Cell = cellClass(type)
  if (name === 'section') {
    return function () {
      return new ReadonlyCell<number | bigint>(new Cell(memoryOf(this), index(this)))
    }
  }
  return function () {
    return new Cell(memoryOf(this), index(this))
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

function structGetter(outer: StructType, inner: StructType, offset: number, classOf: ClassOf): Getter {
  const Inner = classOf(inner)
  const base = baseGetter(isWordBased(outer.align), isWordBased(inner.align) ? 4 : 1, offset)
  return function () {
    return new Inner(this.holder, base(this))
  }
}

function numbersGetter(
  struct: StructType,
  { length }: ArrayType,
  element: Scalar | AddressType,
  kind: Kind | undefined,
  flavour: Flavour,
  offset: number,
): Getter {
  const Numbers = numberArrayOf(element, flavour, kind)
  const base = baseGetter(isWordBased(struct.align), unitOf(element), offset)
  return function () {
    return new Numbers(this.holder, base(this), length)
  }
}

/** Makes the view of something of `type` at a byte address. */
function maker(
  type: Type,
  kind: Kind | undefined,
  flavour: Flavour,
  classOf: ClassOf,
): (holder: Holder, address: number) => unknown {
  if (type.form === 'struct') {
    const Class = classOf(type)
    const unit = isWordBased(type.align) ? 4 : 1
    return (holder, address) => new Class(holder, address / unit)
  }
  if (type.form === 'text' || type.form === 'flexible')
    throw new TypeError(`a ${type.form} is no element with a view of its own`)
  if (type.form !== 'array') {
    const { name, memoryOf } = flavour
    const Cell = cellClass(type)
    const unit = type.size
    const cell = (holder: Holder, address: number) => new Cell(memoryOf({ holder }), address / unit)
    return name === 'section'
      ? (holder, address) => new ReadonlyCell<number | bigint>(cell(holder, address))
      : cell
  }
  const { element, length } = type
  const make = elementsMaker(element, kind, flavour, classOf)
  return (holder, address) => make(holder, address, length)
}

/** Makes the view of so many elements from a byte address on. */
function elementsMaker(
  element: Type,
  kind: Kind | undefined,
  flavour: Flavour,
  classOf: ClassOf,
): (holder: Holder, address: number, length: number) => unknown {
  if (isNumber(element) && kind !== 'atomic') {
    const Numbers = numberArrayOf(element, flavour, kind)
    const unit = unitOf(element)
    return (holder, address, length) => new Numbers(holder, address / unit, length)
  }
  if (element.form === 'text') {
    const Texts = textArrayOf(element, flavour, kind)
    return (holder, address, length) => new Texts(holder, address, length)
  }
  const make = maker(element, kind, flavour, classOf)
  const stride = strideOf(element)
  return (holder, address, length) => new ViewArray(holder, address, length, stride, make)
}
