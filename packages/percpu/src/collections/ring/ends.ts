/**
 * The two ends of a ring: putting a message in, and taking one out.
 *
 * What is between taking a lock and giving it back cannot fail: the stack has room for it, and it
 * takes no memory. Only a message that is larger than what this thread has received before does:
 * the lock is given back in any case then.
 *
 * Progress: blocking; a lock is held for as long as one message is copied. That of a thread which
 * died is free as soon as that was cleaned up after.
 */
import * as mem from '#mem'
import { visible } from '../../shown.js'
import { ensureStack, FEW, SOME } from '../../stack.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import { EntryTooLargeError, RingClosedError, RingCorruptionError } from '../errors.js'
import type { Scratch } from '../scratch.js'
import { countNext } from './count.js'
import { lengthAt, readMessage, writeMessage } from './message.js'
import {
  advance,
  distance,
  isClosedAt,
  loadHead,
  loadTail,
  messageWords,
  positionOf,
  type RingPlace,
} from './place.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { compareExchangeAtomic32, load32, loadAtomic32, store32, storeAtomic32 } = mem
/** Bytes for which every scratch has room. */
const SMALL = 256

/**
 * Puts a message in, if there is room. Returns whether there was.
 *
 * @throws EntryTooLargeError; RingClosedError; LockTimeoutError; OfflineError. Nothing is changed
 *   then.
 */
export function put(ring: RingPlace, lock: LayerLock, message: Scratch): boolean {
  const words = messageWords(message.length)
  if (words > ring.capacity) throw tooLarge(ring, message)
  ensureStack(FEW)
  // First: the views of a ring that was removed throw, and its lock may be anything by now. Mutant:
  // collections/ring-locked-removed.
  const { i32 } = ring.memory
  if (!lock.tryLock(ring.sendLock)) lock.lock(ring.sendLock)
  // atomic: only the holder of the lock moves it, and whoever closes, whom RA meets.
  const tail = loadAtomic32(i32, ring.tail)
  const position = positionOf(tail)
  let isPut = false
  let isClosed = isClosedAt(tail)
  if (!isClosed && hasRoom(ring, position, words)) {
    const next = advance(ring, position, words)
    writeMessage(ring, position, message)
    countNext(i32, ring.sent, position, next)
    // RA(ring.tail) publishes the message, unless the ring was closed meanwhile; pairs with RB in
    // loadTail, RG in close: it is the receivers' to read and take. Mutants:
    // collections/ring-published-first, collections/ring-closed-unseen.
    isPut = compareExchangeAtomic32(i32, ring.tail, tail, next << 1) === tail
    isClosed = !isPut
  }
  lock.unlock()
  if (isClosed) throw closed(ring)
  return isPut
}

/** Whether so many words are free behind the tail. The senders' lock is held. */
function hasRoom(ring: RingPlace, tail: number, words: number): boolean {
  const { i32 } = ring.memory
  if (ring.capacity - distance(ring, load32(i32, ring.headSeen), tail) >= words) return true
  const head = loadHead(ring)
  store32(i32, ring.headSeen, head)
  return ring.capacity - distance(ring, head, tail) >= words
}

/**
 * Takes the first message out, or copies it if it stays. Returns whether there was one.
 *
 * @throws LockTimeoutError; OfflineError; RangeError if there is no memory for so large a message.
 *   Nothing is changed then.
 */
export function take(ring: RingPlace, lock: LayerLock, into: Scratch, stays = false): boolean {
  // For decoding it, too.
  ensureStack(SOME)
  // First, as in put.
  const { i32 } = ring.memory
  if (!lock.tryLock(ring.receiveLock)) lock.lock(ring.receiveLock)
  // atomic: only the holder of the lock moves it.
  const head = loadAtomic32(i32, ring.head)
  if (!hasMessage(ring, head)) {
    lock.unlock()
    return false
  }
  const length = lengthAt(ring, head)
  if (length >>> 0 > SMALL) makeRoom(ring, lock, length, into)
  readMessage(ring, head, length, into)
  if (!stays) {
    const next = advance(ring, head, messageWords(length))
    countNext(i32, ring.received, head, next)
    // RC(ring.head) gives the room back; pairs with RD in loadHead: the words of the message are
    // the senders' to write. Mutant: collections/ring-freed-first.
    storeAtomic32(i32, ring.head, next)
  }
  lock.unlock()
  return true
}

/** Whether there is one behind the head. The receivers' lock is held. */
function hasMessage(ring: RingPlace, head: number): boolean {
  const { i32 } = ring.memory
  if (load32(i32, ring.tailSeen) !== head) return true
  const tail = positionOf(loadTail(ring))
  store32(i32, ring.tailSeen, tail)
  return tail !== head
}

/** For a message that is not small. The receivers' lock is held, unless it throws. */
function makeRoom(ring: RingPlace, lock: LayerLock, length: number, into: Scratch): void {
  try {
    if (length < 0 || messageWords(length) > ring.capacity)
      throw new RingCorruptionError(`there is a message of ${length} bytes, more than the ring holds`, {
        address: ring.address,
        length,
      })
    into.reserve(length)
  } catch (error) {
    lock.unlock()
    throw error
  }
}

/** For a message that the ring can never hold. */
export function tooLarge({ capacity }: RingPlace, { length }: Scratch): EntryTooLargeError {
  const limit = (capacity - 1) * 4
  return new EntryTooLargeError(
    `the message has ${length} bytes, and the ring holds ${limit} of one at most`,
    {
      length,
      limit,
    },
  )
}
export function closed({ name }: RingPlace): RingClosedError {
  return new RingClosedError(`the ring ${visible(name)} is closed: nothing more can be sent`, { name })
}
