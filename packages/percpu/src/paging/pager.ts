/**
 * What a thread changes tables with: the lock of all page tables, its note, its part of the areas.
 *
 * The lock is held for a copy of a table, or a part of what is given up; for a fork or a new space,
 * for steps in proportion to its areas, or to the spaces. Everything that needs a round lets go of
 * it meanwhile (changes.ts).
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import type { PageAllocator } from '../alloc/pages.js'
import { PAGE_BYTES } from '../arithmetic.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { cpuOf, tokenOf } from '../machine/token.js'
import type { Deadline } from '../machine/wait-options.js'
import { AREA_HUGE, AREA_WRITE, type Area, type Areas } from './areas.js'
import { noArea, readOnly } from './faults.js'
import type { SpacePlace } from './layouts.js'
import { settle } from './settling.js'
import { ENTRIES, HUGE, PRESENT, targetOf } from '../pagetable/entry.js'
import { BLOCK_ORDER, Frames } from '../pagetable/frames.js'
import { Gather } from '../pagetable/gather.js'
import { OWED, PagingRoot, SpaceTable } from '../pagetable/layouts.js'
import { RedoLog } from '../pagetable/redo-log.js'
import { Rounds } from '../pagetable/rounds.js'
import type { Pages } from '../pagetable/shootdown.js'
import { Tables } from '../pagetable/tables.js'
import type { SpaceUse } from '../pagetable/use.js'
import { ensureStack, SOME } from '../stack.js'
import { LockTimeoutError } from '../sync/errors.js'
import type { LayerLock } from '../sync/layer-lock.js'
import type { Patience } from '../sync/patience.js'

const { changer, root: edge } = SpaceTable.words
/** Busy waiting for a changer, some microseconds; then naps of so many milliseconds. */
const SPIN = 200
const NAP = 1

export interface PagerParts {
  readonly own: OwnCpu
  /** Word index of the PagingRoot, and the pages that it has counts of. */
  readonly root: number
  readonly framesOf: number
  /** Word indices of the notes of all CPUs. */
  readonly notes: readonly number[]
  readonly lock: LayerLock
  readonly pages: PageAllocator
  readonly areas: Areas
  readonly patience: () => Patience
  /** Whether what is given up is filled with poison. */
  readonly poisons: boolean
}

export class Pager {
  readonly own: OwnCpu
  readonly memory: Memory
  readonly root: number
  readonly notes: readonly number[]
  /** Word index of this CPU's note. */
  readonly note: number
  readonly frames: Frames
  readonly tables: Tables
  readonly gather: Gather
  readonly log: RedoLog
  readonly rounds: Rounds
  readonly areas: Areas
  readonly #parts: PagerParts
  readonly #uses = new Set<SpaceUse>()
  /** Whether a round of this thread's change was begun, and has not ended. */
  owes = false
  #hasStrays = false
  /** How often this CPU has answered rounds, or was idle: what it knew of areas may be old. */
  flushes = 0
  #rounds = 0
  #ignore: () => void = () => undefined

  constructor(parts: PagerParts) {
    const { own, root, framesOf, notes, pages, areas } = parts
    const { memory } = own
    this.#parts = parts
    this.own = own
    this.memory = memory
    this.root = root
    this.notes = notes
    this.note = notes[own.cpu] ?? 0
    this.frames = new Frames(memory, root, framesOf)
    this.log = new RedoLog(memory, this.note)
    this.tables = new Tables(
      { memory, frames: this.frames, log: this.log, pages },
      {
        push: (word, entry, level, by) => this.gather.pushReplaced(word, entry, level, by),
        release: (edge, count) => this.#giveUpReplaced(edge, count),
      },
    )
    this.gather = this.gatherOf(this.note)
    this.rounds = new Rounds(own, root)
    this.areas = areas
  }

  /** The list in the note of a CPU, which may be dead, as this CPU gives it up. */
  gatherOf(note: number): Gather {
    const { memory, frames, log, tables } = this
    return new Gather({ memory, frames, log, pages: this.#parts.pages }, tables, note, this.#parts.poisons)
  }

  /** This CPU may walk a space, until {@link leave}. */
  enter(use: SpaceUse): void {
    if (this.#uses.size === 0) {
      this.#rounds = this.rounds.count
      this.#ignore = this.own.gracePeriods.onQuiescent(() => this.#look())
    }
    this.#uses.add(use)
    use.begin()
  }
  leave(use: SpaceUse): void {
    if (!this.#uses.delete(use)) return
    use.end()
    if (this.#uses.size === 0) this.#ignore()
  }
  /** This CPU leaves. */
  leaveAll(): void {
    for (const use of [...this.#uses]) this.leave(use)
  }
  /** Its number may be another thread's: shared memory is left alone. */
  abandon(): void {
    this.#ignore()
    this.#uses.clear()
  }

  /** In each quiescent state. In an idle stretch no round asks this CPU. */
  #look(): void {
    if (this.own.idle.isIdle) {
      this.flushes++
      for (const use of this.#uses) use.tlb.flush()
    }
    this.acknowledge()
  }
  /** Answers all rounds: no walk is under way, and nothing that was found is used any more. */
  acknowledge(): void {
    const { count } = this.rounds
    if (count === this.#rounds) return
    this.#rounds = count
    this.flushes++
    let isAwaited = false
    for (const use of this.#uses) isAwaited = use.acknowledge() || isAwaited
    // Mutant: pagetable/answer-untold.
    if (isAwaited) this.own.doorbell.ringer.wakeWaiters(this.own.cpu)
  }

  /**
   * Resolves when nobody uses any more what the tables of a space led to before, this CPU included.
   * `pages`: those that have changed, if not all may have.
   *
   * @throws as `Rounds.wait`.
   */
  async round({ table }: SpacePlace, deadline: Deadline, pages?: Pages): Promise<void> {
    this.owes = true
    await this.rounds.wait(table, deadline, () => this.acknowledge(), pages)
    this.owes = false
  }

  /** Runs `change` under the lock. @throws LockTimeoutError; what `change` throws. */
  locked<Result>(change: () => Result): Result {
    ensureStack(SOME)
    return this.#parts.lock.locked(this.root + PagingRoot.words.lock, () => {
      try {
        return change()
      } finally {
        this.log.end()
      }
    })
  }

  /** The token of the CPU that changes a space, or 0. */
  changerOf({ table }: SpacePlace): number {
    // V(space.changer) is read under the lock, or after a pin; pairs with U in Changes: who finds
    // none has changed, or pinned, before the changer looks. Mutant: paging/changer-unasked.
    return mem.loadAtomic32(this.memory.i32, table + changer)
  }
  get token(): number {
    return tokenOf(this.own.cpu, this.own.incarnation)
  }

  /**
   * Blocks until nobody changes the space. It is no quiescent state of this CPU; but rounds are
   * answered, since a changer waits for one.
   *
   * @throws LockTimeoutError if the changer is gone, and cannot be cleaned up after meanwhile.
   */
  awaitChanger(space: SpacePlace): void {
    const { i32 } = this.memory
    const word = space.table + changer
    const patience = this.#parts.patience()
    for (;;) {
      this.acknowledge()
      // atomic: what hangs on it is decided under the lock.
      mem.awaitUntil(() => mem.loadAtomic32(i32, word) <= 0, SPIN)
      // atomic: whose it is at the moment.
      const token = mem.loadAtomic32(i32, word)
      if (token === 0) return
      if (token === OWED) {
        this.#settle(space, patience)
        continue
      }
      if (patience.isOver(token)) throw changerGone(space, token)
      nap(this.memory, word, token)
    }
  }

  /** @throws as {@link awaitChanger}. */
  #settle(space: SpacePlace, patience: Patience): void {
    const word = space.table + changer
    const isOver = (cpu: number): boolean => {
      nap(this.memory, word, this.token)
      return patience.isOver(tokenOf(cpu, this.own.table.incarnation(cpu)))
    }
    settle(this, space, isOver, () => changerGone(space, this.token))
  }
  /** This thread changes the space no more. `left`: 0, or that a round is owed. */
  endChange({ table }: SpacePlace, left: number): void {
    // atomic: what was changed was changed under the lock, or before a round.
    mem.storeAtomic32(this.memory.i32, table + changer, left)
    mem.notify32(this.memory.i32, table + changer)
  }

  /**
   * The leaf of a page that is to be read or written to, on the slow path: what is missing is made.
   * 0 for a page of an area that nobody has written to.
   *
   * @throws FaultError; OutOfMemoryError with the address; LockTimeoutError.
   */
  fault(space: SpacePlace, page: number, isWrite: boolean): number {
    for (;;) {
      const leaf = this.locked(() => {
        const area = this.areas.at(space.id, page)
        if (area === undefined) throw noArea(page * PAGE_BYTES, isWrite ? 'write' : 'read')
        if (!isWrite) return this.tables.read(space.table + edge, page)
        if ((area.flags & AREA_WRITE) === 0) throw readOnly(page * PAGE_BYTES)
        // Mutant: paging/written-beside-fork.
        return this.changerOf(space) === 0 ? this.#write(space, page, area) : undefined
      })
      if (leaf !== undefined) return leaf
      this.awaitChanger(space)
    }
  }
  #write(space: SpacePlace, page: number, area: Area): number {
    try {
      if ((area.flags & AREA_HUGE) !== 0) this.#fillHuge(space, page, area)
      return this.tables.write(space.table + edge, page)
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
      throw new OutOfMemoryError(
        `no page is left for address ${page * PAGE_BYTES}: ${error.message}`,
        { ...error.details, address: page * PAGE_BYTES },
        { cause: error },
      )
    }
  }
  /** A block of 1024 pages in flight, by its first page. @throws OutOfMemoryError. */
  allocBlock(): number {
    return this.#parts.pages.alloc(BLOCK_ORDER) / PAGE_BYTES
  }
  freeBlock(first: number): void {
    this.#parts.pages.free(first * PAGE_BYTES, BLOCK_ORDER)
  }
  /** Notes that a huge entry leads to a block. */
  takeBlock(first: number): void {
    this.frames.take(this.log, this.#parts.pages, first, true)
  }

  /** What came on the list is not of the change that is under way. */
  noteStrays(): void {
    this.#hasStrays = true
  }
  /**
   * Whether the list has got something, since the last call, for which a round of all spaces is to
   * be awaited.
   */
  takeStrays(): boolean {
    const had = this.#hasStrays
    this.#hasStrays = false
    return had
  }
  /** Under the lock, which counted walks never wait for. @throws as `Replacing.release`. */
  #giveUpReplaced(edgeWord: number, count: number): void {
    let patience: Patience | undefined
    const isOver = (cpu: number): boolean => {
      patience ??= this.#parts.patience()
      nap(this.memory, this.root + PagingRoot.words.lock, this.token)
      return patience.isOver(tokenOf(cpu, this.own.table.incarnation(cpu)))
    }
    // Mutant: pagetable/copied-while-read.
    if (!this.rounds.drain(edgeWord - edge, isOver)) {
      this.noteStrays()
      throw new LockTimeoutError('a thread that reads a page does not go on', {})
    }
    // Others hold them: that takes one step each.
    for (let given = 0; given < count; given++) this.gather.release()
  }

  /** If there is nothing yet in the block of a page, and its area has all of it. */
  #fillHuge(space: SpacePlace, page: number, { from, to }: Area): void {
    const first = page & -ENTRIES
    if (first < from || first + ENTRIES > to) return
    const word = this.tables.reach(space.table + edge, page)
    if ((this.tables.at(word) & PRESENT) === 0) this.tables.fillHuge(word)
  }
}

/** The word index at which a page begins whose leaf this is. */
export function wordOf(leaf: number, page: number): number {
  const target = targetOf(leaf)
  return (leaf & HUGE) === 0 ? target : target + (page & (ENTRIES - 1)) * ENTRIES
}

function changerGone({ address }: SpacePlace, token: number): LockTimeoutError {
  const owner = cpuOf(token)
  return new LockTimeoutError(
    `a space is being changed by CPU ${owner}, which does not go on: if its thread has ended, return to the event loop, so ` +
      `that it can be cleaned up after`,
    { address, owner },
  )
}
/** Where blocking is forbidden it goes on at once. */
function nap({ i32 }: Memory, word: number, token: number): void {
  try {
    // atomic: a nap; who changes wakes it.
    mem.wait32(i32, word, token, NAP)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
  }
}
