/** A struct's layout as data: what the hash is made of, what lock files keep and what diffs compare. */
import type { FieldInfo } from './struct-type.js'
import type { Kind } from './types.js'

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

interface Described {
  readonly name: string
  readonly size: number
  readonly align: number
  readonly fields: readonly FieldInfo[]
}

/** The layout of `struct` as plain JSON, nested structs included. */
export function describe({ name, size, align, fields }: Described): LayoutDescription {
  return {
    name,
    size,
    align,
    fields: fields.map((field) => ({
      path: field.path,
      type: field.typeName,
      ...(field.kind !== undefined && { kind: field.kind }),
      ...(field.lock !== undefined && { lock: field.lock }),
      offset: field.offset,
      size: field.size,
    })),
  }
}

/** FNV-1a, 32 bits, over the UTF-16 units of the description as JSON (Fowler, Noll, Vo; public domain). Unsigned. */
export function hashOf(struct: Described): number {
  const text = JSON.stringify(describe(struct))
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}
