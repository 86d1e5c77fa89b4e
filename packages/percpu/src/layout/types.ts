/**
 * The types of fields: scalars, addresses, text, arrays of anything, reserved bytes and structs.
 * These are descriptions, plain frozen objects that hold no data.
 *
 * Sizes and alignments are those of the C ABI of 64-bit machines: a scalar is aligned to its size.
 */
import { roundUp } from '../arithmetic.js'
import { shown } from '../shown.js'
import { badDefinition } from './errors.js'

/** Bytes of a cache line, unless a struct's `lineSize` says otherwise. */
export const CACHE_LINE = 64
/** Largest struct, in bytes. */
export const MAX_SIZE = 2 ** 31
/** Longest text, in bytes. */
const MAX_TEXT = 2 ** 20

/** Which CPUs may touch a word and how, for its whole life: docs/memory-model.md. */
export type Kind = 'atomic' | 'owner' | 'locked' | 'published' | 'racy'

/** The numbers that there are. */
export type ScalarName = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'f32' | 'f64'

/** A number in memory. */
export interface Scalar<Name extends ScalarName = ScalarName, Big extends boolean = boolean> {
  readonly form: 'scalar'
  readonly name: Name
  readonly size: number
  readonly align: number
  /** Most significant byte first. Otherwise in the order of the machine, which is little-endian. */
  readonly big: Big
}

/** So many elements of one type, one after the other. */
export interface ArrayType<Element extends Type = Type, Length extends number = number> {
  readonly form: 'array'
  readonly element: Element
  readonly length: Length
}

/** Where an object lies, in 32 bits: addresses.ts. */
export interface AddressType<
  Target extends StructType | 'self' | undefined = StructType | 'self' | undefined,
> {
  readonly form: 'address'
  readonly size: number
  readonly align: number
  /**
   * The struct of what lies there: `'self'` for the struct that has the field, undefined for any.
   */
  readonly target: Target
}

/** Text, or bytes, of up to so many bytes; their number comes first, in 32 bits: text-fields.ts. */
export interface TextType<Name extends 'text' | 'bytes' = 'text' | 'bytes'> {
  readonly form: 'text'
  readonly name: Name
  /** Bytes of the longest. */
  readonly capacity: number
  readonly size: number
  readonly align: number
}

/** As many elements as the object was made with; their number comes first, in 32 bits. */
export interface FlexibleType<Element extends Type = Type> {
  readonly form: 'flexible'
  readonly element: Element
  /** Bytes from the number to the first element. */
  readonly size: number
  readonly align: number
}

/** Reserved bytes: they have a place and a name in reports, and no accessor. */
export interface Pad {
  readonly form: 'pad'
  readonly size: number
}

/**
 * A struct as types see it. What it is to its users, with the types of its fields: struct-type.ts.
 */
export interface StructType {
  readonly form: 'struct'
  readonly name: string
  /** Bytes, with trailing padding to the natural alignment of the fields. */
  readonly size: number
  /** Bytes: a power of two. Objects may only be placed at multiples of it. */
  readonly align: number
  /** Size rounded up to the alignment: the distance between the elements of an array. */
  readonly stride: number
  /**
   * A hash of everything that two threads must agree on: names, types, kinds, offsets, size and
   * alignment, also of the structs that addresses lead to. Unsigned, 32 bits.
   */
  readonly hash: number
  /** Bytes of a cache line, for the contracts and reports of this struct. */
  readonly lineSize: number
  /** Whether its last field is an array of run-time length. */
  readonly isFlexible: boolean
  /** Its direct members, in order. */
  readonly members: readonly Member[]
  /** Its members and those of nested structs, flat. */
  readonly fields: readonly FieldInfo[]
}

/** What a field can be. */
export type Type = Scalar | AddressType | TextType | ArrayType | FlexibleType | StructType
/** Types that a kind can be put on. A nested struct brings the kinds of its own fields. */
export type Markable = Scalar | AddressType | TextType | ArrayType<Markable> | FlexibleType<Markable>
/** Numbers that can be atomic. */
export type AtomicScalar = Scalar<'i32' | 'u32' | 'u64', false>
/** Types that the kind atomic can be put on. */
export type Atomicable = AtomicScalar | AddressType | ArrayType<Atomicable> | FlexibleType<Atomicable>

/** Bytes, a power of two; `'cacheline'` is the struct's `lineSize`, `'page'` is 4096. */
export type Alignment = number | 'cacheline' | 'page'

/** A type with its kind, the lock of a locked field, and its alignment. */
export interface Field<T extends Type = Type, K extends Kind | undefined = Kind | undefined> {
  readonly form: 'field'
  readonly type: T
  readonly kind: K
  readonly lock: string | undefined
  readonly align: Alignment | undefined
}

/** Whatever stands beside the name of a field in a definition. */
export type FieldSpec = Type | Field | Pad
/** The fields of a struct, in the order in which they lie in memory. */
export type Fields = Readonly<Record<string, FieldSpec>>
/** No field in particular. */
export type NoFields = { readonly [P in never]: FieldSpec }

/** One direct member of a struct, placed. */
export interface Member {
  readonly name: string
  /** Undefined for reserved bytes. */
  readonly type: Type | undefined
  /** Undefined for reserved bytes and for nested structs, whose fields have kinds of their own. */
  readonly kind: Kind | undefined
  readonly lock: string | undefined
  /** Bytes from the start of the struct. */
  readonly offset: number
  /** Bytes. */
  readonly size: number
  /** Bytes. */
  readonly align: number
}

/**
 * One row of the flat table of a struct: a member, or a member of a nested struct under its path.
 */
export interface FieldInfo extends Member {
  /** `arch.lpid`; `pair[].x` for a field of the elements of an array of structs. */
  readonly path: string
  /** 0 for direct members. */
  readonly depth: number
  /** `u32`, `be u16`, `u8[16]`, `struct Inner`, `pad`. */
  readonly typeName: string
}

function scalar<Name extends ScalarName>(name: Name, size: number): Scalar<Name, false> {
  return Object.freeze({ form: 'scalar', name, size, align: size, big: false })
}

/** An unsigned 8-bit integer. */
export const u8 = scalar('u8', 1)
/** A signed 8-bit integer. */
export const i8 = scalar('i8', 1)
/** An unsigned 16-bit integer. */
export const u16 = scalar('u16', 2)
/** A signed 16-bit integer. */
export const i16 = scalar('i16', 2)
/** An unsigned 32-bit integer. */
export const u32 = scalar('u32', 4)
/** A signed 32-bit integer. */
export const i32 = scalar('i32', 4)
/** Read and written as a bigint. */
export const u64 = scalar('u64', 8)
/** A 32-bit floating-point number. */
export const f32 = scalar('f32', 4)
/** A 64-bit floating-point number. */
export const f64 = scalar('f64', 8)

/**
 * The same number with its most significant byte first.
 *
 * @throws LayoutError for anything but a scalar of 2, 4 or 8 bytes.
 */
export function big<Name extends Exclude<ScalarName, 'u8' | 'i8'>>(
  type: Scalar<Name, false>,
): Scalar<Name, true> {
  if (!isForm(type, 'scalar') || type.size === 1) {
    throw badDefinition(`big() takes a scalar of 2, 4 or 8 bytes, not ${nameOfUnknown(type)}`)
  }
  return Object.freeze({ ...type, big: true })
}

/**
 * The byte address of an object: a multiple of 8 below 8 GiB, or 0 for none. It takes 32 bits.
 * Where the struct of the object is given, the accessor's `follow` gives the object; `'self'` is
 * the struct that the field is in.
 *
 * @throws LayoutError for any other target.
 */
export function address(): AddressType<undefined>
export function address<Target extends StructType | 'self'>(target: Target): AddressType<Target>
export function address(target?: StructType | 'self'): AddressType {
  if (target !== undefined && target !== 'self' && !isForm(target, 'struct')) {
    throw badDefinition(`address() takes a struct, 'self' or nothing, not ${nameOfUnknown(target)}`)
  }
  return Object.freeze({ form: 'address', size: 4, align: 4, target })
}

/**
 * `length` elements, 1 to 2^31, each at a multiple of its own alignment. A kind of the element
 * becomes that of the array.
 *
 * @throws LayoutError for another length, an element that is no type, or one with an alignment.
 */
export function array<T extends Type, Length extends number>(element: T, length: Length): ArrayType<T, Length>
export function array<T extends Type, K extends Kind | undefined, Length extends number>(
  element: Field<T, K>,
  length: Length,
): Field<ArrayType<T, Length>, K>
export function array(element: Type | Field, length: number): ArrayType | Field {
  if (!Number.isInteger(length) || length < 1 || length > MAX_SIZE) {
    throw badDefinition(`array() takes a length between 1 and 2^31, not ${shown(length)}`, { found: length })
  }
  if (isForm(element, 'field')) {
    if (element.align !== undefined) {
      throw badDefinition('an element of an array cannot have an alignment of its own; align the array')
    }
    return Object.freeze({ ...element, type: array(element.type, length) })
  }
  checkElement('array', element)
  return Object.freeze({ form: 'array', element, length })
}

/**
 * Text of up to `capacity` bytes of UTF-8, 1 to 2^20, read and written as a string. Its length is
 * kept before it.
 *
 * @throws LayoutError for another capacity.
 */
export function text(capacity: number): TextType<'text'> {
  return textType('text', capacity)
}
/**
 * Up to `capacity` bytes, 1 to 2^20, read as a private `Uint8Array` and written from one. Their
 * number is kept before them.
 *
 * @throws LayoutError for another capacity.
 */
export function bytes(capacity: number): TextType<'bytes'> {
  return textType('bytes', capacity)
}
function textType<Name extends 'text' | 'bytes'>(name: Name, capacity: number): TextType<Name> {
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_TEXT)
    throw badDefinition(`${name}() takes a number of bytes between 1 and 2^20, not ${shown(capacity)}`, {
      found: capacity,
    })
  return Object.freeze({ form: 'text', name, capacity, size: 4 + roundUp(capacity, 4), align: 4 })
}

/**
 * An array whose length each object has of its own, from when it was made (`heap.create`). It is
 * the last field of a struct. A kind of the element becomes that of the array.
 *
 * @throws LayoutError for an element that is no type, or one with an alignment.
 */
export function flexible<T extends Type>(element: T): FlexibleType<T>
export function flexible<T extends Type, K extends Kind | undefined>(
  element: Field<T, K>,
): Field<FlexibleType<T>, K>
export function flexible(element: Type | Field): FlexibleType | Field {
  if (isForm(element, 'field')) {
    if (element.align !== undefined)
      throw badDefinition('an element of an array cannot have an alignment of its own; align the array')
    return Object.freeze({ ...element, type: flexible(element.type) })
  }
  checkElement('flexible', element)
  const align = Math.max(4, alignOf(element))
  return Object.freeze({ form: 'flexible', element, size: align, align })
}

function checkElement(what: string, element: Type): void {
  if (!isType(element))
    throw badDefinition(
      `${what}() takes a scalar, an address, text, an array or a struct, not ${nameOfUnknown(element)}`,
    )
  const leaf = leafOf(element)
  if (leaf.form === 'flexible' || (leaf.form === 'struct' && leaf.isFlexible))
    throw badDefinition(`${what}() of ${typeName(element)}: an array of run-time length is no element`)
}

/** `bytes` reserved bytes, 1 to 2^31. @throws LayoutError for any other number. */
export function pad(bytes: number): Pad {
  if (!Number.isInteger(bytes) || bytes < 1 || bytes > MAX_SIZE) {
    throw badDefinition(`pad() takes a number of bytes between 1 and 2^31, not ${shown(bytes)}`, {
      found: bytes,
    })
  }
  return Object.freeze({ form: 'pad', size: bytes })
}

export function isForm<Form extends FieldSpec['form']>(
  value: FieldSpec,
  form: Form,
): value is Extract<FieldSpec, { form: Form }> {
  return typeof value === 'object' && formOf(value) === form
}

function formOf(value: unknown): unknown {
  try {
    return (value as Partial<FieldSpec> | null | undefined)?.form
  } catch {
    // A proxy or a getter that does not answer.
    return undefined
  }
}

/** Whether it is a type, without kind or alignment. */
export function isType(value: FieldSpec): value is Type {
  return ['scalar', 'address', 'text', 'array', 'flexible', 'struct'].some((form) =>
    isForm(value, form as Type['form']),
  )
}

export function nameOfUnknown(value: unknown): string {
  if (isType(value as FieldSpec)) return typeName(value as Type)
  if (value === address) return 'the function address: call it'
  const form = formOf(value)
  return typeof form === 'string' ? form : value === null ? 'null' : typeof value
}

/** The type as reports and hashes spell it: `be u32`, `u8[16]`, `struct Inner`, `address(Node)`. */
export function typeName(type: Type): string {
  if (type.form === 'scalar') return type.big ? `be ${type.name}` : type.name
  if (type.form === 'struct') return `struct ${type.name}`
  if (type.form === 'address')
    return `address${type.target === undefined ? '' : `(${nameOfTarget(type.target)})`}`
  if (type.form === 'text') return `${type.name}(${String(type.capacity)})`
  let dimensions = type.form === 'flexible' ? '[]' : ''
  let element: Type = type.form === 'flexible' ? type.element : type
  while (element.form === 'array') {
    dimensions += `[${String(element.length)}]`
    element = element.element
  }
  return typeName(element) + dimensions
}

function nameOfTarget(target: StructType | 'self'): string {
  return target === 'self' ? target : target.name
}

export function alignOf(type: Type): number {
  return type.form === 'array' ? alignOf(type.element) : type.align
}

/** Bytes from one element to the next in an array of `type`. */
export function strideOf(type: Type): number {
  return type.form === 'struct' ? type.stride : sizeOf(type)
}

/** Bytes; of an array of run-time length, without its elements. */
export function sizeOf(type: Type): number {
  if (type.form === 'array') return type.length * strideOf(type.element)
  // Inside another struct a struct takes its stride. So it is in C, whose sizes are multiples of
  // alignments.
  return type.form === 'struct' ? type.stride : type.size
}

/** The innermost element of an array of arrays. */
export function leafOf(type: Type): Exclude<Type, ArrayType> {
  return type.form === 'array' ? leafOf(type.element) : type
}
/** As {@link leafOf}, and that of an array of run-time length. */
export function innermostOf(type: Type): Exclude<Type, ArrayType | FlexibleType> {
  return type.form === 'array' || type.form === 'flexible' ? innermostOf(type.element) : type
}
