/** Objects as people read them: plain JavaScript values, or lines that name each word. */
import type { Memory } from '#mem'
import { refused } from '../check.js'
import { numberArrayOf, unitOf } from './array-views.js'
import { cellClass } from './atomic-cells.js'
import { isStruct } from './brand.js'
import { flavours } from './flavours.js'
import { flexibleLength } from './flexible.js'
import { locator } from './locate.js'
import { readText } from './text-fields.js'
import type { ArrayType, FlexibleType, Kind, StructType, Type } from './types.js'
import { strideOf, typeName } from './types.js'

/** A plain copy of the object at `address`. Atomic words are loaded atomically. */
export function readStruct(memory: Memory, struct: StructType, address: number): Record<string, unknown> {
  const plain: Record<string, unknown> = {}
  for (const { name, type, kind, offset } of struct.members) {
    if (type !== undefined) plain[name] = readPlain(memory, type, kind, address + offset)
  }
  return plain
}

function readPlain(memory: Memory, type: Type, kind: Kind | undefined, address: number): unknown {
  if (type.form === 'struct') return readStruct(memory, type, address)
  if (type.form === 'text') return readText(memory, type, address)
  if (type.form !== 'array' && type.form !== 'flexible') {
    // atomic: a dump of one word; orders nothing.
    if (kind === 'atomic') return new (cellClass(type))(memory, address / type.size).load()
    const Numbers = numberArrayOf(type, flavours.shared, kind)
    return new Numbers(memory, address / unitOf(type), 1).at(0)
  }
  const { element } = type
  const stride = strideOf(element)
  const { length, first } = elementsAt(memory, type, address)
  return Array.from({ length }, (_, index) => readPlain(memory, element, kind, first + index * stride))
}

/**
 * The object at `address` as text, a line for each field: `Route.hits  +8  racy u32  = 5`. The
 * memory is taken as it is found: not all words are of one moment.
 *
 * @throws ArgumentError for what is no struct, or where no such object can be.
 */
export function dump(struct: StructType, memory: Memory, address: number): string {
  if (!isStruct(struct)) throw refused('struct', struct, 'no struct: pass what struct() returned')
  locator(struct)(memory, address)
  const rows: string[][] = []
  const add = (type: Type, kind: Kind | undefined, name: string, offset: number): void => {
    if (type.form === 'struct') addMembers(type, `${name}.`, offset)
    else if (type.form !== 'array' && type.form !== 'flexible') {
      const value = shownPlain(readPlain(memory, type, kind, address + offset))
      rows.push([name, `+${String(offset)}`, `${kind ?? ''} ${typeName(type)}`, `= ${value}`])
    } else {
      const stride = strideOf(type.element)
      const { length, first } = elementsAt(memory, type, address + offset)
      for (let index = 0; index < length; index++) {
        add(type.element, kind, `${name}[${String(index)}]`, first - address + index * stride)
      }
    }
  }
  const addMembers = (inner: StructType, prefix: string, offset: number): void => {
    for (const member of inner.members) {
      if (member.type !== undefined)
        add(member.type, member.kind, prefix + member.name, offset + member.offset)
    }
  }
  addMembers(struct, `${struct.name}.`, 0)
  return `struct ${struct.name} at ${String(address)}\n${columns(rows)}`
}

/** How many elements there are, and the byte address of the first one. */
function elementsAt(
  memory: Memory,
  type: ArrayType | FlexibleType,
  address: number,
): { readonly length: number; readonly first: number } {
  if (type.form === 'array') return { length: type.length, first: address }
  return { length: flexibleLength(memory, type, address), first: address + type.size }
}

/** Text in quotes, with what cannot be seen escaped. */
function shownPlain(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return value instanceof Uint8Array ? Array.from(value, hex).join(' ') : String(value)
}
function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}

/** Lines of `rows` with all but their last column padded. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, cell.length)))
  const line = (row: readonly string[]): string =>
    '  ' + row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join('  ')
  return rows.map((row) => line(row) + '\n').join('')
}

/** The field of `struct` that contains byte `offset`. Undefined in holes, and outside it. */
export function nameAt(struct: StructType, offset: number): string | undefined {
  for (const member of struct.members) {
    const isFlexible = member.type?.form === 'flexible'
    if (offset < member.offset || (!isFlexible && offset >= member.offset + member.size)) continue
    if (member.type === undefined) return member.name
    const rest = nameWithin(member.type, offset - member.offset)
    return rest === undefined ? undefined : member.name + rest
  }
  return undefined
}

function nameWithin(type: Type, offset: number): string | undefined {
  if (type.form === 'struct') {
    const name = nameAt(type, offset)
    return name === undefined ? undefined : `.${name}`
  }
  if (type.form === 'flexible' && offset < type.size) return '.length'
  if (type.form !== 'array' && type.form !== 'flexible') return ''
  const stride = strideOf(type.element)
  const inside = type.form === 'flexible' ? offset - type.size : offset
  const index = Math.floor(inside / stride)
  const rest = nameWithin(type.element, inside - index * stride)
  return rest === undefined ? undefined : `[${String(index)}]${rest}`
}
