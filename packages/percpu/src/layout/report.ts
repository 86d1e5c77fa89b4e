/**
 * A layout as `pahole` prints it: each member with its offset and size, the holes between them, the
 * beginnings of cache lines, and the sums. Offsets and sizes are bytes.
 */
import type { Member, StructType, Type } from './types.js'
import { checkFlag, checkOptions, checkPowerOfTwo } from '../check.js'
import { innermostOf, MAX_SIZE, typeName } from './types.js'
import { reading } from './values.js'
import { visible } from '../shown.js'

/** How a layout is printed. */
export interface ReportOptions {
  /** Print the members of nested structs too. Default false. */
  readonly expand?: boolean
  /** Bytes of a cache line. Default the struct's. */
  readonly lineSize?: number
}

/** The sums of a layout, over its direct members. */
export interface LayoutSummary {
  readonly size: number
  readonly align: number
  readonly cachelines: number
  readonly members: number
  readonly sumMembers: number
  readonly holes: number
  readonly sumHoles: number
  /** Unused bytes after the last member. */
  readonly padding: number
  /** Bytes used of the last cache line; 0 when it is full. */
  readonly lastCacheline: number
}

/** @throws ArgumentError. */
export function summarize(struct: StructType, lineSize?: number): LayoutSummary {
  return reading('struct', struct, () => sums(struct, lineSize === undefined ? struct.lineSize : lineSize))
}
function sums(struct: StructType, lineSize: number): LayoutSummary {
  checkPowerOfTwo('lineSize', lineSize, 1, MAX_SIZE)
  let end = 0
  let holes = 0
  let sumHoles = 0
  let sumMembers = 0
  for (const { offset, size } of struct.members) {
    if (offset > end) {
      holes++
      sumHoles += offset - end
    }
    sumMembers += size
    end = offset + size
  }
  return {
    size: struct.size,
    align: struct.align,
    cachelines: Math.ceil(struct.size / lineSize),
    members: struct.members.length,
    sumMembers,
    holes,
    sumHoles,
    padding: struct.size - end,
    lastCacheline: struct.size % lineSize,
  }
}

/** The layout of `struct` as text. @throws ArgumentError. */
export function report(struct: StructType, options: ReportOptions = {}): string {
  checkOptions('report', options, { expand: true, lineSize: true })
  return reading('struct', struct, () => text(struct, options))
}
function text(struct: StructType, { expand = false, lineSize = struct.lineSize }: ReportOptions): string {
  checkFlag('expand', expand)
  checkPowerOfTwo('lineSize', lineSize, 1, MAX_SIZE)
  const lines = [`struct ${struct.name} {`]
  const cursor: Cursor = { line: 0, lineSize }
  membersText(lines, struct, { base: 0, indent: '\t', expand, cursor })
  lines.push('', ...summaryText(struct, lineSize), '};', '')
  return lines.join('\n')
}

interface Cursor {
  /** The cache line that the last printed member ended in. */
  line: number
  readonly lineSize: number
}
interface Place {
  readonly base: number
  readonly indent: string
  readonly expand: boolean
  readonly cursor: Cursor
}

function membersText(lines: string[], struct: StructType, place: Place): void {
  const { base, indent, expand, cursor } = place
  let end = 0
  for (const member of struct.members) {
    const hole = member.offset - end
    if (hole > 0) lines.push('', `${indent}/* XXX ${bytes(hole)} hole, try to pack */`, '')
    const boundary = boundaryText(cursor, base + member.offset)
    if (boundary !== undefined) lines.push(indent + boundary)
    if (expand && member.type?.form === 'struct') {
      lines.push(`${indent}struct ${member.type.name} {`)
      membersText(lines, member.type, { ...place, base: base + member.offset, indent: `${indent}\t` })
      lines.push(`${indent}} ${`${member.name};`.padEnd(21)} ${placeText(base, member)}`)
    } else {
      lines.push(memberText(member, base, indent))
    }
    const inner = member.type === undefined ? 0 : innerPadding(member.type)
    if (inner > 0) lines.push('', `${indent}/* XXX last struct has ${bytes(inner)} of padding */`, '')
    end = member.offset + member.size
  }
}

function memberText(member: Member, base: number, indent: string): string {
  const full = member.type === undefined ? `u8[${String(member.size)}]` : typeName(member.type)
  const [type = full] = full.split('[')
  const declared = `${member.name}${full.slice(type.length)};`
  return `${indent}${type.padEnd(26)} ${declared.padEnd(21)} ${placeText(base, member)}`
}

function placeText(base: number, { offset, size, kind, lock, type }: Member): string {
  const numbers = `${String(base + offset).padStart(5)} ${String(size).padStart(5)}`
  const said = type === undefined ? 'reserved' : kind
  const words = said === undefined ? '' : ` ${said}${lock === undefined ? '' : ` by ${visible(lock)}`}`
  return `/* ${numbers}${words} */`
}

function innerPadding(type: Type): number {
  const leaf = innermostOf(type)
  if (leaf.form !== 'struct') return 0
  const last = leaf.members.at(-1)
  return last === undefined ? 0 : leaf.size - last.offset - last.size
}

/** The note before a member that is the first to begin in a new cache line. */
function boundaryText(cursor: Cursor, offset: number): string | undefined {
  const line = Math.floor(offset / cursor.lineSize)
  if (line === cursor.line) return undefined
  cursor.line = line
  const start = line * cursor.lineSize
  const ago = offset - start
  const where = `--- cacheline ${String(line)} boundary (${bytes(start)})`
  return ago === 0 ? `/* ${where} --- */` : `/* ${where} was ${bytes(ago)} ago --- */`
}

function summaryText(struct: StructType, lineSize: number): string[] {
  const sum = summarize(struct, lineSize)
  const text = (parts: Readonly<Record<string, number>>): string =>
    `\t/* ${Object.entries(parts)
      .map(([name, value]) => `${name}: ${String(value)}`)
      .join(', ')} */`
  const lines = [text({ size: sum.size, cachelines: sum.cachelines, members: sum.members })]
  lines.push(
    text({
      'sum members': sum.sumMembers,
      ...(sum.holes > 0 && { holes: sum.holes, 'sum holes': sum.sumHoles }),
    }),
  )
  if (sum.padding > 0) lines.push(text({ padding: sum.padding }))
  lines.push(text({ align: sum.align, ...(struct.stride !== struct.size && { stride: struct.stride }) }))
  if (sum.lastCacheline > 0) lines.push(`\t/* last cacheline: ${bytes(sum.lastCacheline)} */`)
  return lines
}

function bytes(count: number): string {
  return count === 1 ? '1 byte' : `${String(count)} bytes`
}
