/** Where things are in a ring, and the arithmetic of its positions. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { RingRoot } from './ring-layout.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadAtomic32 } = mem
const { words } = RingRoot

/** Hot: plain fields. Word indices of a ring's words. */
export interface RingPlace {
  readonly memory: Memory
  /** For messages; '' where none are made. */
  readonly name: string
  /** Byte address of its RingRoot. */
  readonly address: number
  readonly receivers: number
  readonly senders: number
  readonly sendLock: number
  readonly headSeen: number
  readonly sent: number
  readonly tail: number
  readonly receiveLock: number
  readonly tailSeen: number
  readonly received: number
  readonly head: number
  /** The first word of its buffer, and how many there are. */
  readonly buffer: number
  readonly capacity: number
  /** Positions are below it: a multiple of the capacity. */
  readonly limit: number
}

/** Bytes of a ring's named object. `capacity`: words of its buffer. */
export function ringBytes(capacity: number): number {
  return RingRoot.stride + capacity * 4
}

/** Makes a ring at a byte address, where all is 0. No other thread knows it yet. */
export function initialiseRing({ i32 }: Memory, address: number, capacity: number): void {
  const root = address / 4
  mem.store32(i32, root + words.capacity, capacity)
  // The second of both counts is that of no position.
  mem.store32(i32, root + words.sent + 2, -1)
  mem.store32(i32, root + words.received + 2, -1)
}

/** The ring at a byte address. */
export function openRing(memory: Memory, address: number, name = ''): RingPlace {
  const root = address / 4
  const capacity = mem.load32(memory.i32, root + words.capacity)
  return {
    memory,
    name,
    address,
    receivers: root + words.receivers,
    senders: root + words.senders,
    sendLock: root + words['sendLock.owner'],
    headSeen: root + words.headSeen,
    sent: root + words.sent,
    tail: root + words.tail,
    receiveLock: root + words['receiveLock.owner'],
    tailSeen: root + words.tailSeen,
    received: root + words.received,
    head: root + words.head,
    buffer: root + RingRoot.stride / 4,
    capacity,
    limit: capacity * Math.floor((2 ** 30 - 1) / capacity),
  }
}

/** Words of a message of so many bytes, with the one for its length. */
export function messageWords(bytes: number): number {
  return 1 + ((bytes + 3) >>> 2)
}

/** The position `count` words behind this one. */
export function advance({ limit }: RingPlace, position: number, count: number): number {
  const next = position + count
  return next >= limit ? next - limit : next
}
/** How many words there are from one position to a later one. */
export function distance({ limit }: RingPlace, from: number, to: number): number {
  const count = to - from
  return count < 0 ? count + limit : count
}

export function isClosedAt(tail: number): boolean {
  return (tail & 1) !== 0
}
/** The position that the word of the tail has. */
export function positionOf(tail: number): number {
  return tail >>> 1
}

/** The word of the tail; what hangs on it is said where it is called. */
export function loadTail({ memory, tail }: RingPlace): number {
  // RB(ring.tail) finds messages; pairs with RA in put, RG in close: what was sent before may be
  // read. Mutant: collections/ring-published-first.
  return loadAtomic32(memory.i32, tail)
}
/** The position of the head. */
export function loadHead({ memory, head }: RingPlace): number {
  // RD(ring.head) finds room; pairs with RC in take: what was taken may be overwritten. Mutant:
  // collections/ring-freed-first.
  return loadAtomic32(memory.i32, head)
}

/** Whether there is no message. A snapshot. */
export function isEmpty(ring: RingPlace): boolean {
  // The head first: ring-layout.ts.
  const head = loadHead(ring)
  return positionOf(loadTail(ring)) === head
}
/** Whether no message is there, and none will come. */
export function isEnded(ring: RingPlace): boolean {
  const head = loadHead(ring)
  const tail = loadTail(ring)
  return isClosedAt(tail) && positionOf(tail) === head
}
/** Words that are free. A snapshot. */
export function freeWords(ring: RingPlace): number {
  const head = loadHead(ring)
  return Math.max(0, ring.capacity - distance(ring, head, positionOf(loadTail(ring))))
}
