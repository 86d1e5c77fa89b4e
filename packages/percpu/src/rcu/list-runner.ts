/**
 * The other end of lists of what is to be freed: gives entries their grace periods, and frees what
 * is due. The rules are in callback-list.ts.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { Heap } from '../alloc/heap.js'
import type { Tags } from '../alloc/tags.js'
import { reportError } from '../machine/platform.js'
import type { Allocator } from '../percpu/allocator.js'
import { OWNER } from '../percpu/free.js'
import { LockTimeoutError } from '../sync/errors.js'
import type { LayerLock } from '../sync/layer-lock.js'
import { behind, entryWord, IN_BLOCK, isBlockOf, linkWord, tailOf } from './callback-list.js'
import { anchorOf, freeChained, isChain, linkTo, type Count } from './chains.js'
import { BLOCK_HEAD, CallbackList } from './layouts.js'
import { accelerate, advance, waitsFor, type Segments } from './segcblist.js'
import type { GracePeriodSource } from './source.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32, storeAtomic32 } = mem
const { words } = CallbackList
const segmentWords = ['done', 'wait', 'nextReady', 'waitCookie', 'nextReadyCookie'] as const

/** What a thread frees with. */
export interface RunnerParts {
  readonly memory: Memory
  readonly heap: Heap
  /** Of per-CPU memory; made when it is first needed. */
  readonly percpu: () => Pick<Allocator, 'free' | 'settle'>
  /** Copies of per-CPU memory that there are. */
  readonly copies: number
  readonly lock: LayerLock
}

/** How a turn at a list has left it. */
export interface Turn {
  /** Somebody else is at it, or has a lock that is needed. */
  readonly isTaken: boolean
  /** More is due. */
  readonly isUnfinished: boolean
  /** The first cookie that is waited for, if any. */
  readonly cookie: number | undefined
  /** How many entries were freed, or found to be. */
  readonly freed: number
}
const taken: Turn = { isTaken: true, isUnfinished: true, cookie: undefined, freed: 0 }

export class ListRunner {
  readonly #parts: RunnerParts
  readonly #tags: Tags
  #isAtWork = false
  /** What was freed in this turn, in units of 8 bytes. */
  #units = 0

  constructor(parts: RunnerParts) {
    this.#parts = parts
    this.#tags = parts.heap.tags
  }

  /** A turn at a list: at most `limit` entries are freed. */
  turn(list: number, source: GracePeriodSource, limit: number): Turn {
    const { lock } = this.#parts
    // Memory may run short while this is at work.
    if (this.#isAtWork || !lock.tryLock(list + words.lock)) return taken
    this.#isAtWork = true
    try {
      return this.#turn(list, source, limit)
    } finally {
      this.#isAtWork = false
      lock.unlock()
    }
  }

  #turn(list: number, source: GracePeriodSource, limit: number): Turn {
    const { i32 } = this.#parts.memory
    const segments = this.#sort(list, source)
    const begin = load32(i32, list + words.head)
    let freed = 0
    if (begin !== segments.done) {
      this.#tags.use()
      try {
        freed = this.#free(list, segments.done, limit)
      } finally {
        // CC(list.passed) pairs with CD in passedOf: all before it is free. Mutant:
        // rcu/passed-early.
        storeAtomic32(i32, list + words.passed, load32(i32, list + words.head))
        store32(i32, list + words.freed, (load32(i32, list + words.freed) + this.#units) | 0)
        this.#units = 0
      }
    }
    const isUnfinished = load32(i32, list + words.head) !== segments.done
    return { isTaken: isUnfinished && freed < limit, isUnfinished, cookie: waitsFor(segments), freed }
  }

  /** Finds what is due. Everything has a cookie afterwards. */
  #sort(list: number, source: GracePeriodSource): Segments {
    const { memory, lock } = this.#parts
    const { i32 } = memory
    const tail = tailOf(i32, list)
    const segments: Segments = {
      done: load32(i32, list + words.done),
      wait: load32(i32, list + words.wait),
      nextReady: load32(i32, list + words.nextReady),
      waitCookie: load32(i32, list + words.waitCookie),
      nextReadyCookie: load32(i32, list + words.nextReadyCookie),
    }
    if (segments.done === tail) return segments
    // After the look at the tail, or what was unlinked later would have an earlier grace period.
    // Before `advance`: segcblist.ts.
    const cookie = segments.nextReady === tail ? undefined : source.snap()
    const hasAdvanced = advance(segments, (other) => source.isDone(other))
    const hasAccelerated = cookie !== undefined && accelerate(segments, cookie, tail)
    if (hasAdvanced || hasAccelerated)
      lock.section((section) => {
        for (const field of segmentWords) section.write32(list + words[field], segments[field])
      })
    return segments
  }

  /** Frees what lies before position `done`. Returns how many it has freed. */
  #free(list: number, done: number, limit: number): number {
    const { i32 } = this.#parts.memory
    const head = list + words.head
    let position = load32(i32, head)
    let block = load32(i32, list + words.headBlock)
    for (let count = 0; ; count++) {
      if (position === done || count >= limit) return count
      if ((position & IN_BLOCK) === 0) {
        block = this.#enter(list, block, position)
        position = (position + BLOCK_HEAD) | 0
        store32(i32, head, position)
      }
      const word = entryWord(block, position)
      const entry = load32(i32, word)
      let object = entry
      if (isChain(entry)) {
        object = anchorOf(entry)
        const { objects, isLeft } = this.#shorten(object, limit - count)
        count += objects
        if (isLeft) return count
      }
      const isOver = object > 0 ? this.#freeObject(head, position, object) : this.#freePercpu(entry, word)
      if (!isOver) return count
      position = behind(position)
      // Of an object it has been there already.
      store32(i32, head, position)
    }
  }

  /** False if it is to be tried again later. */
  #freeObject(head: number, position: number, entry: number): boolean {
    const { memory, heap } = this.#parts
    const address = entry * 8
    let tag = 0
    try {
      tag = this.#tags.adopt(address)
      const units = this.#tags.bytesOf(address) >>> 3
      // From here on the heap frees it, should this thread die. Mutant: rcu/freed-before-head.
      store32(memory.i32, head, behind(position))
      heap.free(address)
      this.#units += units
    } catch (error) {
      if (tag !== 0 && error instanceof LockTimeoutError) {
        // Back into the list, by the same two words.
        store32(memory.i32, head, position)
        this.#tags.queue(tag)
        return false
      }
      reportError(error)
    }
    return true
  }

  /** Frees what is behind the anchor of a chain, at most `limit` objects, and tells how many. */
  #shorten(anchor: number, limit: number): { readonly objects: number; readonly isLeft: boolean } {
    const { memory, heap } = this.#parts
    const count: Count = { objects: 0, units: 0 }
    let isLeft = false
    try {
      isLeft = !freeChained(memory, heap, anchor, limit, count)
    } catch (error) {
      // Nobody knows what is behind it.
      linkTo(memory, anchor, 0)
      reportError(error)
    }
    this.#units += count.units
    return { objects: count.objects, isLeft }
  }

  /** Frees what is in no list, after its grace period. @throws LockTimeoutError and others. */
  freeNow(entry: number): void {
    const { heap, percpu } = this.#parts
    if (entry < 0) percpu().free(~entry, OWNER)
    else {
      this.#tags.adopt(entry * 8)
      heap.free(entry * 8)
    }
  }

  #freePercpu(entry: number, word: number): boolean {
    try {
      const percpu = this.#parts.percpu()
      // What a dead thread had begun to free may still be written to.
      if (entry === 0) percpu.settle()
      else this.#units += (percpu.free(~entry, word) * this.#parts.copies) >>> 3
    } catch (error) {
      if (error instanceof LockTimeoutError) return false
      reportError(error)
    }
    return true
  }

  /** The block that begins at a position. The one before it is given back. */
  #enter(list: number, block: number, position: number): number {
    const { memory, heap } = this.#parts
    const { i32 } = memory
    // A predecessor that died may have been as far.
    if (isBlockOf(memory, block, position)) return block
    const next = load32(i32, linkWord(list, block))
    // In flight before nothing leads to it any more. Mutant: rcu/block-lost.
    if (block !== 0) heap.adopt(block * 8)
    store32(i32, list + words.headBlock, next)
    if (block !== 0) this.#release(block * 8)
    return next
  }
  #release(address: number): void {
    try {
      this.#parts.heap.free(address)
    } catch (error) {
      // It is in flight: it ends with this thread.
      reportError(error)
    }
  }
}
