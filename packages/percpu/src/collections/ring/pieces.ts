/**
 * The two ends of a ring, for many messages: they go in pieces, each under one hold of its lock and
 * by one store of tail or head. So a piece is there, or taken, as a whole or not at all, whoever is
 * killed.
 *
 * Progress: blocking; a lock is held while 16 KiB are copied, or one message that is larger.
 */
import * as mem from '#mem'
import { ensureStack, FEW, SOME } from '../../stack.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import type { Batch } from './batch.js'
import { countNext } from './count.js'
import { closed } from './ends.js'
import { lengthAt, readAt, writeAt } from './message.js'
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
const { compareExchangeAtomic32, loadAtomic32, store32, storeAtomic32 } = mem
/** Words that a piece has at most, but for a message to send that is larger. */
export const PIECE = 4096

/**
 * Puts in as many messages of a batch as there is room for, up to a piece. They are not left in the
 * batch then. Returns whether there was no room for the next one.
 *
 * @throws RingClosedError; LockTimeoutError; OfflineError. Nothing is changed then.
 */
export function putPiece(ring: RingPlace, lock: LayerLock, batch: Batch): boolean {
  ensureStack(FEW)
  // First, as in put.
  const { i32 } = ring.memory
  if (!lock.tryLock(ring.sendLock)) lock.lock(ring.sendLock)
  // atomic: as in put.
  const tail = loadAtomic32(i32, ring.tail)
  let isClosed = isClosedAt(tail)
  let isFull = false
  if (!isClosed) {
    const position = positionOf(tail)
    const head = loadHead(ring)
    store32(i32, ring.headSeen, head)
    const { count, at, isCut } = fitting(batch, ring.capacity - distance(ring, head, position))
    isFull = isCut
    if (count > 0) {
      const words = at - batch.begin
      const next = advance(ring, position, words)
      writeAt(ring, position % ring.capacity, batch.image, batch.begin, words)
      countNext(i32, ring.sent, position, next, count)
      // atomic: as RA, for all messages of the piece. Mutants:
      // collections/ring-batch-published-first, collections/ring-batch-closed-unseen.
      isClosed = compareExchangeAtomic32(i32, ring.tail, tail, next << 1) !== tail
      if (!isClosed) {
        batch.begin = at
        batch.count -= count
      }
    }
  }
  lock.unlock()
  if (isClosed) throw closed(ring)
  return isFull
}

interface Fitting {
  readonly count: number
  /** Where in the batch they end. */
  readonly at: number
  /** Whether there is no room for the next one. */
  readonly isCut: boolean
}
/** How many messages of a batch a piece has, in so many words of room. */
function fitting(batch: Batch, room: number): Fitting {
  const { words } = batch.image
  let at = batch.begin
  let count = 0
  while (count < batch.count) {
    const end = at + messageWords(words[at] ?? 0)
    const size = end - batch.begin
    if (size > room) return { count, at, isCut: true }
    if (size > PIECE && count > 0) break
    at = end
    count++
  }
  return { count, at, isCut: false }
}

/**
 * Takes the first messages out, `limit` and a piece at most; none if the first one is larger than
 * a piece, or if its length cannot be right. Returns whether that was all that there was.
 *
 * @throws LockTimeoutError; OfflineError. Nothing is changed then.
 */
export function takePiece(ring: RingPlace, lock: LayerLock, limit: number, into: Batch): boolean {
  // For decoding them, too.
  ensureStack(SOME)
  // First, as in put.
  const { i32 } = ring.memory
  into.begin = 0
  into.end = 0
  into.count = 0
  if (!lock.tryLock(ring.receiveLock)) lock.lock(ring.receiveLock)
  // atomic: as in take.
  const head = loadAtomic32(i32, ring.head)
  const tail = positionOf(loadTail(ring))
  store32(i32, ring.tailSeen, tail)
  const available = distance(ring, head, tail)
  const most = Math.min(available, into.image.words.length)
  let [words, count] = [0, 0]
  while (count < limit && words < most) {
    // Of spoiled memory a length may be negative, or a piece may have no end.
    const length = lengthAt(ring, head + words)
    const size = messageWords(length)
    if (length < 0 || words + size > most) break
    words += size
    count++
  }
  if (count > 0) {
    const next = advance(ring, head, words)
    readAt(ring, head % ring.capacity, into.image, words)
    countNext(i32, ring.received, head, next, count)
    // atomic: as RC, for all messages of the piece. Mutant: collections/ring-batch-freed-first.
    storeAtomic32(i32, ring.head, next)
    into.end = words
    into.count = count
  }
  lock.unlock()
  return words === available
}
