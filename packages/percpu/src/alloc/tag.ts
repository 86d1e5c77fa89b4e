/**
 * Tags: who is answerable for a block of pages or an object. One word each:
 *
 *     0 or below           free, and nobody's: in a list, a stack or a magazine
 *     token                in flight: it belongs to that incarnation of a CPU
 *     token | PERSISTENT   persistent: it belongs to the object that links it, and outlives the
 *                          thread; the token tells only where it came from
 *     token | QUEUED       persistent, too: it is linked by a list of what is to be freed after a
 *                          grace period, and by nothing else
 *
 *     alloc ──▶ in flight ──persist──▶ persistent ──adopt──▶ in flight ──▶ free
 *                   └────────────────────┴────▶ queued ─────────▲
 *
 * What a thread had in flight is freed when the thread dies. `persist` and `adopt` change one word,
 * so they can be part of the section that links or unlinks the object. Killed at any point, the
 * thread leaves the object linked and persistent, or neither. Without a section, an object is made
 * persistent before it is linked. A kill between the two loses that object: it stays allocated,
 * with the tag of its thread, and nothing is corrupt.
 *
 * Who may write. The tag of an object in flight is written by its CPU, or in its place by the CPU
 * that frees what a dead one had in flight. A persistent object belongs to any CPU that got it by
 * some ordered way.
 *
 * Why tags may be racy. A CPU that looks for the tags of a dead one reads those of the living, too,
 * while they change. It does not mistake one for the other: no living CPU writes a dead one's
 * token. All that the dead CPU wrote happened before its end was announced (`HeapCpu.ended`). So
 * an object that it had made persistent, or freed, is not read as in flight any more.
 */
import { isSameMemory, store32, type Memory } from '#mem'
import { isSafely, refused } from '../machine/check.js'
import { incarnationOf, isUpTo } from '../machine/token.js'
import type { SectionWriter } from '../sync/layer-lock.js'

export const PERSISTENT = 1 << 30
/** Both bits above a token. */
export const QUEUED = PERSISTENT | (1 << 29)

export function isAllocated(tag: number): boolean {
  return tag > 0
}
export function isPersistent(tag: number): boolean {
  return tag > PERSISTENT
}
export function isQueued(tag: number): boolean {
  return tag > QUEUED
}
/**
 * Whether a CPU may free what has this tag: it is persistent, or in flight with that CPU. `token`:
 * that CPU's.
 */
function mayFreeTag(tag: number, token: number): boolean {
  // One comparison for: above PERSISTENT, and not above QUEUED.
  return tag === token || (tag - PERSISTENT) >>> 0 < QUEUED - PERSISTENT
}
// Beside the function, for the compiler: it checks an export within its own module at each use.
export const mayFree = mayFreeTag
export function isInFlight(tag: number): boolean {
  return tag > 0 && tag < PERSISTENT
}

/**
 * Writes the tag at a word index, through the section if there is one.
 *
 * @throws ArgumentError for a section of another memory, in which it would change any word.
 */
export function writeTag(
  memory: Memory,
  word: number,
  tag: number,
  section: SectionWriter | undefined,
): void {
  if (section === undefined) {
    store32(memory.i32, word, tag)
    return
  }
  if (!isSafely(() => isWriter(section) && isSameMemory(section.memory, memory)))
    throw refused('section', section, 'no section of the machine whose heap this is')
  section.write32(word, tag)
}

function isWriter(section: unknown): boolean {
  const { memory, write32 } = Object(section) as Partial<SectionWriter>
  return memory !== undefined && typeof write32 === 'function'
}

/**
 * Whether the incarnation that `tag` names is `ended` or an earlier one; `ended` is 0 if none has.
 */
export function isEnded(tag: number, ended: number): boolean {
  return ended > 0 && isUpTo(incarnationOf(tag), ended)
}
