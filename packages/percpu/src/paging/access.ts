/**
 * How a thread finds the pages of a space: by a walk without a lock, or by the slow path, which
 * makes what is missing. What was found may be used until the end of the stretch; on a deaf CPU,
 * until the end of the counted walk.
 *
 * A translation is kept in the TLB if only a round can change it (tlb.ts). Other pages are walked
 * to each time: shared ones that may be written to, since a writer copies them without a round, and
 * holes.
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
const { beginLocklessWalk, endLocklessWalk, walk } = walking
const written = WRITE | DIRTY
const accessed = ACCESSED
const writable = WRITE

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
    if (!this.isDeaf) return use(this.find(page))
    tlb.misses++
    return this.#counted(page, false, use)
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
    return this.isDeaf ? this.#counted(page, true, use) : use(this.#findWritable(page))
  }

  /** Whether this CPU is in an idle stretch: its walks are counted then. */
  get isDeaf(): boolean {
    return this.pager.own.idle.isIdle
  }

  /**
   * The word index at which a page begins that is to be read; 0 for one that nobody has written to.
   * On a CPU that answers its bell, for a page that is not in the TLB.
   *
   * @throws as {@link reading}.
   */
  find(page: number): number {
    this.tlb.misses++
    const leaf = this.#walk(page, false)
    if (leaf === 0) return 0
    const word = wordOf(leaf, page)
    if ((leaf & writable) !== 0 || this.#isReadOnly(page)) this.tlb.keep(page, word, false)
    return word
  }
  #findWritable(page: number): number {
    const word = wordOf(this.#walk(page, true), page)
    this.tlb.keep(page, word, true)
    return word
  }
  /** A leaf that allows the access; 0 for a page to be read that is not there. */
  #walk(page: number, isWrite: boolean): number {
    const leaf = walk(this.memory.i32, this.#edge, page)
    if (isAllowed(leaf, isWrite)) return leaf
    // Nobody can fault a hole in without this CPU's area: it is looked at without the lock.
    if (leaf === 0 && !isWrite && this.#areaAt(page) !== undefined) return 0
    return this.pager.fault(this.place, page, isWrite)
  }

  /** A deaf CPU counts its walk, and keeps nothing. */
  #counted<Result>(page: number, isWrite: boolean, use: (word: number) => Result): Result {
    const { counted } = this.#use
    for (;;) {
      beginLocklessWalk(counted)
      try {
        const leaf = walk(this.memory.i32, this.#edge, page)
        if (isAllowed(leaf, isWrite)) return use(wordOf(leaf, page))
      } finally {
        endLocklessWalk(counted)
      }
      // Outside the walk: who changes the space waits for the end of walks.
      if (this.pager.fault(this.place, page, isWrite) === 0) return use(0)
    }
  }

  /** Whether a page cannot be written to before a round. */
  #isReadOnly(page: number): boolean {
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
