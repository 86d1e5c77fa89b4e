/**
 * Access to the words that the lock of this layer guards.
 *
 * In a section, the changes go through the journal of the level, and a thread that dies in the middle leaves none of them. That is for
 * what is rare: making chunks, mapping pages. What is frequent, allocating and freeing, changes the words by bare stores,
 * several times faster; then the operation is announced first, and whoever takes the lock next after a death repairs
 * what it left (operation.ts).
 */
import type { I32View, Memory } from '#mem'
import * as mem from '#mem'
import type { Level, Undoable } from '../sync/level.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export class Words {
  readonly memory: Memory
  readonly #level: Level
  #view: I32View
  #section: Undoable | undefined

  constructor(memory: Memory, level: Level) {
    this.memory = memory
    this.#level = level
    this.#view = memory.i32
  }

  /** Takes the lock at this word. Throws once the CPU is offline. @throws LockTimeoutError */
  lock(word: number): void {
    this.#view = this.memory.i32
    this.#level.lock(word)
  }
  /** Takes it if it is free, or becomes so in a moment. */
  trySpin(word: number): boolean {
    this.#view = this.memory.i32
    return this.#level.trySpin(word)
  }
  unlock(): void {
    this.#level.unlock()
  }

  get(word: number): number {
    return load32(this.#view, word)
  }
  put(word: number, value: number): void {
    if (this.#section) this.#section.write32(word, value)
    else store32(this.#view, word, value)
  }
  add(word: number, by: number): void {
    this.put(word, this.get(word) + by)
  }

  /** Runs `change`, whose writes happen as a whole or not at all. */
  section(change: (section: Undoable) => void): void {
    try {
      this.#level.section((section) => {
        this.#section = section
        change(section)
      })
    } finally {
      this.#section = undefined
    }
  }
}
