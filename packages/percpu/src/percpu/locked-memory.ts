/**
 * Access to the words that the lock of this layer guards.
 *
 * Operations change them by bare stores, after they were announced: whoever takes the lock next after a death repairs what was left
 * half-done (operation.ts). Only what cannot be made anew from other words, to whom pages belong and where they are linked, is
 * written in sections, through the journal of the layer lock: of these a thread that dies in the middle leaves all or nothing.
 */
import type { I32View, Memory } from '#mem'
import * as mem from '#mem'
import type { LayerLock, SectionWriter } from '../sync/layer-lock.js'

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

  /** Takes the lock at this word. Throws once the CPU is offline. @throws LockTimeoutError */
  lock(word: number): void {
    this.#view = this.memory.i32
    if (!this.#layerLock.tryLock(word)) this.#layerLock.lock(word)
  }
  /** Takes it if it is free, or becomes so in a moment. */
  trySpin(word: number): boolean {
    this.#view = this.memory.i32
    return this.#layerLock.trySpin(word)
  }
  unlock(): void {
    this.#layerLock.unlock()
  }

  /** For code that reads and writes many words (bitmap.ts, hints.ts); between {@link lock} and {@link unlock}. */
  get view(): I32View {
    return this.#view
  }
  get(word: number): number {
    return load32(this.#view, word)
  }
  put(word: number, value: number): void {
    store32(this.#view, word, value)
  }
  add(word: number, by: number): void {
    this.put(word, this.get(word) + by)
  }

  /** Runs `change`; what it writes through the section happens as a whole or not at all. */
  section(change: (section: SectionWriter) => void): void {
    this.#layerLock.section(change)
  }
}
