/**
 * Ownership: who is answerable for a block of pages or an object. One word each, its *tag*:
 *
 *     0 or below      free: nobody's (in a list, a stack or a magazine)
 *     token           allocated, in flight: that incarnation's of a CPU
 *     token | PERSISTENT    allocated and persistent: it belongs to what links it, and outlives the thread
 *
 *     allocate ──▶ in flight ──keep──▶ persistent ──adopt──▶ in flight ──▶ free
 *
 * When a thread dies, what it had in flight is freed; what was persistent stays. `keep` and `adopt` are one word's change, so that
 * they can be part of the section that links or unlinks the object: then the object is linked and persistent, or neither, whenever the
 * thread is killed. Without a section, keep before linking: a kill in between loses one object, which stays attributed to its
 * thread, and corrupts nothing.
 *
 * Rules: while in flight the tag is written by its CPU only (or for it, by whoever frees what the dead had in flight: another CPU that
 * frees it at that moment frees it twice). Kept objects may be freed by any CPU that got them by some ordered way. Whoever looks for the tags of the dead reads those of the living,
 * too, while they change: kind racy. It never mistakes one for the other: all that the dead CPU wrote happened before (its
 * end was announced by `HeapCpu.ended`), so a tag that it had in flight and then persistent or freed is not read as in flight any more; and
 * no living CPU writes a dead one's token.
 */
import { incarnationOf, isUpTo } from '../machine/token.js'

export const PERSISTENT = 1 << 30

export function isAllocated(tag: number): boolean {
  return tag > 0
}
export function isPersistent(tag: number): boolean {
  return tag > PERSISTENT
}

/** Whether the incarnation that `tag` names is `ended` or an earlier one; `ended` is 0 if none has. */
export function isEnded(tag: number, ended: number): boolean {
  return ended > 0 && isUpTo(incarnationOf(tag), ended)
}
