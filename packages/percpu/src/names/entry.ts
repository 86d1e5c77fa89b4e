/**
 * What lies behind a name: one block of memory, in the heap unless it is larger than the heap's
 * largest.
 *
 *     block ──▶ name │ type │ gap │ NameEntry │ object
 *
 * All of it is written before the entry is linked, and never changed after; the object's words are
 * its users'.
 */
import { copyIn, copyOut, loadU32, storeU32, type Memory } from '#mem'
import { hashBytes, roundUp } from '../arithmetic.js'
import type { ObjectInfo, ObjectSpec } from '../bootmem/directory.js'
import { NAME_SPACES, type NamedThing, type NameSpace } from '../bootmem/names.js'
import { checkStored } from '../machine/check.js'
import { NAME_BYTES, TYPE_BYTES, UNIT } from '../machine/limits.js'
import { decodeText } from '../text.js'
import { NameEntry } from './layouts.js'

const { words } = NameEntry
/** In `typeLength`: the block is one of boot memory. */
const LARGE = 1 << 8
/** The largest block of the heap. */
const MAX_BLOCK = 2 ** 22

/** A name as it is looked for. */
export interface Wanted {
  readonly space: number
  readonly name: Uint8Array
  readonly hash: number
}

/** What a thing takes in memory. */
export interface Plan {
  readonly type: Uint8Array
  readonly layoutHash: number
  /** Bytes of the block, its alignment, and where the entry is in it. */
  readonly bytes: number
  readonly align: number
  readonly before: number
  /** Too large for the heap. */
  readonly isLarge: boolean
}

/** @throws ArgumentError for a bad name. */
export function wantedOf(space: NameSpace, name: string): Wanted {
  const bytes = checkStored('name', name, NAME_BYTES)
  return { space: NAME_SPACES.indexOf(space), name: bytes, hash: hashBytes(bytes) }
}

/** @throws ArgumentError for a bad type. */
export function planOf({ name }: Wanted, { type, layout }: ObjectSpec): Plan {
  const typeBytes = checkStored('type', type, TYPE_BYTES)
  // On lines of their own: what threads share most is often what they name.
  const align = Math.max(UNIT, layout.align)
  const object = roundUp(name.length + typeBytes.length + NameEntry.size, align)
  const bytes = object + Math.max(1, layout.size)
  return {
    type: typeBytes,
    layoutHash: layout.hash,
    bytes,
    align,
    before: object - NameEntry.size,
    isLarge: bytes > MAX_BLOCK || align > MAX_BLOCK,
  }
}

/** Writes all but object, key and link. `block`: its byte address. Returns the entry. */
export function writeEntry(memory: Memory, block: number, { name }: Wanted, plan: Plan): number {
  copyIn(memory, block, name)
  copyIn(memory, block + name.length, plan.type)
  const entry = (block + plan.before) / 8
  const put = (word: number, value: number): void => storeU32(memory.u32, entry * 2 + word, value)
  put(words.nameLength, name.length)
  put(words.typeLength, plan.type.length | (plan.isLarge ? LARGE : 0))
  put(words.layoutHash, plan.layoutHash)
  put(words.bytes, plan.bytes)
  put(words.before, plan.before)
  return entry
}

/** Byte address of the object behind an entry, by the entry's reference. */
export function objectOf(entry: number): number {
  return entry * 8 + NameEntry.size
}
export function entryOf(address: number): number {
  return (address - NameEntry.size) / 8
}

export interface Block {
  /** Byte address. */
  readonly address: number
  readonly isLarge: boolean
}
export function blockOf({ u32 }: Memory, entry: number): Block {
  const address = entry * 8 - loadU32(u32, entry * 2 + words.before)
  return { address, isLarge: (loadU32(u32, entry * 2 + words.typeLength) & LARGE) !== 0 }
}

export function thingOf({ u32 }: Memory, entry: number): NamedThing {
  return { address: objectOf(entry), serial: loadU32(u32, entry * 2 + words.serial) }
}

/** Whether an entry has this name. Compares shared bytes with private ones. */
export function hasName(memory: Memory, entry: number, name: Uint8Array): boolean {
  if (loadU32(memory.u32, entry * 2 + words.nameLength) !== name.length) return false
  const block = entry * 8 - loadU32(memory.u32, entry * 2 + words.before)
  return copyOut(memory, block, name.length).every((byte, at) => byte === name[at])
}

export function infoOf(memory: Memory, entry: number): ObjectInfo & NamedThing {
  const load = (word: number): number => loadU32(memory.u32, entry * 2 + word)
  const block = entry * 8 - load(words.before)
  const nameLength = load(words.nameLength)
  const text = (at: number, length: number): string => decodeText(copyOut(memory, block + at, length))
  return {
    name: text(0, nameLength),
    type: text(nameLength, load(words.typeLength) & 0xff),
    size: load(words.bytes),
    layoutHash: load(words.layoutHash),
    ...thingOf(memory, entry),
  }
}
