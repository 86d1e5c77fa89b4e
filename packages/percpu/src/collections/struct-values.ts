/**
 * Values that are structs: plain objects, as `toObject` of an accessor gives them, and their bytes.
 *
 * A field that is missing, or cannot hold its value, is refused, and so is one that the struct has
 * not: nothing is cut off. Bytes between the fields are 0, so equal values have equal bytes.
 */
import { refused, shown } from '../machine/check.js'
import { ArgumentError, PercpuError } from '../errors.js'
import { shortened } from '../shown.js'
import { structOf } from '../layout/accessor-types.js'
import { encodeAddress } from '../layout/addresses.js'
import type { AnyStruct } from '../layout/index.js'
import type { Scalar, StructType, TextType, Type } from '../layout/types.js'
import { strideOf } from '../layout/types.js'
import { decodeBytes, encodeBytes } from './bytes.js'
import { MAX_VALUE_BYTES } from './limits.js'
import { Scratch } from './scratch.js'
import { decodeText, encodeText } from './text.js'
import type { ValueCodec } from './values.js'

/** Bytes to which entries are aligned. */
const MOST_ALIGN = 8

/** How one field is written and read at a byte of a buffer. */
interface Part {
  readonly write: (to: DataView, at: number, value: unknown, name: string) => void
  readonly read: (from: DataView, at: number) => unknown
}

/** @throws ArgumentError for a struct that no value can be. */
export function checkValueStruct(struct: AnyStruct): void {
  const reason = reasonAgainst(struct)
  if (reason !== undefined) throw refused('value', struct, `no struct for values: ${reason}`)
}
function reasonAgainst(struct: StructType): string | undefined {
  if (struct.size > MAX_VALUE_BYTES) return `it has more than ${MAX_VALUE_BYTES} bytes`
  if (struct.align > MOST_ALIGN) return `it is aligned to more than ${MOST_ALIGN} bytes`
  for (const { name, type, kind } of struct.members) {
    if (type === undefined) continue
    if (kind === 'atomic') return `entries do not change, and its field '${name}' is atomic`
    const leaf = leafOf(type)
    if (leaf.form === 'flexible') return `its field '${name}' has no fixed length`
    const inner = leaf.form === 'struct' ? reasonAgainst(leaf) : undefined
    if (inner !== undefined) return inner
  }
  return undefined
}
function leafOf(type: Type): Type {
  return type.form === 'array' ? leafOf(type.element) : type
}

export function structCodec(struct: AnyStruct): ValueCodec<unknown> {
  const part = structPart(struct)
  const { size } = struct
  const own = new Scratch((size + 15) & -8)
  const view = new DataView(own.bytes.buffer)
  let isBusy = false
  return {
    encode: (value, into) => {
      // Reading the value may run code of the user's, which may set another one meanwhile.
      const wasBusy = isBusy
      const to = wasBusy ? new DataView(new ArrayBuffer(own.bytes.length)) : view
      const bytes = new Uint8Array(to.buffer)
      bytes.fill(0)
      isBusy = true
      try {
        part.write(to, 0, value, 'value')
      } catch (error) {
        if (error instanceof PercpuError) throw error
        throw new ArgumentError('value: its fields cannot be read', { value }, { cause: error })
      } finally {
        isBusy = wasBusy
      }
      into.reserve(size)
      into.bytes.set(bytes.subarray(0, size))
      into.end(size)
    },
    decode: ({ bytes }) => {
      // What encodes a value may look another one up. Mutant: collections/struct-overwritten.
      const from = isBusy ? new DataView(new ArrayBuffer(own.bytes.length)) : view
      new Uint8Array(from.buffer).set(bytes.subarray(0, size))
      return part.read(from, 0)
    },
  }
}

function structPart(struct: StructType): Part {
  const members = struct.members.flatMap(({ name, type, offset }) =>
    type === undefined ? [] : [{ name, offset, part: partOf(type) }],
  )
  const names = new Set(members.map((member) => member.name))
  return {
    write: (to, at, value, name) => {
      if (typeof value !== 'object' || value === null) throw refused(name, value, 'no object')
      const object = value as Readonly<Record<string, unknown>>
      if (!(structOf in object)) checkFields(struct, names, object, name)
      for (const member of members)
        member.part.write(to, at + member.offset, object[member.name], `${name}.${member.name}`)
    },
    read: (from, at) => {
      const object: Record<string, unknown> = {}
      for (const member of members) object[member.name] = member.part.read(from, at + member.offset)
      return object
    },
  }
}

/** What would not be stored is refused: it may be misspelt. An accessor has no other fields. */
function checkFields(
  struct: StructType,
  names: ReadonlySet<string>,
  object: Readonly<Record<string, unknown>>,
  name: string,
): void {
  for (const key in object) {
    if (names.has(key) || !Object.hasOwn(object, key)) continue
    throw new ArgumentError(`${name}: ${struct.name} has no field ${shortened(key)}`, {
      field: key,
      fields: [...names],
    })
  }
}

function partOf(type: Type): Part {
  if (type.form === 'struct') return structPart(type)
  if (type.form === 'scalar') return scalarPart(type)
  if (type.form === 'text') return textPart(type)
  if (type.form === 'address')
    return {
      write: (to, at, value) => to.setInt32(at, encodeAddress(value as number), true),
      read: (from, at) => from.getUint32(at, true) * 8,
    }
  if (type.form === 'flexible') throw new TypeError('an array of run-time length is no part of a value')
  const { length } = type
  const element = partOf(type.element)
  const stride = strideOf(type.element)
  return {
    write: (to, at, value, name) => {
      if (!isList(value) || value.length !== length)
        throw refused(name, value, `no array of ${length} elements`)
      for (let i = 0; i < length; i++) element.write(to, at + i * stride, value[i], `${name}[${i}]`)
    },
    read: (from, at) => Array.from({ length }, (_, i) => element.read(from, at + i * stride)),
  }
}
function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))
}

/** Of integers: the least and the greatest. */
const ranges: Partial<Record<Scalar['name'], readonly [number, number]>> = {
  u8: [0, 2 ** 8 - 1],
  i8: [-(2 ** 7), 2 ** 7 - 1],
  u16: [0, 2 ** 16 - 1],
  i16: [-(2 ** 15), 2 ** 15 - 1],
  u32: [0, 2 ** 32 - 1],
  i32: [-(2 ** 31), 2 ** 31 - 1],
}

function scalarPart({ name, big }: Scalar): Part {
  const little = !big
  if (name === 'u64')
    return {
      write: (to, at, value, field) => {
        if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value)
          throw refused(field, value, 'no bigint from 0 to 2^64 - 1')
        to.setBigUint64(at, value, little)
      },
      read: (from, at) => from.getBigUint64(at, little),
    }
  const put = putters[name]
  const range = ranges[name]
  const check = (value: unknown, field: string): number => {
    if (typeof value !== 'number') throw refused(field, value, 'not a number')
    if (range === undefined || (Math.trunc(value) === value && value >= range[0] && value <= range[1]))
      return value
    throw refused(field, value, `not a whole number from ${range[0]} to ${range[1]}`)
  }
  return {
    write: (to, at, value, field) => put.write(to, at, check(value, field), little),
    read: (from, at) => put.read(from, at, little),
  }
}

interface Putter {
  readonly write: (to: DataView, at: number, value: number, little: boolean) => void
  readonly read: (from: DataView, at: number, little: boolean) => number
}
const putters: Readonly<Record<Exclude<Scalar['name'], 'u64'>, Putter>> = {
  u8: { write: (to, at, value) => to.setUint8(at, value), read: (from, at) => from.getUint8(at) },
  i8: { write: (to, at, value) => to.setInt8(at, value), read: (from, at) => from.getInt8(at) },
  u16: {
    write: (to, at, value, little) => to.setUint16(at, value, little),
    read: (from, at, little) => from.getUint16(at, little),
  },
  i16: {
    write: (to, at, value, little) => to.setInt16(at, value, little),
    read: (from, at, little) => from.getInt16(at, little),
  },
  u32: {
    write: (to, at, value, little) => to.setUint32(at, value, little),
    read: (from, at, little) => from.getUint32(at, little),
  },
  i32: {
    write: (to, at, value, little) => to.setInt32(at, value, little),
    read: (from, at, little) => from.getInt32(at, little),
  },
  f32: {
    write: (to, at, value, little) => to.setFloat32(at, value, little),
    read: (from, at, little) => from.getFloat32(at, little),
  },
  f64: {
    write: (to, at, value, little) => to.setFloat64(at, value, little),
    read: (from, at, little) => from.getFloat64(at, little),
  },
}

/** Text and bytes: their length in 32 bits, and then so many bytes. */
function textPart({ name, capacity }: TextType): Part {
  const scratch = new Scratch(64)
  const encode = (value: unknown, field: string): boolean => {
    if (name === 'bytes') return encodeBytes(field, value, scratch, capacity)
    if (typeof value !== 'string') throw refused(field, value, 'not a string')
    if (!value.isWellFormed())
      throw refused(field, value, 'no text that can be stored: it has half a surrogate pair')
    return encodeText(scratch, value, capacity)
  }
  return {
    write: (to, at, value, field) => {
      if (!encode(value, field))
        throw new ArgumentError(`${field}: ${shown(value)} is too long for ${name}(${capacity})`, {
          capacity,
        })
      to.setUint32(at, scratch.length, true)
      for (let i = 0; i < scratch.length; i++) to.setUint8(at + 4 + i, scratch.bytes[i] ?? 0)
    },
    read: (from, at) => {
      const length = from.getUint32(at, true)
      scratch.reserve(length)
      for (let i = 0; i < length; i++) scratch.bytes[i] = from.getUint8(at + 4 + i)
      scratch.length = length
      return name === 'bytes' ? decodeBytes(scratch) : decodeText(scratch)
    },
  }
}
