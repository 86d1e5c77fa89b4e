/**
 * Changes that need a round: unmapping, protecting, forking, collapsing.
 *
 *     changer = token ──▶ change entries ──▶ a round ──▶ give up, or use, what was there ──▶ 0
 *
 * One changer of a space at a time, and one change of a thread: its list of what is to be given up
 * (gather.ts) has what is of one round. As long as there is a changer, nobody else fills holes,
 * copies what is shared, maps, or pins. Reading goes on, and so does writing to what may be written
 * to.
 *
 * A changer that dies has done part of its change. Taking WRITE away changes nothing that anybody
 * reads. What it has left, others end (settling.ts). Its list is given up by who cleans up after
 * it, after a round of all spaces.
 */
import {
  addAtomic32,
  compareExchangeAtomic32,
  loadAtomic32,
  notify32,
  storeAtomic32,
  type Memory,
} from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { Names } from '../bootmem/names.js'
import { pause } from '../collections/removal.js'
import { MASK_WORDS } from '../machine/limits.js'
import { Deadline } from '../machine/wait-options.js'
import type { Gather } from '../pagetable/gather.js'
import { OWED, PagingRoot, SpaceCpu, SpaceTable } from '../pagetable/layouts.js'
import { findPin } from '../pagetable/pins.js'
import type { Pages } from '../pagetable/shootdown.js'
import { spaceCpu } from '../pagetable/use.js'
import { PinnedError } from './errors.js'
import { SPACE_KINDS, SpaceRoot, type SpacePlace } from './layouts.js'
import { claimLeft, giveUp, leavingPages, takeLeaving } from './settling.js'
import type { Pager } from './pager.js'

const { changer, generation, root: edge } = SpaceTable.words

export class Changes {
  readonly #pager: Pager
  readonly #names: Names
  #last: Promise<unknown> = Promise.resolve()

  constructor(pager: Pager, names: Names) {
    this.#pager = pager
    this.#names = names
  }

  /**
   * Runs `work` as the changer of a space, as soon as there is no other one.
   *
   * @throws UnansweredError at the deadline; the reason of its signal; OfflineError; what `work`
   *   throws.
   */
  run<Result>(space: SpacePlace, deadline: Deadline, work: () => Promise<Result>): Promise<Result> {
    return this.#inTurn(async () => {
      const pager = this.#pager
      pager.owes = await this.#claim(space, deadline)
      try {
        if (pager.owes) await this.unmapLeaving(space, deadline)
        return await work()
      } finally {
        this.#endOrOwe(space)
      }
    })
  }
  /** What was left in a space is ended, unless there is nothing, or another thread is at it. */
  async settleLeft(space: SpacePlace, isThere: () => boolean): Promise<void> {
    await this.#inTurn(async () => {
      const pager = this.#pager
      const deadline = new Deadline()
      if (!pager.own.isOnline) return
      if (pager.gather.count > 0) await this.#giveUpStrays(deadline)
      if (!claimLeft(pager, space, isThere)) return
      pager.owes = true
      try {
        await this.unmapLeaving(space, deadline)
      } finally {
        this.#endOrOwe(space)
      }
    })
  }
  #endOrOwe(space: SpacePlace): void {
    const pager = this.#pager
    if (pager.own.isOnline) this.end(space, pager.owes || leavingPages(pager, space) !== undefined ? OWED : 0)
  }
  /** One after the other. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    return result
  }
  /** Resolves when no change of this thread is under way. */
  async settle(): Promise<void> {
    await this.#last
  }

  /** Becomes the changer. Whether it is to await a round of another one. */
  async #claim(space: SpacePlace, deadline: Deadline): Promise<boolean> {
    const pager = this.#pager
    const late = (): string => 'another thread has not ended its change of the space in time'
    pager.own.assertOnline()
    // What a change left that ran into its deadline, or one of a thread that had this number.
    if (pager.gather.count > 0) await this.#giveUpStrays(deadline)
    for (;;) {
      // It may have been removed meanwhile.
      deadline.throwIfAborted()
      const found = this.begin(space)
      if (found === 0 || found === OWED) return found === OWED
      await pause(pager.own, deadline, late)
    }
  }

  /** Becomes the changer, unless there is one: returns what was found. */
  begin(space: SpacePlace): number {
    const pager = this.#pager
    return pager.locked(() => {
      const found = pager.changerOf(space)
      if (found !== 0 && found !== OWED) return found
      // U(space.changer) keeps others from changing or pinning; pairs with V in changerOf: who
      // finds it goes no further. Mutant: paging/changer-unasked.
      storeAtomic32(pager.memory.i32, space.table + changer, pager.token)
      return found
    })
  }
  end(space: SpacePlace, left = 0): void {
    this.#pager.endChange(space, left)
  }

  /** @throws PinnedError if a page of [from, to) is pinned. Called by the changer. */
  checkPins({ id }: SpacePlace, from: number, to: number): void {
    const { memory, notes, own } = this.#pager
    const find = (): ReturnType<typeof findPin> => findPin(memory, notes, id, from, to)
    let pin = find()
    // Nobody else could unpin what a thread has left that has ended. Mutant: paging/pins-of-ended.
    for (let cpu = -1; pin !== undefined && pin.cpu !== cpu; pin = find()) {
      cpu = pin.cpu
      own.idle.tending?.rescue(cpu)
    }
    if (pin === undefined) return
    const address = pin.page * PAGE_BYTES
    throw new PinnedError(`the page at address ${address} is pinned by CPU ${pin.cpu}: unpin it first`, {
      address,
      cpu: pin.cpu,
    })
  }

  /** Unmaps what was noted. @throws as {@link unmap}: then it is left to others, too. */
  async unmapLeaving(space: SpacePlace, deadline: Deadline): Promise<void> {
    const pager = this.#pager
    const pages = leavingPages(pager, space)
    for (let isTaken = false; !isTaken;) {
      isTaken = pager.locked(() => takeLeaving(pager, space))
      await this.giveUpAfterRound(space, deadline, pages)
    }
  }
  /**
   * Unmaps the pages [from, to), and gives them up.
   *
   * @throws UnansweredError at the deadline; the reason of its signal; LockTimeoutError;
   *   OfflineError. They are unmapped then, and are given up by a later change.
   */
  async unmap(space: SpacePlace, from: number, to: number, deadline: Deadline): Promise<void> {
    const { gather } = this.#pager
    for (let isDone = false; !isDone;) {
      isDone = this.#pager.locked(() => gather.unmap(space.table + edge, from, to))
      await this.giveUpAfterRound(space, deadline, { from, to })
    }
  }
  /**
   * Gives up what this change has taken out of the tables of a space, of these pages.
   *
   * @throws as {@link unmap}.
   */
  async giveUpAfterRound(space: SpacePlace, deadline: Deadline, pages?: Pages): Promise<void> {
    // Even if there is nothing: others may know an area that is gone. Mutant: paging/holes-known.
    const pager = this.#pager
    await pager.round(space, deadline, pages)
    if (pager.takeStrays()) await this.#giveUpStrays(deadline)
    else giveUp(pager, pager.gather)
  }
  /** Gives up what is on the list of this thread, of whichever spaces. @throws as {@link unmap}. */
  async #giveUpStrays(deadline: Deadline): Promise<void> {
    const pager = this.#pager
    do {
      pager.takeStrays()
      await this.#roundOfAll(deadline)
    } while (pager.takeStrays())
    giveUp(pager, pager.gather)
  }

  /** Gives up a list that is of unknown spaces. @throws as {@link unmap}. */
  async giveUpAll(gather: Gather, deadline: Deadline, isValid: () => boolean): Promise<void> {
    await this.#roundOfAll(deadline)
    const part = (): boolean => isValid() && gather.release()
    while (this.#pager.locked(part));
  }
  /** Nobody uses any more what any space led to before. */
  async #roundOfAll(deadline: Deadline): Promise<void> {
    const pager = this.#pager
    const { i32 } = pager.memory
    let pending = new Map<string, number>()
    for (const { key, table, walks } of this.#counts()) {
      // atomic: as O in Rounds.begin.
      addAtomic32(i32, table + generation, 1)
      if ((walks & 1) !== 0) pending.set(key, walks)
    }
    // atomic: as in Rounds.begin.
    addAtomic32(i32, pager.root + PagingRoot.words.rounds, 1)
    pager.acknowledge()
    await pager.own.gracePeriods.synchronize(deadline)
    while (pending.size > 0) {
      const left = new Map<string, number>()
      for (const { key, walks } of this.#counts()) if (pending.get(key) === walks) left.set(key, walks)
      pending = left
      if (left.size > 0) await pause(pager.own, deadline, () => 'a deaf CPU has not ended its walk in time')
    }
  }
  /** The counts of walks of all CPUs in all spaces. */
  *#counts(): Generator<{ readonly key: string; readonly table: number; readonly walks: number }> {
    const { memory, own } = this.#pager
    for (const kind of SPACE_KINDS) {
      for (const { address, serial } of this.#names.each(kind)) {
        const table = address / 4 + SpaceRoot.words.table
        for (let cpu = 0; cpu < own.map.cpus; cpu++) {
          const word = spaceCpu(table, cpu) + SpaceCpu.words.walks
          // atomic: as H in walksOf.
          const walks = addAtomic32(memory.i32, word, 0)
          yield { key: `${address} ${serial} ${cpu}`, table, walks }
        }
      }
    }
  }

  /** Whether anybody may be walking the space. A snapshot. */
  hasUsers({ table }: SpacePlace): boolean {
    const { memory } = this.#pager
    const { users } = SpaceTable.words
    for (let word = 0; word < MASK_WORDS; word++) {
      // atomic: a snapshot.
      if (loadAtomic32(memory.i32, table + users + word) !== 0) return true
    }
    return false
  }
}

/**
 * The change of a CPU that has left, or died, is over, whether it was whole or not. Whoever comes
 * next awaits a round. `token`: that of the CPU. Can be repeated.
 */
export function endChange({ i32 }: Memory, table: number, token: number): void {
  // atomic: as in Pager.endChange. Mutant: paging/round-not-owed-by-dead.
  if (compareExchangeAtomic32(i32, table + changer, token, OWED) === token) notify32(i32, table + changer)
}
