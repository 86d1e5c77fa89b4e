/** The CPU's end of a list of what is to be freed. The rules are in callback-list.ts. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { Heap } from '../alloc/heap.js'
import { PAGE_BYTES } from '../arithmetic.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { LockTimeoutError } from '../sync/errors.js'
import { behind, entryWord, IN_BLOCK, isBlockOf, linkWord } from './callback-list.js'
import { CallbackBlock, CallbackList } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32, storeAtomic32 } = mem
const { words } = CallbackList

export class FreeQueue {
  readonly #memory: Memory
  readonly #heap: Heap
  readonly #list: number
  /** Copies of the list's words: this CPU alone changes them. */
  #tail: number
  #block: number

  /** `list`: word index. */
  constructor(memory: Memory, heap: Heap, list: number) {
    this.#memory = memory
    this.#heap = heap
    this.#list = list
    // atomic: this CPU's own, or its predecessor's, whose end came before.
    this.#tail = loadAtomic32(memory.i32, list + words.tail)
    this.#block = load32(memory.i32, list + words.tailBlock)
  }

  /** The position behind the last entry. */
  get tail(): number {
    return this.#tail
  }

  /**
   * Queues an entry. `tag`: word index of the tag of what it names; 0 for per-CPU memory. `units`:
   * what it frees. False, and nothing done, if there is no memory for another block.
   */
  push(entry: number, tag: number, units: number): boolean {
    const { i32 } = this.#memory
    const position = this.#tail
    if ((position & IN_BLOCK) === 0 && !this.#extend(position)) return false
    // It counts from here on. Mutant: rcu/tag-first.
    store32(i32, entryWord(this.#block, position), entry)
    // Before the others find it. Mutant: rcu/tail-before-tag.
    if (tag !== 0) this.#heap.tags.queue(tag)
    this.#tail = behind(position)
    // CA(list.tail) publishes the entry; pairs with CB in tailOf: whoever has the lock may free it
    // after a grace period. Mutant: rcu/entry-after-tail.
    storeAtomic32(i32, this.#list + words.tail, this.#tail)
    const queued = this.#list + words.queued
    store32(i32, queued, (load32(i32, queued) + units) | 0)
    return true
  }

  /**
   * Sees to it that the next {@link push} takes no memory. False if there is none: then it may find
   * some.
   */
  reserve(): boolean {
    return (this.#tail & IN_BLOCK) !== 0 || this.#extend(this.#tail)
  }

  /** The block of a position at a block's first word. */
  #extend(position: number): boolean {
    const { i32 } = this.#memory
    // A predecessor that died may have been as far.
    if (isBlockOf(this.#memory, this.#block, position)) return true
    const address = this.#allocate()
    if (address === 0) return false
    const block = address / 8
    store32(i32, block * 2 + CallbackBlock.words.base, position)
    // Linked before it is persistent: a dead CPU's reaper finds it there. Mutant:
    // rcu/block-persistent-first.
    store32(i32, linkWord(this.#list, this.#block), block)
    this.#heap.persist(address)
    store32(i32, this.#list + words.tailBlock, block)
    this.#block = block
    return true
  }

  #allocate(): number {
    try {
      return this.#heap.alloc(PAGE_BYTES, { zero: true })
    } catch (error) {
      if (error instanceof OutOfMemoryError || error instanceof LockTimeoutError) return 0
      throw error
    }
  }
}
