/**
 * Places fields as a C compiler for a 64-bit machine does (System V ABI, "Aggregates and Unions").
 * Each lies at the next multiple of its alignment. The struct is as aligned as its most aligned
 * field, and its size is rounded up to that.
 */
import { PAGE_BYTES, roundUp } from '../arithmetic.js'
import { badDefinition } from './errors.js'
import type { Alignment, Field, FieldInfo, Fields, FieldSpec, Kind, Member, Pad, Type } from './types.js'
import { MAX_SIZE, alignOf, innermostOf, isForm, isType, nameOfUnknown, sizeOf, typeName } from './types.js'

export interface Defaults {
  readonly kind: Kind
  readonly lock: string | undefined
  readonly lineSize: number
}
export interface Placement {
  readonly members: readonly Member[]
  /** Bytes, with trailing padding. */
  readonly size: number
  /** The largest alignment of a member, and the member that needs it. */
  readonly align: number
  readonly alignedBy: string
  /** Where the last member ends. */
  readonly end: number
}

/** Names of the properties that accessors have beside their fields. */
const reserved = new Set([
  'address',
  'baseByte',
  'follow',
  'holder',
  'memory',
  'toJSON',
  'toObject',
  'baseWord',
  ...Object.getOwnPropertyNames(Object.prototype),
])

export function place(struct: string, fields: Fields, defaults: Defaults): Placement {
  const members: Member[] = []
  let end = 0
  let align = 1
  let alignedBy = ''
  for (const [name, spec] of Object.entries(fields)) {
    const member = placeOne(struct, name, spec, end, defaults)
    const last = members.at(-1)
    if (last?.type?.form === 'flexible') {
      throw badDefinition(
        `struct ${struct}: field ${last.name} is an array of run-time length: it must be the last, and ${name} follows`,
        { struct, field: last.name },
      )
    }
    members.push(member)
    end = member.offset + member.size
    if (end > MAX_SIZE) {
      throw badDefinition(
        `struct ${struct}: field ${name} ends at ${String(end)} bytes, beyond the limit of 2^31`,
        {
          struct,
          field: name,
          found: end,
          allowed: MAX_SIZE,
        },
      )
    }
    if (member.align > align) {
      align = member.align
      alignedBy = name
    }
  }
  if (members.length === 0) throw badDefinition(`struct ${struct} has no fields`, { struct })
  return { members: Object.freeze(members), size: roundUp(end, align), align, alignedBy, end }
}

function placeOne(struct: string, name: string, spec: FieldSpec, end: number, defaults: Defaults): Member {
  const fault = { struct, field: name }
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) {
    throw badDefinition(
      `struct ${struct}: '${name}' is not a field name: use letters, digits, _ and $`,
      fault,
    )
  }
  if (isForm(spec, 'pad')) {
    return { name, type: undefined, kind: undefined, lock: undefined, offset: end, size: spec.size, align: 1 }
  }
  if (reserved.has(name)) {
    throw badDefinition(
      `struct ${struct}: field ${name} has a name that accessors use themselves: rename it`,
      fault,
    )
  }
  const { type, marked, alignment } = unwrap(struct, name, spec)
  checkNested(struct, name, type)
  const align = Math.max(alignOf(type), alignmentOf(alignment, defaults.lineSize))
  const placed = { name, type, offset: roundUp(end, align), size: sizeOf(type), align }
  if (innermostOf(type).form === 'struct')
    return Object.freeze({ ...placed, kind: undefined, lock: undefined })
  const kind = marked?.kind ?? defaults.kind
  const lock = kind !== 'locked' ? undefined : (marked?.lock ?? defaults.lock)
  if (kind === 'locked' && lock === undefined) {
    throw badDefinition(
      `struct ${struct}: field ${name} is locked by default, and the struct's options name no lock: add { lock: '...' }`,
      { struct, field: name },
    )
  }
  if (kind === 'atomic') checkAtomic(struct, name, type)
  return Object.freeze({ ...placed, kind, lock })
}

/** A struct within another one has one size. */
function checkNested(struct: string, name: string, type: Type): void {
  const leaf = innermostOf(type)
  if (leaf.form !== 'struct' || !leaf.isFlexible) return
  throw badDefinition(
    `struct ${struct}: field ${name} of type ${typeName(type)} has an array of run-time length: it cannot be nested`,
    { struct, field: name },
  )
}

function unwrap(
  struct: string,
  name: string,
  spec: Type | Field | Exclude<FieldSpec, Pad>,
): { type: Type; marked: Field | undefined; alignment: Alignment | undefined } {
  const fault = { struct, field: name }
  const marked = isForm(spec, 'field') ? spec : undefined
  const type = isForm(spec, 'field') ? spec.type : spec
  if (!isType(type)) {
    throw badDefinition(`struct ${struct}: field ${name} has no type: it is ${nameOfUnknown(type)}`, fault)
  }
  if (marked?.kind !== undefined && innermostOf(type).form === 'struct') {
    throw badDefinition(
      `struct ${struct}: field ${name} of type ${typeName(type)} is marked ${marked.kind}: a nested struct brings the kinds of its own fields`,
      fault,
    )
  }
  return { type, marked, alignment: marked?.align }
}

function alignmentOf(alignment: Alignment | undefined, lineSize: number): number {
  if (alignment === undefined) return 1
  if (alignment === 'cacheline') return lineSize
  return alignment === 'page' ? PAGE_BYTES : alignment
}

function checkAtomic(struct: string, name: string, type: Type): void {
  const leaf = innermostOf(type)
  if (leaf.form === 'address') return
  if (leaf.form === 'scalar' && !leaf.big && ['i32', 'u32', 'u64'].includes(leaf.name)) return
  throw badDefinition(
    `struct ${struct}: field ${name} is an atomic ${typeName(type)}: only addresses, and i32, u32 and u64 in the machine's byte order, can be`,
    { struct, field: name, found: typeName(leaf), allowed: 'address, i32, u32, u64' },
  )
}

/** The members and those of nested structs, each under its path. */
export function flatten(members: readonly Member[], prefix = '', base = 0, depth = 0): FieldInfo[] {
  return members.flatMap((member) => {
    const path = prefix + member.name
    const { type } = member
    const offset = base + member.offset
    const row: FieldInfo = Object.freeze({
      ...member,
      path,
      depth,
      offset,
      typeName: type === undefined ? 'pad' : typeName(type),
    })
    const leaf = type === undefined ? undefined : innermostOf(type)
    if (leaf?.form !== 'struct') return [row]
    const brackets = (row.typeName.match(/\[\d*\]/g) ?? []).map(() => '[]').join('')
    return [row, ...flatten(leaf.members, `${path}${brackets}.`, offset, depth + 1)]
  })
}
