/**
 * Sections: stretches of changes that happen as a whole or not at all.
 *
 *     mutex.run((section) => {
 *       section.at(list).head = node.address
 *     })
 *
 * A section runs under a mutex and writes through the journal. Sections nest. The end of the
 * outermost one makes all changes stay. Only then are the mutexes released that were taken inside
 * (two-phase locking). Released earlier, they would let another CPU change words that a kill of
 * this one takes back. An exception takes back the changes of its own section and of those within.
 *
 * A section is one synchronous stretch: a CPU has one journal for all of its tasks, which cannot
 * know the task of a change.
 */
import { isSameMemory, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { structOf, type Journalled, type StructView } from '../layout/accessor-types.js'
import { closedMemory } from '../layout/flavours.js'
import { isStruct } from '../layout/brand.js'
import type { AnyStruct, Struct } from '../layout/struct-type.js'
import type { Fields, Kind } from '../layout/types.js'
import { checkBigInt, checkWord, isSafely } from '../machine/check.js'
import { host } from '../machine/platform.js'
import { isThenable } from '../thenable.js'
import type { Journal } from './journal.js'
import { SectionError } from './errors.js'
import { showAs } from '../inspect.js'

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
    if (this.unended.length > 0) this.endUnended()
    return (this.#innermost = new Section(this, this.#innermost))
  }

  /**
   * As {@link begin}, for a caller who may forget to end it. Left open, it would keep every mutex
   * that is unlocked from then on. So it is taken back when its synchronous stretch is over, and
   * reported as an uncaught SectionError.
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
    this.finish()
  }

  /**
   * @internal If no section is open: what was changed stays, and the mutexes are released, all of
   *   them, whatever one throws. It can be repeated, should the stack overflow in the middle.
   */
  finish(): void {
    if (this.#innermost !== undefined) return
    this.journal.commit()
    const errors: unknown[] = []
    for (let mutex = this.#retained.at(-1); mutex; mutex = this.#retained.at(-1)) {
      try {
        mutex.releaseAfterSection()
      } catch (error) {
        if (error instanceof RangeError) throw error
        errors.push(error)
      }
      this.#retained.pop()
    }
    if (errors.length === 0) return
    if (errors.length === 1) throw errors[0]
    throw new SectionError(
      `the section has ended, and ${errors.length} mutexes under it were not this CPU's any more`,
      { count: errors.length },
      { cause: new AggregateError(errors) },
    )
  }

  /**
   * @internal What the full stack has kept from ending: it ends before another section begins, and
   *   when the synchronous stretch is over. Whoever adds something is in need of stack, and calls
   *   nothing of the library: `unended.push(…)`, then `settled.then(sections.endUnended)`.
   */
  readonly unended: (Section | Retained)[] = []
  /** @internal */
  readonly endUnended = (): void => {
    for (let each = this.unended.at(-1); each; each = this.unended.at(-1)) {
      if (!(each instanceof Section)) this.retain(each)
      else if (each.isOpen) each.rollback()
      this.finish()
      this.unended.pop()
    }
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

/**
 * One section. It ends by {@link commit} or by {@link rollback}; leaving its `using` block rolls it
 * back.
 */
export class Section {
  static {
    showAs(this, ({ isOpen, room }) => ({ isOpen, room }))
  }

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
  /** Writes that are left until the outermost section ends; those of 64 bits count twice. */
  get room(): number {
    const { journal } = this.#sections
    return this.#isOpen ? journal.capacity - journal.length : 0
  }

  /**
   * An object as this section may change it: that of an accessor, or the one of a struct at a byte
   * address. All plain fields have setters, also locked ones, in nested structs and arrays too. The
   * writes are taken back unless the section is committed. Atomic fields can only be read.
   *
   * The accessor costs some ns, a write as much as one by {@link write32}. After the end of the
   * section every use throws a SectionError. A write throws a JournalFullError when there is no
   * room, and changes nothing then.
   *
   * @throws ArgumentError for an accessor of another memory, or an address where no such object can
   *   be; SectionError after the end.
   */
  at<S extends AnyStruct>(accessor: StructView<S>): Journalled<S>
  at<F extends Fields, K extends Kind>(struct: Struct<F, K>, address: number): Journalled<Struct<F, K>>
  at(object: StructView<AnyStruct> | AnyStruct, address?: number): Journalled<AnyStruct> {
    if (address === undefined) return adopt(this, object as StructView<AnyStruct>)
    if (!isSafely(() => isStruct(object))) throw notAnObject(object)
    return (object as AnyStruct).journalled(this, address)
  }

  /**
   * Writes the 32-bit word with this index, the byte address / 4. It is taken back unless the
   * section is committed. For objects with a struct, take {@link at}.
   *
   * @throws JournalFullError when there is no room; SectionError after the end; ArgumentError
   *   outside the memory and in its header page.
   */
  write32(word: number, value: number): void {
    if (typeof value !== 'number') checkWord('value', value)
    this.#write32(word, value)
  }
  /**
   * As {@link write32}, for the 64-bit float with this index, the byte address / 8. It takes the
   * room of two writes.
   *
   * @throws JournalFullError when there is no room; SectionError after the end; ArgumentError
   *   outside the memory and in its header page.
   */
  writeF64(index: number, value: number): void {
    checkWord('value', value)
    this.#log.writeF64(index, value)
  }
  /**
   * As {@link write32}, for the 64-bit integer with this index, the byte address / 8. It takes the
   * room of two writes.
   *
   * @throws JournalFullError when there is no room; SectionError after the end; ArgumentError
   *   outside the memory and in its header page, and for what is no bigint.
   */
  writeU64(index: number, value: bigint): void {
    checkBigInt('value', value)
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
    try {
      section[Symbol.dispose]()
      if (!section.isOpen) sections.finish()
    } catch (second) {
      if (!(second instanceof RangeError)) throw second
      // The engine finds no room to compile what it has never run, however much was left. Written
      // out here, since a function of its own might find no room either.
      sections.unended.push(section)
      void settled.then(sections.endUnended)
    }
    throw error
  }
}

/** Its `then` needs no room on the stack. */
export const settled = Promise.resolve()

function ended(): SectionError {
  return new SectionError('the section has ended: its changes were committed or taken back')
}
/** Small, so that an engine has sections and their journal at hand where fields are written. */
function structIn(accessor: Partial<StructView<AnyStruct>>): AnyStruct | undefined {
  try {
    return accessor[structOf]
  } catch {
    // It is no object, or a trap threw: what it is tells the error about it.
    return undefined
  }
}
/** The object of an accessor, as a section may change it. */
function adopt(section: Section, accessor: StructView<AnyStruct>): Journalled<AnyStruct> {
  const struct = structIn(accessor)
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
