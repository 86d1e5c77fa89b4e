/**
 * Doubly linked lists in shared memory whose links lie in their members. (As the kernel's
 * list_head.)
 *
 *     first, last     words with the first and last member, or 0; a list may do without `last`
 *     next, previous  words of each member with its neighbours, or 0
 *
 * Members are numbers above 0: pages, or word indices. All is read and written under the lock of
 * the list. The writer decides how it is written: by a section, or by bare stores.
 */
import { load32, type Memory } from '#mem'

/** Writes a 32-bit word, by its index. */
export interface WordWriter {
  write32(word: number, value: number): void
}
/** Word indices of the links of a member m: `next` + m × `stride`, `previous` + m × `stride`. */
export interface LinkPlaces {
  readonly next: number
  readonly previous: number
  readonly stride: number
}

/**
 * The links of the members of lists. `first`, `last`: word indices of a list's ends; 0 for no
 * `last`.
 */
export class Links {
  readonly #memory: Memory
  readonly #places: LinkPlaces

  constructor(memory: Memory, places: LinkPlaces) {
    this.#memory = memory
    this.#places = places
  }

  next(member: number): number {
    return load32(this.#memory.i32, this.nextWord(member))
  }
  previous(member: number): number {
    return load32(this.#memory.i32, this.previousWord(member))
  }

  /** Returns whether the list was empty. */
  addFirst(writer: WordWriter, member: number, first: number, last = 0): boolean {
    return this.#add(writer, member, 0, load32(this.#memory.i32, first), first, last)
  }
  /** As {@link addFirst}. */
  addLast(writer: WordWriter, member: number, first: number, last: number): boolean {
    return this.#add(writer, member, load32(this.#memory.i32, last), 0, first, last)
  }
  /** Returns whether the list is empty then. */
  remove(writer: WordWriter, member: number, first: number, last = 0): boolean {
    const after = this.next(member)
    const before = this.previous(member)
    this.#join(writer, before, after, after, before, first, last)
    return before === after
  }

  #add(
    writer: WordWriter,
    member: number,
    before: number,
    after: number,
    first: number,
    last: number,
  ): boolean {
    writer.write32(this.nextWord(member), after)
    writer.write32(this.previousWord(member), before)
    this.#join(writer, before, after, member, member, first, last)
    return before === after
  }
  /**
   * `before`, or else the list's beginning, leads to `next`; `after`, or else its end, to
   * `previous`.
   */
  #join(
    writer: WordWriter,
    before: number,
    after: number,
    next: number,
    previous: number,
    first: number,
    last: number,
  ): void {
    writer.write32(before === 0 ? first : this.nextWord(before), next)
    if (after !== 0) writer.write32(this.previousWord(after), previous)
    else if (last !== 0) writer.write32(last, previous)
  }

  /** Word indices. */
  nextWord(member: number): number {
    return this.#places.next + member * this.#places.stride
  }
  previousWord(member: number): number {
    return this.#places.previous + member * this.#places.stride
  }
}
