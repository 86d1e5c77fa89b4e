/**
 * Tiny SRCU: the domain of a machine with one possible CPU. (After the kernel's, for machines
 * without SMP.)
 *
 *     locks[rank]   sections of this rank that are under way; up and down by one, plainly
 *
 * Nobody else comes or goes while this thread looks at a count, so a look needs no grace period of
 * the event loop, and the count of one rank says all. The last section to end wakes the waiters. An
 * expedited grace period is the same as any other.
 *
 * Words and phases are those of srcu.ts, so that a thread goes on where another one died: its
 * reaper has ended that one's sections. The flavours are the same here; a domain keeps the one that
 * it was made with.
 */
import * as mem from '#mem'
import { rankOf, SCAN2 } from '../cpus/sequence.js'
import type { SrcuScans } from './srcu-driver.js'
import { SrcuCpuLayout } from './srcu-layouts.js'
import { Srcu, type SrcuFlavour, type SrcuParts } from './srcu.js'

const { load32, store32 } = mem
const { locks } = SrcuCpuLayout.words

class TinySrcu extends Srcu {
  readonly flavour: SrcuFlavour
  readonly #part: number

  constructor(parts: SrcuParts, flavour: SrcuFlavour) {
    super(parts)
    this.flavour = flavour
    this.#part = parts.words.parts[0] ?? 0
  }

  readLock(): number {
    const rank = rankOf(this.words.sequence)
    this.#add(rank, 1)
    return rank
  }
  readUnlock(token: number): void {
    this.checkToken(token)
    this.checkOpen(this.words.open(this.#part, token), token)
    this.#add(token, -1)
    if (this.words.open(this.#part, token) === 0) this.wake()
  }
  downRead(): number {
    const rank = rankOf(this.words.sequence)
    this.words.down(this.#part, rank)
    return rank
  }
  upRead(token: number): void {
    this.checkToken(token)
    this.words.up(this.#part, token)
    this.wake()
  }

  protected readonly scans: SrcuScans = {
    firstPhase: SCAN2,
    scan: (rank) => Promise.resolve(this.#isDrained(rank)),
    scanBlocking: (rank) => this.#isDrained(rank),
  }
  #isDrained(rank: number): boolean {
    return this.words.ended(rank) === this.words.begun(rank)
  }
  #add(rank: number, by: 1 | -1): void {
    const { i32 } = this.words.memory
    const word = this.#part + locks + rank
    store32(i32, word, load32(i32, word) + by)
  }
}

export function makeTinySrcu(parts: SrcuParts, flavour: SrcuFlavour): Srcu {
  return new TinySrcu(parts, flavour)
}
