/**
 * Tokens: a CPU and one of its incarnations in one word, so that one atomic operation can say whose
 * a thing is.
 *
 *     bits    31 … 29   28 … 8        7 … 0
 *             flags     incarnation   CPU
 *
 * The flags are free for whoever stores the token.
 *
 * Every thread that becomes a CPU is a new incarnation of it. Incarnations run from 1 to 2^21 - 1
 * and then begin at 1 again. So a token is never 0, and the same width holds everywhere: in locks,
 * in the owners of boot memory, in the tags of the heap, and in the CPU's state word.
 *
 * Why repeating is safe. Tokens are compared for equality, and with two exceptions none outlives
 * its incarnation: before a CPU's number is free again, its thread or its reaper has removed its
 * token from every lock and every region. One exception are tags of the heap: those of persistent
 * objects are only reported, and those in flight are told apart by {@link isUpTo}, which is right
 * within half a round. A tag that is older than that is taken for one of the present: it is lost,
 * never freed twice. The other one is the mark of who removes a collection. If it is taken for one
 * of the present, who wants to go on waits until that incarnation has ended. A thread that
 * remembers an incarnation while it waits would have to wait for 2 million incarnations of one CPU,
 * each of them a new thread.
 */

/** Incarnations are 1 to this number; the one after it is 1 again. */
export const MAX_INCARNATION = 2 ** 21 - 1
/** The bits of a token; those above are the caller's. */
export const TOKEN = 2 ** 29 - 1

/** Names one incarnation of a CPU (0 to 255); never 0. */
export function tokenOf(cpu: number, incarnation: number): number {
  return (incarnation << 8) | cpu
}

/** The CPU in a token, whatever the bits above it. */
export function cpuOf(token: number): number {
  return token & 0xff
}

/** The incarnation in a token, whatever the bits above it. */
export function incarnationOf(token: number): number {
  return (token & TOKEN) >>> 8
}

/** The one after `incarnation`, which may be 0: then the first one. */
export function nextIncarnation(incarnation: number): number {
  return incarnation === MAX_INCARNATION ? 1 : incarnation + 1
}

/**
 * The one before `incarnation`. That of the first one is the last of a round that never was, and
 * does no harm.
 */
export function previousIncarnation(incarnation: number): number {
  return incarnation === 1 ? MAX_INCARNATION : incarnation - 1
}

/**
 * Whether `incarnation` is `last`, or came before it: within half a round in each direction. Across
 * the end of a round the distance comes out too large by one, for 0 is no incarnation.
 */
export function isUpTo(incarnation: number, last: number): boolean {
  return ((last - incarnation) & MAX_INCARNATION) <= MAX_INCARNATION >>> 1
}
