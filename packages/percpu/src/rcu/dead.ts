/**
 * What a dead CPU left half-done in lists of what is to be freed. For its reaper, before any layer
 * frees what was in flight, and before the CPU's locks are free. Every step can be repeated.
 */
import { load32, loadAtomic32, store32, storeAtomic32, type Memory } from '#mem'
import type { Tags } from '../alloc/tags.js'
import { behind, entryWord, IN_BLOCK, isBlockOf, linkWord } from './callback-list.js'
import { anchorOf, finishChained, isChain } from './chains.js'
import { CallbackList } from './layouts.js'

const { words } = CallbackList

/** At the CPU's own end: what it had begun to queue is queued. `tags`: the dead CPU's. */
export function finishQueueing(memory: Memory, list: number, tags: Tags): void {
  const { i32 } = memory
  const known = load32(i32, list + words.tailBlock)
  const next = load32(i32, linkWord(list, known))
  // Mutant: rcu/block-forgotten.
  if (next !== 0) {
    persist(tags, next * 8)
    store32(i32, list + words.tailBlock, next)
  }
  const block = next === 0 ? known : next
  // atomic: the dead CPU's own.
  const tail = loadAtomic32(i32, list + words.tail)
  if (block === 0 || ((tail & IN_BLOCK) === 0 && !isBlockOf(memory, block, tail))) return
  const entry = load32(i32, entryWord(block, tail))
  if (entry === 0) return
  const object = isChain(entry) ? anchorOf(entry) : entry
  if (object > 0) tags.queue(tags.wordOf(object * 8))
  // atomic: as CA in FreeQueue, in the dead CPU's place. Mutant: rcu/queueing-forgotten.
  storeAtomic32(i32, list + words.tail, behind(tail))
}

/** At the other end of any list: what it had begun to free is not the list's any more. */
export function finishFreeing(memory: Memory, list: number, tags: Tags): void {
  const { i32 } = memory
  // atomic: the dead CPU's own token, or none of it. Nobody takes the lock before it is released.
  if (loadAtomic32(i32, list + words.lock) !== tags.token) return
  const known = load32(i32, list + words.headBlock)
  const isLeft = known !== 0 && tags.isInFlight(known * 8)
  const block = isLeft ? load32(i32, linkWord(list, known)) : known
  // Mutant: rcu/block-freed-twice.
  if (isLeft) store32(i32, list + words.headBlock, block)
  const head = load32(i32, list + words.head)
  // atomic: what is behind head is not looked at.
  const isInside = (head & IN_BLOCK) !== 0 && head !== loadAtomic32(i32, list + words.tail)
  const entry = isInside ? load32(i32, entryWord(block, head)) : 0
  const object = isChain(entry) ? anchorOf(entry) : entry
  if (isChain(entry)) finishChained(memory, object, tags)
  // Mutant: rcu/freed-twice.
  if (object > 0 && tags.isInFlight(object * 8)) store32(i32, list + words.head, behind(head))
  // atomic: as CC in ListRunner, in the dead CPU's place.
  storeAtomic32(i32, list + words.passed, load32(i32, list + words.head))
}

function persist(tags: Tags, address: number): void {
  if (tags.isInFlight(address)) tags.persist(address)
}
