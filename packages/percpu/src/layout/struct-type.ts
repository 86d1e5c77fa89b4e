/** The type of structs: their methods, and the paths of their offsets. */
import type { Memory } from '#mem'
import type { Accessor, Draft, Journalled, ReadonlyAccessor, TypedStruct, TypeOf } from './accessor-types.js'
import type { Scope, UndoLog } from './flavours.js'
import type { Fields, FieldSpec, Kind, NoFields, Pad } from './types.js'

/** A layout, made by `struct()`. It never changes. Without parameters it is any of them. */
export interface Struct<F extends Fields = NoFields, K extends Kind = Kind> extends TypedStruct<F, K> {
  /** Byte offsets by path. For hot paths, copy them to constants of the module. */
  readonly offsets: Readonly<Record<Path<F>, number>>
  /**
   * Offsets in 32-bit words.
   *
   * @throws ArgumentError for a field that does not lie at a multiple of 4 bytes.
   */
  readonly words: Readonly<Record<Path<F>, number>>
  /**
   * The accessor of the object at `address`, in bytes: a multiple of the struct's alignment.
   *
   * @throws ArgumentError when it is misaligned, out of the memory or in the header page of a
   *   machine, or `memory` is none.
   */
  at(memory: Memory, address: number): Accessor<Struct<F, K>>
  /**
   * As {@link at} for one memory, with accessors of its own that compile to bare typed-array
   * accesses.
   *
   * @throws ArgumentError unless `memory` is one. The function throws one for an address where no
   *   such object can be.
   */
  bind(memory: Memory): (address: number) => Accessor<Struct<F, K>>
  /**
   * Bytes of an object with so many elements in its array of run-time length.
   *
   * @throws ArgumentError for a struct without such an array, or for another number.
   */
  sizeFor(length: number): number
  /** The field that contains byte `offset`, as `pair[2].x` or `name[3]`; undefined in a hole. */
  nameAt(offset: number): string | undefined

  /**
   * @internal As {@link at}; what is written through it goes into the log first, as long as that is
   *   open.
   */
  journalled(log: UndoLog, address: number): Journalled<Struct<F, K>>
  /**
   * @internal As {@link at}, with setters for locked fields too, as long as the scope has its
   *   memory.
   */
  draft(scope: Scope, address: number): Draft<Struct<F, K>>
  /** @internal As {@link at}, with no setters, as long as the scope has its memory. */
  reader(scope: Scope, address: number): ReadonlyAccessor<Struct<F, K>>
}

/**
 * Any struct, for functions that take one. In JSDoc a bare `Struct` would be `Struct<any, any>`.
 */
export type AnyStruct = Struct

type PathsUnder<Name extends string, S extends FieldSpec> = S extends Pad
  ? never
  : TypeOf<S> extends { readonly form: 'struct'; readonly definition: infer G extends Fields }
    ? Name | `${Name}.${Path<G>}`
    : Name
/** `'hits' | 'arch' | 'arch.lpid'`: every field that has an offset of its own. */
export type Path<F extends Fields> = { [P in keyof F & string]: PathsUnder<P, F[P]> }[keyof F & string]
