/**
 * Sections: stretches of changes that happen as a whole or not at all.
 *
 *     mutex.run((section) => {
 *       section.at(list).head = node.address      a field, through an accessor of this section
 *     })
 *
 * A section runs under a mutex and writes through the journal. Sections nest. The end of the outermost one makes all
 * changes stay, and only then are the mutexes released that were taken inside (two-phase locking): released earlier,
 * another CPU could change words that a kill of this one would still take back. An exception takes back what its own
 * section, and those within, changed.
 *
 * A section is one synchronous stretch: there is one journal a CPU, and it cannot know which task a change belongs to.
 */
import { isSameMemory, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { structOf, type Journalled, type StructView } from '../layout/accessor-types.js'
import { closedMemory } from '../layout/flavours.js'
import { isStruct } from '../layout/struct.js'
import type { AnyStruct, Struct } from '../layout/struct-type.js'
import type { Fields, Kind } from '../layout/types.js'
import { checkFunction } from '../machine/check.js'
import { host } from '../machine/platform.js'
import { isThenable } from '../thenable.js'
import type { Journal } from './journal.js'
import { SectionError } from './errors.js'

/** A mutex whose release waits for the end of the outermost section. */
export interface Retained {
  releaseAfterSection(): void
}

/** What the sections of one thread share. */
export class Sections {
  readonly journal: Journal
  #innermost: Section | undefined
  readonly #retained: Retained[] = []

  constructor(journal: Journal) {
    this.journal = journal
  }

  get isOpen(): boolean {
    return this.#innermost !== undefined
  }

  begin(): Section {
    return (this.#innermost = new Section(this, this.#innermost))
  }

  /**
   * As {@link begin}, for a caller who may forget to end it. A section that is still open when its synchronous stretch is
   * over is taken back, and reported as an uncaught SectionError: left open, it would keep every mutex that is unlocked
   * from then on.
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

type Log = Pick<
  Journal,
  'memory' | 'record8' | 'record16' | 'record32' | 'record64' | 'write32' | 'writeF64' | 'writeU64'
>

/** Takes the journal's place in sections that have ended. */
const closed: Log = {
  memory: closedMemory(ended),
  record8: refuse,
  record16: refuse,
  record32: refuse,
  record64: refuse,
  write32: refuse,
  writeF64: refuse,
  writeU64: refuse,
}

/** One section; ends by {@link commit}, or by {@link rollback}, which is also what leaving its `using` block does. */
export class Section {
  /** @internal */
  readonly outer: Section | undefined
  readonly #sections: Sections
  readonly #mark: number
  #isOpen = true
  #log: Log
  // Closures, which the engine can have at hand: see journal.ts.
  #write32: Log['write32']
  /** @internal */
  memory: Memory
  /** @internal */
  record8: Log['record8']
  /** @internal */
  record16: Log['record16']
  /** @internal */
  record32: Log['record32']
  /** @internal */
  record64: Log['record64']

  /** @internal */
  constructor(sections: Sections, outer: Section | undefined) {
    this.#sections = sections
    this.outer = outer
    const { journal } = sections
    this.#mark = journal.length
    this.#log = journal
    this.#write32 = journal.write32
    this.memory = journal.memory
    this.record8 = journal.record8
    this.record16 = journal.record16
    this.record32 = journal.record32
    this.record64 = journal.record64
  }

  /** Whether it has not ended. */
  get isOpen(): boolean {
    return this.#isOpen
  }
  /** How many more writes there can be before the outermost section ends; those of 64 bits count twice. */
  get room(): number {
    const { journal } = this.#sections
    return this.#isOpen ? journal.capacity - journal.length : 0
  }

  /**
   * The object of an accessor, or the one of a struct at a byte address, as this section may change it: fields that are
   * locked have setters here. What is written through it, nested structs and arrays included, is taken back unless the
   * section is committed. Atomic fields can only be read.
   *
   * Making one costs some ns, a write as {@link write32}.
   * @throws ArgumentError for an accessor of another memory, or an address where no such object can be; SectionError
   *   after the end, as does every use of what it returned; JournalFullError (by a write) before the bound is passed.
   */
  at<S extends AnyStruct>(accessor: StructView<S>): Journalled<S>
  at<F extends Fields, K extends Kind>(struct: Struct<F, K>, address: number): Journalled<Struct<F, K>>
  at(object: StructView<AnyStruct> | AnyStruct, address?: number): Journalled<AnyStruct> {
    if (address === undefined) return adopt(this, object as StructView<AnyStruct>)
    if (!isStruct(object)) throw notAnObject(object)
    return object.journalled(this, address)
  }

  /**
   * Writes the 32-bit word with this index (address / 4), so that it is taken back unless the section is committed.
   *
   * @throws JournalFullError before the bound is passed; SectionError after the end; ArgumentError outside the memory.
   */
  write32(word: number, value: number): void {
    this.#write32(word, value)
  }
  /** As {@link write32}, for the 64-bit float with this index (address / 8); counts as two words. */
  writeF64(index: number, value: number): void {
    this.#log.writeF64(index, value)
  }
  /** As {@link write32}, for the 64-bit integer with this index (address / 8); counts as two words. */
  writeU64(index: number, value: bigint): void {
    this.#log.writeU64(index, value)
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
  /**
   * The changes made since this section began are taken back; sections inside it end with it.
   *
   * @throws SectionError if it has ended.
   */
  rollback(): void {
    if (!this.#isOpen) throw ended()
    this.#sections.journal.rollback(this.#mark)
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
    this.#log = closed
    this.#write32 = refuse
    this.memory = closed.memory
    this.record8 = refuse
    this.record16 = refuse
    this.record32 = refuse
    this.record64 = refuse
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
  return new SectionError('the section has ended: its changes were committed or taken back')
}
/** The object of an accessor, as a section may change it. */
function adopt(section: Section, accessor: StructView<AnyStruct>): Journalled<AnyStruct> {
  const struct = (accessor as Partial<StructView<AnyStruct>> | undefined)?.[structOf]
  if (struct === undefined) throw notAnObject(accessor)
  if (!isSameMemory(accessor.memory, section.memory)) throw elsewhere(accessor)
  return struct.journalled(section, accessor.address)
}

function notAnObject(object: unknown): ArgumentError {
  return new ArgumentError('section.at takes an accessor, or a struct and an address', { object })
}
function elsewhere(accessor: StructView<AnyStruct>): ArgumentError {
  return new ArgumentError(`this ${accessor[structOf].name} is in another memory than the section`, {
    address: accessor.address,
  })
}
function refuse(): never {
  throw ended()
}
