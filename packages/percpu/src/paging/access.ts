/**
 * How a thread finds the pages of a space: by a walk without a lock, or by the slow path, which
 * makes what is missing.
 *
 *     of this space alone   may be used until the end of the stretch, and is kept in the TLB
 *     read-only             as that, after a counted walk
 *     shared, or a hole     may be used until the end of the counted walk: a writer copies it
 *
 * A deaf CPU counts all walks, and keeps nothing. A translation is kept if only a round can change
 * it (tlb.ts).
 */
import type { Memory } from '#mem'
import { AREA_WRITE, type Area } from './areas.js'
import { assertOpen, type Life } from '../collections/life.js'
import type { SpacePlace } from './layouts.js'
import type { Looked } from './leaves.js'
import { wordOf, type Pager } from './pager.js'
import { ACCESSED, DIRTY, WRITE } from '../pagetable/entry.js'
import { SpaceTable } from '../pagetable/layouts.js'
import { Tlb } from '../pagetable/tlb.js'
import type { SpaceUse } from '../pagetable/use.js'
import * as walking from '../pagetable/walk.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { beginLocklessWalk, endLocklessWalk, walk, walkOwned } = walking
const written = WRITE | DIRTY
const accessed = ACCESSED

export interface AccessParts {
  /** The views of the handle. */
  readonly memory: Memory
  readonly place: SpacePlace
  readonly pager: Pager
  readonly use: SpaceUse
  readonly life: Life
}

export class SpaceAccess {
  readonly memory: Memory
  readonly place: SpacePlace
  readonly pager: Pager
  readonly tlb: Tlb
  readonly life: Life
  readonly #use: SpaceUse
  readonly #edge: number
  /** The area that was looked at last, and how often the TLB had been flushed by then. */
  #area: Area | undefined
  #areaOf = -1

  constructor({ memory, place, pager, use, life }: AccessParts) {
    this.memory = memory
    this.place = place
    this.pager = pager
    this.tlb = use.tlb
    this.life = life
    this.#use = use
    this.#edge = place.table + SpaceTable.words.root
  }

  /** For whoever looks at the tables. */
  get looked(): Looked {
    const { pager, place, memory } = this
    return { pager, place, check: () => assertOpen(memory) }
  }

  /**
   * Runs `use` with the word index at which a page begins; 0 for a page that nobody has written to.
   * It is synchronous.
   *
   * @throws FaultError; LockTimeoutError; OfflineError; what `use` throws.
   */
  reading<Result>(page: number, use: (word: number) => Result): Result {
    const { tlb } = this
    const slot = page & Tlb.mask
    if (tlb.readPages[slot] === page) {
      tlb.hits++
      return use(tlb.readWords[slot] ?? 0)
    }
    const word = this.find(page)
    return word === 0 ? this.counted(page, false, use) : use(word)
  }
  /**
   * As {@link reading}, for writing: the page is made, or copied, if need be.
   *
   * @throws also OutOfMemoryError.
   */
  writing<Result>(page: number, use: (word: number) => Result): Result {
    const { tlb } = this
    const slot = page & Tlb.mask
    if (tlb.writePages[slot] === page) {
      tlb.hits++
      return use(tlb.writeWords[slot] ?? 0)
    }
    tlb.misses++
    return this.#isDeaf ? this.counted(page, true, use) : use(this.#findWritable(page))
  }

  /** Whether this CPU is in an idle stretch: rounds do not wait for it. */
  get #isDeaf(): boolean {
    return this.pager.own.idle.isIdle
  }

  /**
   * The word index at which a page begins that is to be read, and that is not in the TLB; 0 for one
   * that takes {@link counted}.
   */
  find(page: number): number {
    this.tlb.misses++
    if (this.#isDeaf) return 0
    // Mutant: pagetable/shared-uncounted.
    const leaf = walkOwned(this.memory.i32, this.#edge, page)
    if (!isAllowed(leaf, false)) return 0
    const word = wordOf(leaf, page)
    this.tlb.keep(page, word, false)
    return word
  }
  #findWritable(page: number): number {
    const leaf = walkOwned(this.memory.i32, this.#edge, page)
    const word = wordOf(isAllowed(leaf, true) ? leaf : this.pager.fault(this.place, page, true), page)
    this.tlb.keep(page, word, true)
    return word
  }

  /** As {@link reading} and {@link writing}, for any page, by a walk that is counted. */
  counted<Result>(page: number, isWrite: boolean, use: (word: number) => Result): Result {
    const { counted } = this.#use
    // What is not mapped is refused without a count: nothing is changed.
    if (!isWrite && !this.#isDeaf && this.#areaAt(page) === undefined)
      this.pager.fault(this.place, page, false)
    for (;;) {
      beginLocklessWalk(counted)
      try {
        const leaf = walk(this.memory.i32, this.#edge, page)
        if (isAllowed(leaf, isWrite)) {
          const word = wordOf(leaf, page)
          if (!isWrite && this.#isReadOnly(page)) this.tlb.keep(page, word, false)
          return use(word)
        }
        // Nobody can fault a hole in without this CPU's area: it is looked at without the lock.
        if (leaf === 0 && !isWrite && !this.#isDeaf && this.#areaAt(page) !== undefined) return use(0)
      } finally {
        endLocklessWalk(counted)
      }
      // Outside the walk: who changes the space waits for the end of walks.
      if (this.pager.fault(this.place, page, isWrite) === 0) return use(0)
    }
  }

  /** Whether a page cannot be written to before a round. A deaf CPU does not look. */
  #isReadOnly(page: number): boolean {
    if (this.#isDeaf) return false
    const area = this.#areaAt(page)
    return area !== undefined && (area.flags & AREA_WRITE) === 0
  }
  /** The area of a page. One that was found holds until a round; that there is none is not kept. */
  #areaAt(page: number): Area | undefined {
    const known = this.#area
    const { flushes } = this.pager
    if (known !== undefined && this.#areaOf === flushes && page >= known.from && page < known.to) return known
    this.#area = this.pager.areas.at(this.place.id, page)
    this.#areaOf = flushes
    return this.#area
  }
}

function isAllowed(leaf: number, isWrite: boolean): boolean {
  return isWrite ? (leaf & written) === written : (leaf & accessed) !== 0
}
