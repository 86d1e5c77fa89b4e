/**
 * The words that the lock of the allocator guards.
 *
 * An operation changes most of them by bare stores, after it was announced. Whoever takes the lock
 * after its owner's death makes them anew (operation.ts). Not all words can be made anew from
 * others: whom pages belong to, and where they are linked. Those change in sections, through the
 * journal of the lock (sync/journal.ts): all or nothing of a section is left by a dead thread.
 */
import type { I32View, Memory } from '#mem'
import * as mem from '#mem'
import type { LayerLock, LayerSection } from '../sync/layer-lock.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export class LockedMemory {
  readonly memory: Memory
  readonly #layerLock: LayerLock
  #view: I32View

  constructor(memory: Memory, layerLock: LayerLock) {
    this.memory = memory
    this.#layerLock = layerLock
    this.#view = memory.i32
  }

  /** Takes the lock at this word index. @throws LockTimeoutError; OfflineError. */
  lock(word: number): void {
    this.#view = this.memory.i32
    if (!this.#layerLock.tryLock(word)) this.#layerLock.lock(word)
  }
  /** Takes it if it is free, or becomes free within some microseconds. */
  trySpin(word: number): boolean {
    this.#view = this.memory.i32
    return this.#layerLock.trySpin(word)
  }
  unlock(): void {
    this.#layerLock.unlock()
  }

  /** For code that reads and writes many words, between {@link lock} and {@link unlock}. */
  get view(): I32View {
    return this.#view
  }
  get(word: number): number {
    return load32(this.#view, word)
  }
  put(word: number, value: number): void {
    store32(this.#view, word, value)
  }
  /** As {@link put}, for lists. */
  write32(word: number, value: number): void {
    store32(this.#view, word, value)
  }
  add(word: number, by: number): void {
    this.put(word, this.get(word) + by)
  }

  /** Runs `change`. What it writes through the section happens as a whole, or not at all. */
  section(change: (section: LayerSection) => void): void {
    this.#layerLock.section(change)
  }
}
