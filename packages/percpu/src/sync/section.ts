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
import { checkFunction, isThenable } from '../machine/check.js'
import { host } from '../machine/platform.js'
import type { Journal } from './journal.js'
import { SectionError } from './errors.js'

/** A mutex whose release waits for the end of the outermost section. */
export interface Retained {
  releaseAfterSection(): void
}

/** What the sections of one thread share. */
export class Sections {
  readonly journal: Journal
  /** Takes the journal's place in sections that have ended: it has no room. */
  readonly closed: Journal
  #innermost: Section | undefined
  readonly #retained: Retained[] = []

  /** `closed`: one that is never opened. */
  constructor(journal: Journal, closed: Journal) {
    this.journal = journal
    this.closed = closed
  }

  get isOpen(): boolean {
    return this.#innermost !== undefined
  }

  begin(): Section {
    return (this.#innermost = new Section(this, this.#innermost))
  }

  /**
   * As {@link begin}, for a caller who may forget to end it. A section that is still open when its synchronous stretch is over is taken
   * back, and reported as an uncaught SectionError: left open, it would keep every mutex that is unlocked from then on.
   */
  beginByHand(): Section {
    const isOutermost = this.#innermost === undefined
    const section = this.begin()
    if (isOutermost) host.queueMicrotask(() => this.#endForgotten(section))
    return section
  }

  /** Releases the mutex when the outermost section has ended. */
  retain(mutex: Retained): void {
    if (!this.#retained.includes(mutex)) this.#retained.push(mutex)
  }

  /** @internal The innermost section ends, having taken back its changes if it failed. */
  end(section: Section): void {
    if (section !== this.#innermost) {
      throw new SectionError(
        'sections end in the opposite order of their beginnings: an inner one is still open',
      )
    }
    section.close()
    this.#innermost = section.outer
    if (this.#innermost !== undefined) return
    this.journal.commit()
    for (let mutex = this.#retained.pop(); mutex; mutex = this.#retained.pop()) mutex.releaseAfterSection()
  }

  /** @internal The sections inside this one end with it; their changes were taken back. */
  closeInside(section: Section): void {
    for (let inner = this.#innermost; inner !== undefined && inner !== section; inner = inner.outer) {
      inner.close()
      this.#innermost = inner.outer
    }
  }

  /** The CPU is offline: what was open has been taken back. */
  abandon(): void {
    for (; this.#innermost !== undefined; this.#innermost = this.#innermost.outer) this.#innermost.close()
    this.#retained.length = 0
  }

  #endForgotten(section: Section): void {
    if (!section.isOpen) return
    section.rollback()
    throw new SectionError(
      'a section was left open at the end of its synchronous stretch; it was taken back: commit it, and let `using` end it',
    )
  }
}

/** One section; ends by {@link commit}, or by {@link rollback}, which is also what leaving its `using` block does. */
export class Section {
  /** @internal */
  readonly outer: Section | undefined
  readonly #sections: Sections
  #journal: Journal
  #write32: Journal['write32']
  readonly #mark: number
  #isOpen = true

  /** @internal */
  constructor(sections: Sections, outer: Section | undefined) {
    this.#sections = sections
    this.outer = outer
    this.#journal = sections.journal
    this.#write32 = sections.journal.write32
    this.#mark = sections.journal.length
  }

  /** Whether it has not ended. */
  get isOpen(): boolean {
    return this.#isOpen
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
    this.#write32(word, value)
  }
  /** As {@link write32}, for the 64-bit float with this index (address / 8); counts as two words. */
  writeF64(index: number, value: number): void {
    this.#journal.writeF64(index, value)
  }
  /** As {@link write32}, for the 64-bit integer with this index (address / 8); counts as two words. */
  writeU64(index: number, value: bigint): void {
    this.#journal.writeU64(index, value)
  }

  /**
   * The changes stay, once the outermost section is committed.
   *
   * @throws SectionError if it has ended, or a section inside it has not.
   */
  commit(): void {
    if (!this.#isOpen) throw ended()
    this.#sections.end(this)
  }
  /** The changes made since this section began are taken back; sections inside it end with it. */
  rollback(): void {
    if (!this.#isOpen) throw ended()
    this.#journal.rollback(this.#mark)
    this.#sections.closeInside(this)
    this.#sections.end(this)
  }
  /** Takes the changes back unless the section has ended. */
  [Symbol.dispose](): void {
    if (this.#isOpen) this.rollback()
  }

  /** @internal */
  close(): void {
    this.#isOpen = false
    this.#journal = this.#sections.closed
    this.#write32 = this.#sections.closed.write32
  }
}

/** Runs `change` in a section: committed when it returns, taken back when it throws. */
export function runSection<Result>(sections: Sections, change: (section: Section) => Result): Result {
  checkFunction('change', change)
  const section = sections.begin()
  try {
    const result = change(section)
    if (isThenable(result)) {
      throw new SectionError(
        'a section is one synchronous stretch: do what is asynchronous before or after it',
      )
    }
    section.commit()
    return result
  } catch (error) {
    section[Symbol.dispose]()
    throw error
  }
}

function ended(): SectionError {
  return new SectionError('the section has ended already')
}
