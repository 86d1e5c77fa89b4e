/**
 * The promises that a struct can make about its layout. They are checked when it is defined, as
 * BUILD_BUG_ON does in C. A broken one throws a {@link LayoutError} that names the struct, the
 * field and both numbers.
 */
import { powerOfTwoAbove, roundUp } from '../arithmetic.js'
import { shown } from '../shown.js'
import { badDefinition, LayoutError } from './errors.js'
import { isAlignment } from './kinds.js'
import type { FieldInfo, StructType } from './types.js'

/**
 * The largest offset allowed, in bytes; `'d16'` is 32767, the reach of a signed 16-bit
 * displacement.
 */
export type Limit = number | 'd16'
const D16 = 32767

/** `P`: the paths of the struct's fields. */
export interface Contracts<P extends string = string> {
  /** Exact size, bytes. */
  readonly size?: number
  /** Largest size allowed, bytes. */
  readonly maxSize?: number
  /**
   * No object crosses a multiple of this power of two, wherever the struct's alignment lets it lie.
   */
  readonly noCross?: number
  /** Groups of fields that lie in one cache line together. */
  readonly sameLine?: readonly (readonly P[])[]
  /** Groups of fields no two of which touch a common cache line. */
  readonly separateLines?: readonly (readonly P[])[]
  /** How far from the start fields may begin: by path, or one limit for all of them. */
  readonly within?: Limit | Readonly<Partial<Record<P, Limit>>>
}

/** The part of a struct that contracts are about. */
export type Checked = Pick<StructType, 'name' | 'size' | 'align' | 'lineSize' | 'fields'>

export function checkContracts(struct: Checked, contracts: Contracts): void {
  checkSize(struct, contracts)
  if (contracts.noCross !== undefined) checkNoCross(struct, contracts.noCross)
  for (const group of groupsOf(struct, 'sameLine', contracts)) checkSameLine(struct, group)
  for (const group of groupsOf(struct, 'separateLines', contracts)) checkSeparateLines(struct, group)
  if (contracts.within !== undefined) checkWithin(struct, contracts.within)
}

function groupsOf(
  { name }: Checked,
  rule: 'sameLine' | 'separateLines',
  contracts: Contracts,
): readonly (readonly string[])[] {
  const { [rule]: groups = [] } = contracts
  if (Array.isArray(groups)) return groups as readonly (readonly string[])[]
  throw badDefinition(`struct ${name}: ${rule} takes a list of groups of fields, not ${shown(groups)}`, {
    struct: name,
    found: groups,
  })
}

function checkSize(struct: Checked, { size, maxSize }: Contracts): void {
  if (size !== undefined) {
    checkCount(struct, 'size', size)
    if (struct.size !== size) throw wrongSize(struct, 'size', size, 'must be exactly')
  }
  if (maxSize !== undefined) {
    checkCount(struct, 'maxSize', maxSize)
    if (struct.size > maxSize) throw wrongSize(struct, 'maxSize', maxSize, 'may be at most')
  }
}
function wrongSize(
  { name, size, fields }: Checked,
  rule: 'size' | 'maxSize',
  allowed: number,
  must: string,
): LayoutError {
  const last = fields.filter((field) => field.depth === 0).at(-1)
  const end = (last?.offset ?? 0) + (last?.size ?? 0)
  const where = `(the last field, ${last?.path ?? ''}, ends at ${String(end)})`
  return new LayoutError(`struct ${name} is ${String(size)} bytes ${where}, but ${must} ${String(allowed)}`, {
    struct: name,
    field: last?.path ?? '',
    found: size,
    rule,
    allowed,
  })
}

function checkCount(struct: Checked, rule: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return
  throw badDefinition(
    `struct ${struct.name}: ${rule} must be a positive number of bytes, not ${shown(value)}`,
    {
      struct: struct.name,
      found: value,
    },
  )
}

/**
 * With an alignment below the boundary, the worst place is `boundary - align` into it. So an object
 * never crosses exactly if it is no longer than its alignment, and than the boundary.
 */
function checkNoCross(struct: Checked, boundary: number): void {
  const { name, size, align } = struct
  if (!isAlignment(boundary)) {
    throw badDefinition(`struct ${name}: noCross must be a power of two, not ${shown(boundary)}`, {
      struct: name,
      found: boundary,
    })
  }
  if (size <= Math.min(align, boundary)) return
  const fault = { struct: name, rule: 'noCross', found: size, allowed: boundary }
  if (size > boundary) {
    throw new LayoutError(
      `struct ${name} of ${String(size)} bytes crosses a boundary of ${String(boundary)} wherever it lies`,
      fault,
    )
  }
  const worst = roundUp(boundary - size + 1, align)
  const needed = powerOfTwoAbove(size)
  throw new LayoutError(
    `struct ${name} of ${String(size)} bytes, aligned to ${String(align)}, crosses a boundary of ${String(boundary)} when it lies at ${String(worst)}; give it align: ${String(needed)}`,
    { ...fault, found: align, allowed: needed },
  )
}

function checkSameLine(struct: Checked, group: readonly string[]): void {
  const fields = fieldsOf(struct, 'sameLine', group)
  const first = fields.reduce((low, field) => (field.offset < low.offset ? field : low))
  const last = fields.reduce((high, field) => (endOf(field) > endOf(high) ? field : high))
  const line = lineOf(struct, first.offset)
  const lastLine = lineOf(struct, endOf(last) - 1)
  if (line === lastLine) return
  throw new LayoutError(
    `struct ${struct.name}: ${group.join(', ')} must share a cache line of ${String(struct.lineSize)} bytes, but ${first.path} begins in line ${String(line)} (offset ${String(first.offset)}) and ${last.path} ends in line ${String(lastLine)} (offset ${String(endOf(last))})`,
    { struct: struct.name, field: last.path, rule: 'sameLine', found: lastLine, allowed: line },
  )
}

function checkSeparateLines(struct: Checked, group: readonly string[]): void {
  const fields = [...fieldsOf(struct, 'separateLines', group)].sort((a, b) => a.offset - b.offset)
  for (let at = 1; at < fields.length; at++) {
    const before = fields[at - 1] as FieldInfo
    const field = fields[at] as FieldInfo
    const shared = lineOf(struct, endOf(before) - 1)
    if (lineOf(struct, field.offset) > shared) continue
    const allowed = (shared + 1) * struct.lineSize
    throw new LayoutError(
      `struct ${struct.name}: ${before.path} and ${field.path} must lie in separate cache lines, but share line ${String(shared)} (offsets ${String(before.offset)} and ${String(field.offset)}, lines of ${String(struct.lineSize)} bytes); ${field.path} may begin at ${String(allowed)}: use aligned(..., 'cacheline')`,
      { struct: struct.name, field: field.path, rule: 'separateLines', found: field.offset, allowed },
    )
  }
}

function checkWithin(struct: Checked, within: Limit | null | Readonly<Partial<Record<string, Limit>>>): void {
  if (typeof within !== 'object' || within === null) {
    for (const field of struct.fields) if (field.type !== undefined) checkLimit(struct, field, within)
    return
  }
  for (const [path, limit] of Object.entries(within)) {
    if (limit !== undefined) checkLimit(struct, fieldOf(struct, 'within', path), limit)
  }
}

function checkLimit(struct: Checked, field: FieldInfo, limit: Limit | null): void {
  const allowed = limit === 'd16' ? D16 : limit
  if (typeof allowed !== 'number' || !(allowed >= 0)) {
    throw badDefinition(
      `struct ${struct.name}: within takes a number of bytes or 'd16', not ${shown(limit)}`,
      {
        struct: struct.name,
        field: field.path,
        found: limit,
      },
    )
  }
  if (field.offset <= allowed) return
  const reach = limit === 'd16' ? ', as far as a signed 16-bit displacement reaches' : ''
  throw new LayoutError(
    `struct ${struct.name}: field ${field.path} is at offset ${String(field.offset)}, but may be at most at ${String(allowed)}${reach}; move it, or what grew before it`,
    { struct: struct.name, field: field.path, rule: 'within', found: field.offset, allowed },
  )
}

function fieldsOf(struct: Checked, rule: string, group: readonly string[]): readonly FieldInfo[] {
  if (struct.align < struct.lineSize) {
    throw new LayoutError(
      `struct ${struct.name}: ${rule} needs to know where cache lines begin, but the struct is aligned to ${String(struct.align)} bytes, less than a line of ${String(struct.lineSize)}; give it align: ${String(struct.lineSize)}`,
      { struct: struct.name, field: group[0] ?? '', rule, found: struct.align, allowed: struct.lineSize },
    )
  }
  if (group.length < 2 || new Set(group).size !== group.length) {
    throw badDefinition(
      `struct ${struct.name}: ${rule} takes groups of two or more different fields, not [${group.join(', ')}]`,
      { struct: struct.name, found: group },
    )
  }
  return group.map((path) => fieldOf(struct, rule, path))
}

function fieldOf(struct: Checked, rule: string, path: string): FieldInfo {
  if (path.includes('[')) {
    throw badDefinition(
      `struct ${struct.name}: ${rule} names ${path}, a field of array elements, which lie at many offsets; name the array`,
      { struct: struct.name, field: path },
    )
  }
  const found = struct.fields.find((field) => field.path === path && field.type !== undefined)
  if (found !== undefined) return found
  throw badDefinition(`struct ${struct.name}: ${rule} names ${path}, but there is no such field`, {
    struct: struct.name,
    field: path,
    allowed: struct.fields.map((field) => field.path),
  })
}

function endOf(field: FieldInfo): number {
  return field.offset + field.size
}
function lineOf(struct: Checked, offset: number): number {
  return Math.floor(offset / struct.lineSize)
}
