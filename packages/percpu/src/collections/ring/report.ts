/** A ring as watchers see it, and the check of its words. */
import { loadAtomic32, type Memory } from '#mem'
import { shown } from '../../machine/check.js'
import { hasBit } from '../../sync/cpu-mask.js'
import { RingCorruptionError } from '../errors.js'
import { countAt } from './count.js'
import {
  advance,
  distance,
  freeWords,
  isClosedAt,
  loadHead,
  loadTail,
  messageWords,
  positionOf,
  type RingPlace,
} from './place.js'
import { RingRoot } from './ring-layout.js'

/** How full a ring is. */
export interface RingReport {
  readonly name: string
  /** Messages that are there, and that were sent and received ever; modulo 2^32. */
  readonly length: number
  readonly sent: number
  readonly received: number
  /** Bytes for messages, and those of them that are free. */
  readonly capacity: number
  readonly free: number
  readonly isClosed: boolean
  /** CPUs that wait for a message, and for room. One that was just woken is left out. */
  readonly receivers: readonly number[]
  readonly senders: readonly number[]
}

/** A snapshot: not all of one moment while others send and receive. */
export function describeRing(name: string, ring: RingPlace, cpus: number): RingReport {
  const received = countReceived(ring)
  const sent = countSent(ring)
  const waiting = (mask: number): readonly number[] =>
    Array.from({ length: cpus }, (_, cpu) => cpu).filter((cpu) => hasBit(ring.memory, mask, cpu))
  return {
    name,
    length: (sent - received) >>> 0,
    sent,
    received,
    capacity: ring.capacity * 4,
    free: freeWords(ring) * 4,
    isClosed: isClosedAt(loadTail(ring)),
    receivers: waiting(ring.receivers),
    senders: waiting(ring.senders),
  }
}

/** Looks again if the position has moved meanwhile, so many times. */
const TRIES = 8

function countSent(ring: RingPlace): number {
  return countOf(ring, ring.sent, () => positionOf(loadTail(ring)))
}
function countReceived(ring: RingPlace): number {
  return countOf(ring, ring.received, () => loadHead(ring))
}
function countOf({ memory }: RingPlace, counts: number, load: () => number): number {
  for (let i = 0; ; i++) {
    const position = load()
    const count = countAt(memory.i32, counts, position)
    if (load() === position || i === TRIES) return count >>> 0
  }
}

/** How many messages there are. A snapshot, exact if nobody sends or receives. */
export function countMessages(ring: RingPlace): number {
  // Received first: of what was sent later none is missing.
  const received = countReceived(ring)
  return (countSent(ring) - received) >>> 0
}

/**
 * Looks at all messages that there are, and takes no lock. Those that are received meanwhile are
 * not judged.
 *
 * @throws RingCorruptionError.
 */
export function verifyRing(name: string, ring: RingPlace): void {
  const faults = [...positionFaults(ring)]
  if (faults.length === 0) faults.push(...messageFaults(ring))
  if (faults.length === 0) return
  throw new RingCorruptionError(`the ring ${shown(name)} is corrupt: ${faults.join('; ')}`, { name, faults })
}

function* positionFaults(ring: RingPlace): Generator<string> {
  const head = loadHead(ring)
  const tail = positionOf(loadTail(ring))
  for (const [what, position] of Object.entries({ head, tail }))
    if (position < 0 || position >= ring.limit) yield `the ${what} is ${position}, of ${ring.limit}`
  const used = distance(ring, head, tail)
  // Otherwise others have received and sent meanwhile.
  const isOfOneMoment = loadHead(ring) === head
  if (used > ring.capacity && isOfOneMoment) yield `${used} of ${ring.capacity} words are in use`
}

function* messageFaults(ring: RingPlace): Generator<string> {
  const { memory, buffer, capacity } = ring
  const tail = positionOf(loadTail(ring))
  let at = loadHead(ring)
  for (;;) {
    const left = distance(ring, at, tail)
    // All are passed, perhaps by the head itself.
    if (left === 0 || left > capacity) return
    // atomic: read before the head is. If that has not passed it, nobody has written it since.
    const bytes = loadAtomic32(memory.i32, buffer + (at % capacity))
    const words = messageWords(bytes)
    const head = loadHead(ring)
    if (distance(ring, head, at) > capacity) {
      at = head
      continue
    }
    if (bytes < 0 || words > left) {
      yield `the message at ${at} has ${bytes} bytes, and there are ${left * 4}`
      return
    }
    at = advance(ring, at, words)
  }
}

/**
 * Why its name cannot be taken away, for a message; undefined if it can: it is closed and empty.
 * `root`: word index.
 */
export function useOfRing({ i32 }: Memory, root: number): string | undefined {
  const { words } = RingRoot
  // atomic: snapshots. A closed ring stays closed.
  const tail = loadAtomic32(i32, root + words.tail)
  if (!isClosedAt(tail)) return 'is not closed'
  // atomic: of a closed ring that is empty nothing moves any more.
  return loadAtomic32(i32, root + words.head) === positionOf(tail) ? undefined : 'has messages left'
}
