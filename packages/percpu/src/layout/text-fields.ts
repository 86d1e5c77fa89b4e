/**
 * Text and bytes in structs: their length, and then so many bytes.
 *
 *     length │ bytes …        a 32-bit word, and whole words for the longest
 *
 * Text is read by copying it out and decoding the copy: engines must not decode memory that other
 * threads write. A racy read may find a text that is half new; bytes that are no UTF-8 are read as
 * U+FFFD. A write that is refused changes nothing.
 */
import { copyIn, copyOut, loadU32, storeU32, type Memory } from '#mem'
import { refused } from '../check.js'
import { ArgumentError } from '../errors.js'
import { shown } from '../shown.js'
import { decodeText, encodeText, isWellFormed } from '../text.js'
import { plainArray } from './array-copies.js'
import type { Flavour, Held, Holder, UndoLog } from './flavours.js'
import type { WordBased } from './scalar-properties.js'
import type { Kind, TextType } from './types.js'

type Value = string | Uint8Array

/** A private copy of what lies at a byte address. */
export function readText(memory: Memory, { name, capacity }: TextType, address: number): Value {
  const length = Math.min(loadU32(memory.u32, address / 4), capacity)
  const copy = copyOut(memory, address + 4, length)
  return name === 'text' ? decodeText(copy) : copy
}

/** The bytes to write. @throws ArgumentError for what the field cannot hold. */
function encoded({ name, capacity }: TextType, value: unknown): Uint8Array {
  const bytes = name === 'bytes' ? bytesOf(value) : textBytes(value)
  if (bytes.length > capacity)
    throw new ArgumentError(`${bytes.length} bytes are too many for ${name}(${capacity})`, {
      length: bytes.length,
      capacity,
    })
  if (typeof value === 'string' && !isWellFormed(value, bytes))
    throw refused('value', value, 'no text that can be stored: it has half a surrogate pair')
  return bytes
}
function textBytes(value: unknown): Uint8Array {
  if (typeof value === 'string') return encodeText(value)
  throw refused('value', value, 'no string: a field of text takes one')
}
function bytesOf(value: unknown): Uint8Array {
  const plain = plainArray('value', value)
  if (plain instanceof Uint8Array) return plain
  throw refused('value', value, 'no Uint8Array: a field of bytes takes one')
}

type Write = (holder: Holder, address: number, value: unknown) => void

/** How a flavour writes such a field at a byte address. */
function writer(type: TextType, { name: flavour, memoryOf }: Flavour): Write {
  return (holder, address, value) => {
    const bytes = encoded(type, value)
    const memory = memoryOf({ holder })
    // All of them before the first store: if the log is full, nothing is changed. Mutant:
    // layout/text-before-entries.
    if (flavour === 'section') record(holder as UndoLog, address, bytes.length)
    copyIn(memory, address + 4, bytes)
    storeU32(memory.u32, address / 4, bytes.length)
  }
}

/** Records the length and the words of so many bytes. */
function record(log: UndoLog, address: number, bytes: number): void {
  const words = 1 + Math.ceil(bytes / 4)
  for (let word = address / 4; word < address / 4 + words; word++) log.record32(word)
}

/** The property of a field at byte `offset` of a struct. */
export function textProperty(
  type: TextType,
  flavour: Flavour,
  kind: Kind | undefined,
  offset: number,
): PropertyDescriptor {
  const { memoryOf } = flavour
  const write = writer(type, flavour)
  const get = function (this: WordBased): Value {
    return readText(memoryOf(this), type, this.baseWord * 4 + offset)
  }
  if (!flavour.canWrite(kind)) return { get }
  return {
    get,
    set(this: WordBased, value: unknown) {
      write(this.holder, this.baseWord * 4 + offset, value)
    },
  }
}

/** An array of texts that cannot be written here. */
export interface ReadonlyTextArray<V> extends Iterable<V> {
  readonly length: number
  /** @throws ArgumentError for an index outside. */
  at(index: number): V
  /** A private copy; not all of one moment. */
  toArray(): V[]
}
/** An array of texts. */
export interface TextArray<V> extends ReadonlyTextArray<V> {
  /** @throws ArgumentError for an index outside, or a value that does not fit. */
  set(index: number, value: V): void
}

type TextArrayClass = new (holder: Holder, address: number, length: number) => ReadonlyTextArray<Value>

/** The view class of an array of such fields. */
export function textArrayOf(type: TextType, flavour: Flavour, kind: Kind | undefined): TextArrayClass {
  const { memoryOf } = flavour
  const made = class implements ReadonlyTextArray<Value>, Held {
    constructor(
      readonly holder: Holder,
      readonly address: number,
      readonly length: number,
    ) {}
    at(index: number): Value {
      return readText(memoryOf(this), type, this.addressOf(index))
    }
    toArray(): Value[] {
      return Array.from(this)
    }
    *[Symbol.iterator](): IterableIterator<Value> {
      for (let index = 0; index < this.length; index++) yield this.at(index)
    }
    protected addressOf(index: number): number {
      if (typeof index === 'number' && index >>> 0 === index && index < this.length)
        return this.address + index * type.size
      throw new ArgumentError(`index ${shown(index)} is outside an array of ${this.length} elements`, {
        index,
        length: this.length,
      })
    }
  }
  if (!flavour.canWrite(kind)) return made
  const write = writer(type, flavour)
  return class extends made implements TextArray<Value> {
    set(index: number, value: Value): void {
      write(this.holder, this.addressOf(index), value)
    }
  }
}
