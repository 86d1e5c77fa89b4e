/** What a struct is to TypeScript: its fields' types, the accessor each kind allows, and the paths of its offsets. */
import type { Memory } from '#mem'
import type { ArrayView, AtomicArrayView, StructArrayView } from './array-views.js'
import type { AtomicI32, AtomicU32, AtomicU64 } from './atomic-cells.js'
import type {
  ArrayType,
  Field,
  Fields,
  FieldSpec,
  Kind,
  Pad,
  Scalar,
  ScalarName,
  StructType,
  Type,
} from './types.js'

/** No field in particular. */
export type NoFields = { readonly [P in never]: FieldSpec }

/** A layout: made by `struct()`, never changed afterwards. `Struct` without parameters is any of them. */
export interface Struct<F extends Fields = NoFields, K extends Kind = Kind> extends StructType {
  /** The kind of its unmarked fields. */
  readonly kind: K
  /** The fields as they were given. */
  readonly definition: F
  /** Byte offsets by path. For hot paths, copy them to constants of the module. */
  readonly offsets: Readonly<Record<Path<F>, number>>
  /** Offsets in 32-bit words. Asking for a field that is not aligned to 4 bytes throws. */
  readonly words: Readonly<Record<Path<F>, number>>
  /** The accessor of the object at `address` (bytes). Throws when it is misaligned or out of the memory. */
  at(memory: Memory, address: number): Accessor<F, K>
  /** As {@link at} for one memory, with accessors of their own that compile to bare typed-array accesses. */
  bind(memory: Memory): (address: number) => Accessor<F, K>
  /** The name of the word that contains byte `offset`, as `pair[2].x` or `name[3]`; undefined in a hole. */
  nameAt(offset: number): string | undefined
}

/** Any struct: for functions that take whichever. (In JSDoc a bare `Struct` would be `Struct<any, any>`.) */
export type AnyStruct = Struct

/** What every accessor has beside its fields. */
export interface StructView<Plain> {
  readonly memory: Memory
  /** Bytes from the start of the memory. */
  readonly address: number
  /** A private copy, for debugging: each word is read once, not all at one moment. */
  toObject(): Plain
}

type Flat<T> = { [P in keyof T]: T[P] }
type TypeOf<S> = S extends Field<infer T> ? T : S extends Type ? S : never
type KindOf<S, Default> = S extends { readonly form: 'field'; readonly kind: infer K }
  ? K extends Kind
    ? K
    : Default
  : Default
type Value<Name extends ScalarName> = Name extends 'u64' ? bigint : number

/** A private copy of a field: a number, a bigint, an array or an object of them. */
type PlainOf<T> =
  T extends Scalar<infer Name>
    ? Value<Name>
    : T extends ArrayType<infer Element>
      ? PlainOf<Element>[]
      : T extends Struct<infer G>
        ? PlainFields<G>
        : never
/** Whether the fields are only known when the program runs, as `Record<string, FieldSpec>`. */
type IsDynamic<F> = string extends keyof F ? true : false
export type PlainFields<F> =
  IsDynamic<F> extends true
    ? Record<string, unknown>
    : Flat<{ -readonly [P in keyof F as F[P] extends Pad ? never : P]: PlainOf<TypeOf<F[P]>> }>
/** The plain object that an object of the struct reads as. */
export type Infer<S> = S extends { readonly definition: infer F } ? PlainFields<F> : never

export type AtomicCell<Name> = Name extends 'i32' ? AtomicI32 : Name extends 'u32' ? AtomicU32 : AtomicU64

type ViewOf<T, K> =
  T extends Scalar<infer Name>
    ? K extends 'atomic'
      ? AtomicCell<Name>
      : Value<Name>
    : T extends ArrayType<infer Element>
      ? ElementsOf<Element, K>
      : T extends Struct<infer G, infer D>
        ? Accessor<G, D>
        : never
type ElementsOf<Element, K> =
  Element extends Scalar<infer Name>
    ? K extends 'atomic'
      ? AtomicArrayView<AtomicCell<Name>>
      : ArrayView<Value<Name>>
    : StructArrayView<ViewOf<Element, K>>

/** Plain scalars are properties to read and write; everything else is a view to go through. */
type IsProperty<S, K> = S extends Pad
  ? false
  : TypeOf<S> extends Scalar
    ? KindOf<S, K> extends 'atomic'
      ? false
      : true
    : false

type PropertiesOf<F, K> = {
  -readonly [P in keyof F as IsProperty<F[P], K> extends true ? P : never]: ViewOf<
    TypeOf<F[P]>,
    KindOf<F[P], K>
  >
}
type ViewsOf<F, K> = {
  readonly [P in keyof F as F[P] extends Pad ? never : IsProperty<F[P], K> extends true ? never : P]: ViewOf<
    TypeOf<F[P]>,
    KindOf<F[P], K>
  >
}
/** An object of a struct with fields `F`, whose unmarked fields are of kind `K`. */
export type Accessor<F extends Fields, K extends Kind = Kind> = StructView<PlainFields<F>> &
  (IsDynamic<F> extends true ? Record<string, unknown> : PropertiesOf<F, K> & ViewsOf<F, K>)

type PathsUnder<Name extends string, S extends FieldSpec> = S extends Pad
  ? never
  : TypeOf<S> extends { readonly form: 'struct'; readonly definition: infer G extends Fields }
    ? Name | `${Name}.${Path<G>}`
    : Name
/** `'hits' | 'arch' | 'arch.lpid'`: every field that has an offset of its own. */
export type Path<F extends Fields> = { [P in keyof F & string]: PathsUnder<P, F[P]> }[keyof F & string]
