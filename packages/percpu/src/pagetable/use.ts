/**
 * A CPU's use of a space: what it remembers of the tables, and how it answers rounds.
 *
 * The CPU has its bit in `users` as long as it may walk. It looks at the generation in each
 * quiescent state, before others hear of that, and wherever it waits in the middle of an access.
 * At these points it has no walk under way.
 */
import { addAtomic32, andAtomic32, loadAtomic32, orAtomic32, storeAtomic32, type Memory } from '#mem'
import type { OwnCpu } from '../cpus/own-cpu.js'
import type { Ringer } from '../cpus/ringer.js'
import { SpaceCpu, SpaceTable } from './layouts.js'
import { shotPages } from './shootdown.js'
import { Tlb } from './tlb.js'
import type { CountedWalks } from './walk.js'

const { generation, users } = SpaceTable.words

/** Word index of a CPU's SpaceCpu. `table`: of the space's SpaceTable. */
export function spaceCpu(table: number, cpu: number): number {
  return table + (SpaceTable.stride + cpu * SpaceCpu.stride) / 4
}

export class SpaceUse {
  readonly tlb = new Tlb()
  /** For walks of this CPU that are counted. */
  readonly counted: CountedWalks
  readonly #memory: Memory
  readonly #table: number
  readonly #cpu: number
  #seen = 0

  /** `table`: word index of the SpaceTable. */
  constructor(own: OwnCpu, table: number) {
    const { cpu, memory, doorbell } = own
    this.#memory = memory
    this.#table = table
    this.#cpu = cpu
    const walks = spaceCpu(table, cpu) + SpaceCpu.words.walks
    this.counted = { memory, ringer: doorbell.ringer, cpu, table, walks }
  }

  /** Before the first walk. */
  begin(): void {
    const { i32 } = this.#memory
    // L(space.users) is set before anything is walked; pairs with M in #users: either the
    // round asks this CPU, or this CPU finds what was changed before. Mutant:
    // pagetable/use-unannounced.
    orAtomic32(i32, this.#table + users + (this.#cpu >>> 5), 1 << (this.#cpu & 31))
    // atomic: as in acknowledge. A later one is answered there.
    this.#seen = loadAtomic32(i32, this.#table + generation)
    storeAtomic32(i32, this.#seenWord, this.#seen)
    // A round that began between may have found the bit, and what was seen of an earlier use.
    // Mutant: pagetable/begun-untold.
    this.counted.ringer.wakeWaiters(this.#cpu)
  }

  /**
   * Answers rounds, if there were any: no walk is under way, and none of what was found before is
   * used any more. Returns whether there were: then others may wait for it.
   */
  acknowledge(): boolean {
    const { i32 } = this.#memory
    // N(space.generation) finds rounds; pairs with O in Rounds.begin: what was changed before the
    // round is found by what this CPU walks from now on. Mutant: pagetable/unflushed.
    const found = loadAtomic32(i32, this.#table + generation)
    if (found === this.#seen) return false
    const isNext = found === ((this.#seen + 1) | 0)
    this.#seen = found
    // Mutants: pagetable/shot-missed, pagetable/shot-kept.
    const pages = isNext ? shotPages(this.#memory, this.#table, found) : undefined
    if (pages === undefined) this.tlb.flush()
    else this.tlb.flushRange(pages)
    // P(space.seen) gives up what was found before; pairs with Q in #hasSeen: it may be used for
    // something else. Mutant: pagetable/seen-of-another.
    storeAtomic32(i32, this.#seenWord, found)
    return true
  }

  /** This CPU walks the space no more. */
  end(): void {
    this.tlb.flush()
    endUse(this.#memory, this.#table, this.#cpu, this.counted.ringer)
  }

  get #seenWord(): number {
    return spaceCpu(this.#table, this.#cpu) + SpaceCpu.words.seen
  }
}

/** A CPU walks a space no more: by itself, or by its reaper. Can be repeated. */
export function endUse({ i32 }: Memory, table: number, cpu: number, ringer: Ringer): void {
  const walks = spaceCpu(table, cpu) + SpaceCpu.words.walks
  // atomic: as I in endLocklessWalk, in the place of a dead CPU. Mutant: pagetable/dead-walk.
  if ((loadAtomic32(i32, walks) & 1) !== 0) addAtomic32(i32, walks, 1)
  // W(space.users) gives up what the CPU had found; pairs with X in #isUser: it may be used for
  // something else. Mutant: pagetable/left-waited-for.
  andAtomic32(i32, table + users + (cpu >>> 5), ~(1 << (cpu & 31)))
  // Mutant: pagetable/left-untold.
  ringer.wakeWaiters(cpu)
}
