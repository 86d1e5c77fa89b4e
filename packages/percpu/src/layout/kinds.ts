/**
 * Kinds and alignments of fields. docs/memory-model.md says what the kinds mean.
 *
 *     atomic     only through Atomics, at one width
 *     owner      plain: touched by one CPU
 *     locked     plain: touched while holding the named lock
 *     published  plain: written before a publication, read after following it
 *     racy       plain: any value is tolerated (a hint, a statistic)
 */
import { isPowerOfTwo } from '../arithmetic.js'
import { shown } from '../shown.js'
import { badDefinition } from './errors.js'
import type { Alignment, Atomicable, Field, Kind, Markable, Type } from './types.js'
import { isForm, isType, MAX_SIZE, nameOfUnknown } from './types.js'

type Unmarked<T extends Type> = T | Field<T, undefined>

function mark<T extends Type, K extends Kind>(spec: Unmarked<T>, kind: K, lock?: string): Field<T, K> {
  const inner: Type | Field = spec
  if (isForm(inner, 'field')) {
    if (inner.kind !== undefined) {
      throw badDefinition(
        `${kind}() of a field that is already ${inner.kind}: a word has one kind for its life`,
      )
    }
    return Object.freeze({ ...(inner as Field<T, undefined>), kind, lock })
  }
  if (!isType(inner) || inner.form === 'struct') {
    const why = isForm(inner, 'struct') ? '; a nested struct brings the kinds of its own fields' : ''
    throw badDefinition(
      `${kind}() takes a scalar, an address or an array of them, not ${nameOfUnknown(inner)}${why}`,
    )
  }
  return Object.freeze({ form: 'field', type: spec as T, kind, lock, align: undefined })
}

/**
 * Only through `Atomics`: for addresses, and i32, u32 and u64 in the machine's byte order.
 *
 * @throws LayoutError for a field that has a kind already, or a type that cannot have one.
 */
export function atomic<T extends Atomicable>(spec: Unmarked<T>): Field<T, 'atomic'> {
  return mark(spec, 'atomic')
}

/**
 * Plain: touched by one CPU.
 *
 * @throws LayoutError for a field that has a kind already, or a type that cannot have one.
 */
export function owner<T extends Markable>(spec: Unmarked<T>): Field<T, 'owner'> {
  return mark(spec, 'owner')
}

/**
 * Plain: touched by the holder of a lock, whose name is for readers of the code and of reports.
 * Only the accessors of sections and drafts have a setter.
 *
 * @throws LayoutError without a name, for a field that has a kind already, or a type that cannot
 *   have one.
 */
export function locked<T extends Markable>(spec: Unmarked<T>, lock: string): Field<T, 'locked'> {
  if (typeof lock !== 'string' || lock === '') throw badDefinition('locked() takes the name of the lock')
  return mark(spec, 'locked', lock)
}

/**
 * Plain: written before the object is published, read after following its address.
 *
 * @throws LayoutError for a field that has a kind already, or a type that cannot have one.
 */
export function published<T extends Markable>(spec: Unmarked<T>): Field<T, 'published'> {
  return mark(spec, 'published')
}

/**
 * Plain: any value is tolerated.
 *
 * @throws LayoutError for a field that has a kind already, or a type that cannot have one.
 */
export function racy<T extends Markable>(spec: Unmarked<T>): Field<T, 'racy'> {
  return mark(spec, 'racy')
}

/**
 * Starts the field at a multiple of `alignment` bytes, which raises the struct's alignment too.
 *
 * @throws LayoutError for anything but a power of two up to 2^31, `'cacheline'` or `'page'`; for a
 *   field that is aligned already; for what is no type.
 */
export function aligned<T extends Type, K extends Kind | undefined = undefined>(
  spec: T | Field<T, K>,
  alignment: Alignment,
): Field<T, K> {
  if (alignment !== 'cacheline' && alignment !== 'page' && !isAlignment(alignment)) {
    throw badDefinition(`aligned() takes a power of two, 'cacheline' or 'page', not ${shown(alignment)}`, {
      found: alignment,
    })
  }
  const inner: Type | Field = spec
  if (isForm(inner, 'field')) {
    if (inner.align !== undefined) throw badDefinition('aligned() of a field that is already aligned')
    return Object.freeze({ ...(inner as Field<T, K>), align: alignment })
  }
  if (!isType(inner)) {
    throw badDefinition(
      `aligned() takes a scalar, an address, an array or a struct, not ${nameOfUnknown(inner)}`,
    )
  }
  return Object.freeze({
    form: 'field',
    type: spec as T,
    kind: undefined as K,
    lock: undefined,
    align: alignment,
  })
}

/** Whether objects can be aligned to it: a power of two up to the largest struct. */
export function isAlignment(bytes: number): boolean {
  return isPowerOfTwo(bytes) && bytes <= MAX_SIZE
}
