/**
 * Sections: stretches of changes that happen as a whole or not at all.
 *
 * A section runs under a mutex and writes through the journal. Sections nest; the outermost one's end makes all changes stay, and
 * only then are the mutexes released that were taken inside (two-phase locking): released earlier, another CPU could
 * change words that a kill of this one would still take back. An exception takes back what its own section, and those
 * within, changed.
 *
 * A section is one synchronous stretch: there is one journal a CPU, and it cannot know which task a change belongs to.
 */
import type { Journal } from './journal.js'
import { SectionError } from './errors.js'

/** A mutex whose release waits for the end of the outermost section. */
export interface Retained {
  releaseAfterSection(): void
}

/** What the sections of one thread share. */
export class Sections {
  readonly journal: Journal
  #depth = 0
  readonly #retained: Retained[] = []

  constructor(journal: Journal) {
    this.journal = journal
  }

  get isOpen(): boolean {
    return this.#depth > 0
  }

  begin(): Section {
    if (this.#depth++ === 0) this.journal.open()
    return new Section(this, this.#depth, this.journal.length)
  }

  /** Releases the mutex when the outermost section has ended. */
  retain(mutex: Retained): void {
    if (!this.#retained.includes(mutex)) this.#retained.push(mutex)
  }

  /** @internal The section of this depth ends, having taken back its changes if it failed. */
  end(depth: number): void {
    if (depth !== this.#depth) {
      throw new SectionError(
        'sections end in the opposite order of their beginnings: an inner one is still open',
      )
    }
    if (--this.#depth > 0) return
    this.journal.commit()
    for (let mutex = this.#retained.pop(); mutex; mutex = this.#retained.pop()) mutex.releaseAfterSection()
  }
}

/** One section; ends by {@link commit}, or by {@link rollback}, which is also what leaving its `using` block does. */
export class Section {
  readonly #sections: Sections
  readonly #journal: Journal
  readonly #depth: number
  readonly #mark: number
  #isOpen = true

  /** @internal */
  constructor(sections: Sections, depth: number, mark: number) {
    this.#sections = sections
    this.#journal = sections.journal
    this.#depth = depth
    this.#mark = mark
  }

  /** How many more words can be changed before the outermost section ends. */
  get room(): number {
    return this.#journal.capacity - this.#journal.length
  }

  /**
   * Writes the 32-bit word with this index (address / 4), so that it is taken back unless the section is committed.
   *
   * @throws JournalFullError before the bound is passed; SectionError after the end.
   */
  write32(word: number, value: number): void {
    this.#journal.write32(word, value)
  }
  /** As {@link write32}, for the 64-bit float with this index (address / 8); counts as two words. */
  writeF64(index: number, value: number): void {
    this.#journal.writeF64(index, value)
  }
  /** As {@link write32}, for the 64-bit integer with this index (address / 8); counts as two words. */
  writeU64(index: number, value: bigint): void {
    this.#journal.writeU64(index, value)
  }

  /** The changes stay, once the outermost section is committed. */
  commit(): void {
    this.#end()
  }
  /** The changes made since this section began are taken back. */
  rollback(): void {
    if (!this.#isOpen) throw ended()
    this.#journal.rollback(this.#mark)
    this.#end()
  }
  /** Takes the changes back unless the section has ended. */
  [Symbol.dispose](): void {
    if (this.#isOpen) this.rollback()
  }

  #end(): void {
    if (!this.#isOpen) throw ended()
    this.#sections.end(this.#depth)
    this.#isOpen = false
  }
}

/** Runs `change` in a section: committed when it returns, taken back when it throws. */
export function runSection<Result>(sections: Sections, change: (section: Section) => Result): Result {
  const section = sections.begin()
  let result: Result
  try {
    result = change(section)
    if (isThenable(result)) {
      throw new SectionError(
        'a section is one synchronous stretch: do what is asynchronous before or after it',
      )
    }
  } catch (error) {
    section.rollback()
    throw error
  }
  section.commit()
  return result
}

function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
function ended(): SectionError {
  return new SectionError('the section has ended already')
}
