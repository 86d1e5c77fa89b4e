/** Messages in the buffer: how they are copied in and out. Behind its last word comes its first. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { Scratch } from '../scratch.js'
import type { RingPlace } from './place.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem
/** Words from which on a range is copied as a whole. */
const MANY = 64

/** Copies an encoded message to a position where nobody reads. */
export function writeMessage(ring: RingPlace, position: number, message: Scratch): void {
  const { memory, buffer, capacity } = ring
  const at = position % capacity
  store32(memory.i32, buffer + at, message.length)
  const words = (message.length + 3) >>> 2
  writeAt(ring, at + 1 === capacity ? 0 : at + 1, message, 0, words)
}
/** Copies words to a place in the buffer where nobody reads. */
export function writeAt(ring: RingPlace, begin: number, source: Scratch, from: number, words: number): void {
  const { memory, buffer, capacity } = ring
  const run = Math.min(words, capacity - begin)
  copyIn(memory, buffer + begin, source, from, run)
  if (run < words) copyIn(memory, buffer, source, from + run, words - run)
}

/** How many bytes the message at a position has. */
export function lengthAt({ memory, buffer, capacity }: RingPlace, position: number): number {
  return load32(memory.i32, buffer + (position % capacity))
}

/** Copies the message at a position, of `length` bytes. There is room for it. */
export function readMessage(ring: RingPlace, position: number, length: number, into: Scratch): void {
  const { capacity } = ring
  const at = position % capacity
  readAt(ring, at + 1 === capacity ? 0 : at + 1, into, (length + 3) >>> 2)
  into.length = length
}
/** Copies words from a place in the buffer. There is room for them. */
export function readAt(ring: RingPlace, begin: number, into: Scratch, words: number): void {
  const { memory, buffer, capacity } = ring
  const run = Math.min(words, capacity - begin)
  copyOut(memory, buffer + begin, into, 0, run)
  if (run < words) copyOut(memory, buffer, into, run, words - run)
}

function copyIn(memory: Memory, at: number, { words, bytes }: Scratch, from: number, count: number): void {
  if (count > MANY) mem.copyIn(memory, at * 4, bytes.subarray(from * 4, (from + count) * 4))
  else for (let i = 0; i < count; i++) store32(memory.i32, at + i, words[from + i] ?? 0)
}
function copyOut(memory: Memory, at: number, { words, bytes }: Scratch, from: number, count: number): void {
  if (count > MANY) bytes.set(mem.copyOut(memory, at * 4, count * 4), from * 4)
  else for (let i = 0; i < count; i++) words[from + i] = load32(memory.i32, at + i)
}
