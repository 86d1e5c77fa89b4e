/**
 * Chains: many objects of the heap that are freed after the same grace period, by one entry of a
 * list. Each names the next one in its first word. The entry names the first one, the *anchor*,
 * which lies at a multiple of 64 bytes.
 *
 *     entry ──▶ anchor ──▶ object ──▶ object ──▶ 0
 *
 * Exactly once, whoever is killed, and wherever. The object behind the anchor is in flight with the
 * runner, then the anchor names the one behind it, then it is given back. The anchor comes last, as
 * an object of its own would. So the tag of the object behind the anchor tells who is answerable
 * for it: the list, or a dead runner.
 */
import { load32, store32, type Memory } from '#mem'
import type { Heap } from '../alloc/heap.js'
import type { Tags } from '../alloc/tags.js'
import { LockTimeoutError } from '../sync/errors.js'

/**
 * Entries of chains lie below this. A pointer to per-CPU memory whose entry would, too, cannot be:
 * it would need 7.5 GiB of it for each CPU, and the bookkeeping of that.
 */
const CHAINS_END = -(2 ** 31) + 2 ** 27

/** `anchor`: byte address, a multiple of 64. */
export function chainEntry(anchor: number): number {
  return anchor / 64 - 2 ** 31
}
export function isChain(entry: number): boolean {
  return entry < CHAINS_END
}
/** The anchor of a chain, by reference. */
export function anchorOf(entry: number): number {
  return (entry + 2 ** 31) * 8
}

/** Links an object, by reference, to the next one; 0 to none. */
export function linkTo({ i32 }: Memory, object: number, next: number): void {
  store32(i32, object * 2, next)
}
export function linkOf({ i32 }: Memory, object: number): number {
  return load32(i32, object * 2)
}

/**
 * Frees what is behind the anchor; at most `limit` objects. False if something is left: it is to be
 * gone on with later.
 *
 * @throws what the heap says of an object that is free already.
 */
export function freeChained(
  memory: Memory,
  heap: Heap,
  anchor: number,
  limit: number,
  count: Count,
): boolean {
  for (;;) {
    const object = linkOf(memory, anchor)
    if (object === 0) return true
    if (count.objects >= limit) return false
    const next = linkOf(memory, object)
    const units = heap.tags.bytesOf(object * 8) >>> 3
    heap.adopt(object * 8)
    // From here on the heap frees it, should this thread die. Mutant: rcu/chain-freed-first.
    linkTo(memory, anchor, next)
    try {
      heap.free(object * 8)
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error
      // Back into the chain, by the same two words.
      linkTo(memory, anchor, object)
      heap.persist(object * 8)
      return false
    }
    count.objects++
    count.units += units
  }
}
/** What was freed: so many, of so many units of 8 bytes. */
export interface Count {
  objects: number
  units: number
}

/** For the reaper of a runner, whose `tags` these are: what it had begun to free is its own. */
export function finishChained(memory: Memory, anchor: number, tags: Tags): void {
  const object = linkOf(memory, anchor)
  // Mutant: rcu/chained-freed-twice.
  if (object !== 0 && tags.isInFlight(object * 8)) linkTo(memory, anchor, linkOf(memory, object))
}
