/**
 * The types of accessors. They have the operations that the kinds of their fields allow.
 *
 *     Accessor     by Struct.at       an object that other threads may see: `locked` is read-only
 *     Journalled   by section.at      an object under a lock: each write can be taken back
 *     Draft        given to `init`    an object that nobody else can see yet: all can be written
 *     ReadonlyAccessor                an object that does not change
 */
import type { Memory } from '#mem'
import type { AtomicAddress } from './addresses.js'
import type { ArrayView, AtomicArrayView, ReadonlyArrayView, StructArrayView } from './array-views.js'
import type { AtomicI32, AtomicU32, AtomicU64, ReadonlyCell } from './atomic-cells.js'
import type { ReadonlyTextArray, TextArray } from './text-fields.js'
import type {
  AddressType,
  ArrayType,
  Field,
  Fields,
  FlexibleType,
  Kind,
  NoFields,
  Pad,
  Scalar,
  ScalarName,
  StructType,
  TextType,
  Type,
} from './types.js'

/** A struct with fields `F`, whose unmarked fields are of kind `K`. */
export interface TypedStruct<F extends Fields = NoFields, K extends Kind = Kind> extends StructType {
  /** The kind of its unmarked fields. */
  readonly kind: K
  /** The fields as they were given. */
  readonly definition: F
}

/** The property of an accessor that has its struct. */
export const structOf: unique symbol = Symbol.for('percpu.accessor')

/** The properties of every accessor beside its fields. */
export interface StructView<S extends TypedStruct> {
  readonly memory: Memory
  /** Bytes from the start of the memory. */
  readonly address: number
  /** A private copy. Each word is read once, not all at one moment. */
  toObject(): Infer<S>
  /** As {@link toObject}, for `JSON.stringify`: bigints as text. Throws nothing. */
  toJSON(): unknown
  /** The struct, for functions that take an accessor. */
  readonly [structOf]: S
}

/** An object that other threads may see. Its locked fields are written in sections. */
export type Accessor<S extends TypedStruct> = AccessorIn<S, 'shared'>
/**
 * An object in a section: the writes are taken back unless the section is committed. Atomic fields
 * are read-only, as others could have seen what is taken back. Every use after the end of the
 * section throws a SectionError.
 */
export type Journalled<S extends TypedStruct> = AccessorIn<S, 'section'>
/** An object under construction. Every use after `init` has returned throws a DraftError. */
export type Draft<S extends TypedStruct> = AccessorIn<S, 'draft'>
/** An object that does not change, such as a value of a map. It is good as long as its view is. */
export type ReadonlyAccessor<S extends TypedStruct> = AccessorIn<S, 'value'>

type Mode = 'shared' | 'section' | 'draft' | 'value'
type AccessorIn<S extends TypedStruct, M extends Mode> = StructView<S> &
  (IsDynamic<S['definition']> extends true
    ? Record<string, unknown>
    : Writable<S['definition'], S['kind'], M> & ReadOnly<S['definition'], S['kind'], M> & Following<S, M>)

type Writable<F, K, M> = {
  -readonly [P in keyof F as HasSetter<F[P], K, M> extends true ? P : never]: FieldIn<F[P], K, M>
}
type ReadOnly<F, K, M> = {
  readonly [
    P in keyof F as F[P] extends Pad ? never : HasSetter<F[P], K, M> extends true ? never : P
  ]: FieldIn<F[P], K, M>
}
type FieldIn<S, K, M> = ViewOf<TypeOf<S>, KindOf<S, K>, M>

/** Plain scalars and addresses are properties; everything else is a view to go through. */
type HasSetter<S, K, M> = S extends Pad
  ? false
  : TypeOf<S> extends Scalar | AddressType | TextType
    ? CanWrite<KindOf<S, K>, M>
    : false
type CanWrite<K, M> = K extends 'atomic'
  ? false
  : M extends 'value'
    ? false
    : M extends 'shared'
      ? IsNot<K, 'locked'>
      : true
type IsNot<K, Other> = K extends Other ? false : true

type ViewOf<T, K, M> =
  T extends Scalar<infer Name>
    ? K extends 'atomic'
      ? CellIn<Name, M>
      : Value<Name>
    : T extends AddressType
      ? K extends 'atomic'
        ? AddressCellIn<M>
        : number
      : T extends TextType<infer Name>
        ? TextOf<Name>
        : T extends ArrayType<infer Element> | FlexibleType<infer Element>
          ? ElementsOf<Element, K, M>
          : T extends TypedStruct
            ? AccessorIn<T, M & Mode>
            : never
type TextOf<Name> = Name extends 'text' ? string : Uint8Array
type ElementsOf<Element, K, M> = Element extends Scalar | AddressType
  ? K extends 'atomic'
    ? AtomicArrayView<ViewOf<Element, K, M>>
    : CanWrite<K, M> extends true
      ? ArrayView<PlainOf<Element>>
      : ReadonlyArrayView<PlainOf<Element>>
  : Element extends TextType
    ? CanWrite<K, M> extends true
      ? TextArray<PlainOf<Element>>
      : ReadonlyTextArray<PlainOf<Element>>
    : StructArrayView<ViewOf<Element, K, M>>

type CellIn<Name extends ScalarName, M> = M extends 'section' ? ReadonlyCell<Value<Name>> : AtomicCell<Name>
type AddressCellIn<M> = M extends 'section' ? ReadonlyCell<number> : AtomicAddress
export type AtomicCell<Name> = Name extends 'i32' ? AtomicI32 : Name extends 'u32' ? AtomicU32 : AtomicU64

/** Only where there is an address of something known. */
type Following<S extends TypedStruct, M> = [FollowedNames<S['definition']>] extends [never]
  ? unknown
  : {
      /**
       * The objects that the addresses of this one lead to, by the names of the fields: an
       * accessor, or undefined for none. For an array it is a view, whose `at` gives them. Atomic
       * addresses are loaded atomically. Making an accessor costs a few ns.
       *
       * @throws ArgumentError for an address where no such object can be.
       */
      readonly follow: {
        readonly [P in FollowedNames<S['definition']>]: FollowedFrom<S, TypeOf<S['definition'][P]>, M>
      }
    }
type FollowedNames<F> = { [P in keyof F]: IsFollowed<TypeOf<F[P]>> extends true ? P : never }[keyof F]
type IsFollowed<T> =
  T extends AddressType<infer Target>
    ? Target extends undefined
      ? false
      : true
    : T extends ArrayType<infer Element>
      ? IsFollowed<Element>
      : false
type FollowedFrom<S extends TypedStruct, T, M> =
  T extends AddressType<infer Target>
    ? TargetIn<S, Target, M extends 'draft' | 'value' ? 'shared' : M> | undefined
    : T extends ArrayType<infer Element>
      ? StructArrayView<FollowedFrom<S, Element, M>>
      : never
type TargetIn<S extends TypedStruct, Target, M> = Target extends 'self'
  ? AccessorIn<S, M & Mode>
  : Target extends TypedStruct
    ? AccessorIn<Target, M & Mode>
    : never

export type TypeOf<S> = S extends Field<infer T> ? T : S extends Type ? S : never
export type KindOf<S, Default> = S extends { readonly form: 'field'; readonly kind: infer K }
  ? K extends Kind
    ? K
    : Default
  : Default
type Value<Name extends ScalarName> = Name extends 'u64' ? bigint : number

/** A private copy of a field: a number, a bigint, an array or an object of them. */
type PlainOf<T> =
  T extends Scalar<infer Name>
    ? Value<Name>
    : T extends AddressType
      ? number
      : T extends TextType<infer Name>
        ? TextOf<Name>
        : T extends ArrayType<infer Element> | FlexibleType<infer Element>
          ? PlainOf<Element>[]
          : T extends { readonly form: 'struct'; readonly definition: infer G }
            ? PlainFields<G>
            : never
/** Whether the fields are only known when the program runs, as `Record<string, FieldSpec>`. */
type IsDynamic<F> = string extends keyof F ? true : false
type Flat<T> = { [P in keyof T]: T[P] }
type PlainFields<F> =
  IsDynamic<F> extends true
    ? Record<string, unknown>
    : Flat<{ -readonly [P in keyof F as F[P] extends Pad ? never : P]: PlainOf<TypeOf<F[P]>> }>
/** The plain object that an object of the struct reads as. */
export type Infer<S> = S extends { readonly definition: infer F } ? PlainFields<F> : never
