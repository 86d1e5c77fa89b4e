/** A struct's layout as data, for hashes, lock files and comparisons. */
import { hashNumbers, hashText } from '../arithmetic.js'
import type { Kind, StructType } from './types.js'
import { innermostOf } from './types.js'
import { reading } from './values.js'

/** One field of a {@link LayoutDescription}. Plain JSON. */
export interface FieldDescription {
  readonly path: string
  readonly type: string
  /** Absent for reserved bytes and for nested structs. */
  readonly kind?: Kind
  /** The lock of a locked field. */
  readonly lock?: string
  /** Bytes from the start of the outermost struct. */
  readonly offset: number
  readonly size: number
}
/** A layout as plain JSON. */
export interface LayoutDescription {
  readonly name: string
  readonly size: number
  readonly align: number
  readonly fields: readonly FieldDescription[]
}

type Described = Pick<StructType, 'name' | 'size' | 'align' | 'fields'>

/** The layout of `struct` as plain JSON, nested structs included. @throws ArgumentError. */
export function describe(struct: Described): LayoutDescription {
  return reading('struct', struct, () => ({
    name: struct.name,
    size: struct.size,
    align: struct.align,
    fields: struct.fields.map((field) => ({
      path: field.path,
      type: field.typeName,
      ...(field.kind !== undefined && { kind: field.kind }),
      ...(field.lock !== undefined && { lock: field.lock }),
      offset: field.offset,
      size: field.size,
    })),
  }))
}

/** A hash of the description, and of the structs that addresses lead to. Unsigned, 32 bits. */
export function hashOf(struct: Described): number {
  const own = hashText(JSON.stringify(describe(struct)))
  const targets = struct.fields.flatMap(({ type }) => {
    const leaf = type === undefined ? undefined : innermostOf(type)
    const target = leaf?.form === 'address' ? leaf.target : undefined
    return target === undefined || target === 'self' ? [] : [target.hash]
  })
  return targets.length === 0 ? own : hashNumbers([own, ...targets])
}
