/**
 * Values of ranges: how leaves hold them. Numbers lie in the leaf itself; others in blocks of their
 * own, each of which one boundary alone names.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { Scratch } from '../scratch.js'
import { shortLivedCopy } from '../short-lived.js'
import { valueCodecs, type MapValueKind, type ValueCodec } from '../values.js'
import { RangeBlock } from './range-layout.js'

const { load32, store32 } = mem
const bytesField = RangeBlock.words.bytes

/** A value that lies in a block, or shall: its bytes are known unless it has a block. */
export interface Block {
  /** Reference, 0 if there is none yet. */
  readonly block: number
  readonly bytes: Uint8Array | undefined
}
/** A value as it is compared and stored; undefined: none. */
export type Stored = number | bigint | Block | undefined

/** Values of one kind. */
export interface ValueKind<V> {
  /** Words of each in a leaf. */
  readonly words: 1 | 2
  /** As it is stored. @throws ArgumentError; EntryTooLargeError. */
  readonly take: (value: V) => Stored
  /** The value at a word of a leaf. */
  readonly read: (memory: Memory, word: number) => V
  /** The value in a block, by its reference; undefined for kinds that have none. */
  readonly readBlock: ((memory: Memory, block: number) => V) | undefined
  readonly load: (memory: Memory, word: number) => Stored
  /** Of one that has a block, the block. */
  readonly store: (memory: Memory, word: number, value: Stored) => void
  readonly isEqual: (memory: Memory, one: Stored, other: Stored) => boolean
}

const inLeaf: Partial<Record<MapValueKind, 1 | 2>> = { i32: 1, u32: 1, f64: 2, u64: 2 }

export function valueKindOf<V>(kind: MapValueKind): ValueKind<V> {
  const codec = valueCodecs[kind] as unknown as ValueCodec<V>
  const words = inLeaf[kind]
  return words === undefined ? inBlocks(codec) : inWords(codec as unknown as ValueCodec<number>, words)
}

function inWords<V>(codec: ValueCodec<number>, words: 1 | 2): ValueKind<V> {
  const scratch = new Scratch(16)
  const read = ({ i32 }: Memory, word: number): number => {
    scratch.words[0] = load32(i32, word)
    if (words === 2) scratch.words[1] = load32(i32, word + 1)
    return codec.decode(scratch)
  }
  const take = (value: number): number => {
    codec.encode(value, scratch)
    return codec.decode(scratch)
  }
  const store = ({ i32 }: Memory, word: number, value: number | undefined): void => {
    if (value === undefined) scratch.words.fill(0)
    else codec.encode(value, scratch)
    store32(i32, word, scratch.words[0] ?? 0)
    if (words === 2) store32(i32, word + 1, scratch.words[1] ?? 0)
  }
  const isEqual = (_memory: Memory, one: Stored, other: Stored): boolean => Object.is(one, other)
  const kind: ValueKind<number> = {
    words,
    take,
    read,
    readBlock: undefined,
    load: read,
    store: store as ValueKind<V>['store'],
    isEqual,
  }
  return kind as unknown as ValueKind<V>
}

function inBlocks<V>(codec: ValueCodec<V>): ValueKind<V> {
  const scratch = new Scratch(256)
  const readBlock = (memory: Memory, block: number): V => {
    copyBlock(memory, block, scratch)
    return codec.decode(scratch)
  }
  return {
    words: 1,
    take: (value) => {
      codec.encode(value, scratch)
      return { block: 0, bytes: shortLivedCopy(scratch.bytes, scratch.length) }
    },
    read: (memory, word) => readBlock(memory, load32(memory.i32, word)),
    readBlock,
    load: ({ i32 }, word) => ({ block: load32(i32, word), bytes: undefined }),
    store: ({ i32 }, word, value) => {
      store32(i32, word, value === undefined ? 0 : (value as Block).block)
    },
    isEqual: (memory, one, other) => {
      if (one === undefined || other === undefined) return one === other
      const [first, second] = [one as Block, other as Block]
      if (first.block !== 0 && first.block === second.block) return true
      const bytes = bytesOf(memory, first)
      const others = bytesOf(memory, second)
      return bytes.length === others.length && bytes.every((byte, i) => byte === others[i])
    },
  }
}

/** Word index of the bytes of a block. */
const FIRST = RangeBlock.stride / 4
/** Words from which on they are copied as a whole. */
const MANY = 64

function copyBlock(memory: Memory, block: number, into: Scratch): void {
  const { i32 } = memory
  const length = load32(i32, block * 2 + bytesField)
  into.reserve(length)
  const first = block * 2 + FIRST
  const count = (length + 3) >>> 2
  if (count > MANY) into.bytes.set(mem.copyOut(memory, first * 4, length))
  else {
    const { words } = into
    for (let i = 0; i < count; i++) words[i] = load32(i32, first + i)
  }
  into.length = length
}

/** The bytes of a value that lies in a block, or shall. */
export function bytesOf(memory: Memory, { block, bytes }: Block): Uint8Array {
  if (bytes !== undefined) return bytes
  const length = load32(memory.i32, block * 2 + bytesField)
  return length === 0 ? new Uint8Array(0) : mem.copyOut(memory, (block * 2 + FIRST) * 4, length)
}

/** Bytes of a block for a value of so many. */
export function blockBytes(bytes: Uint8Array): number {
  return RangeBlock.stride + ((bytes.length + 3) & -4)
}
/** Fills a block, by its reference, that nobody else knows. */
export function fillBlock(memory: Memory, block: number, bytes: Uint8Array): void {
  store32(memory.i32, block * 2 + bytesField, bytes.length)
  if (bytes.length > 0) mem.copyIn(memory, (block * 2 + FIRST) * 4, bytes)
}
