/**
 * What the threads of a run tell each other: of each page, what its mapper does with it, and how
 * often; and what went wrong.
 *
 *     state of a page = its version × 4 + phase
 *
 * A mapper has pages of its own. It writes a page's state before it changes the page, and after it.
 * So a reader that finds the same state before and after a read knows what it must have read. One
 * that finds another one knows which versions it may have read.
 */
import type { Machine } from 'percpu'
import { array, atomic, i32, struct } from 'percpu'
import { addAtomic32, loadAtomic32, storeAtomic32, type Memory } from 'percpu/mem'

export const MAPPERS = 4
/**
 * The spaces of the mappers. Two share one, with all kinds of walkers. One has a space with those
 * that pin, and one with deaf ones: where nobody else is waited for, changes come thick and fast.
 */
export const SPACES = ['common', 'common', 'pinned', 'deaf'] as const
export const PINNED = 2
export const DEAF = 3
/** Mappers of the common space. */
export const COMMON = 2
/** Pages that the mappers of the others use. */
export const HOT = 4
/** Pages of each mapper: those of a block of 1024 that are used one by one. */
export const PAGES = 24
/** The mapper's pages lie in blocks of 4 MiB. */
export const BLOCK_PAGES = 1024

/** Phases: nothing is mapped; it is being mapped or written; it has its version; it is unmapped. */
export const UNMAPPED = 0
export const MAPPING = 1
export const MAPPED = 2
export const UNMAPPING = 3

export const counters = [
  ...(['threads', 'reads', 'deafReads', 'faults', 'zeros', 'maps', 'unmaps', 'writes'] as const),
  ...([
    'forks',
    'forkReads',
    'forkWrites',
    'splits',
    'collapses',
    'pins',
    'pinReads',
    'refused',
    'protects',
  ] as const),
] as const
export type Counter = (typeof counters)[number]
/** What must not be. */
export const failures = [
  'stale',
  'foreign',
  'poison',
  'lost',
  'uncaught',
  'unmapped',
  'torn-fork',
  'corrupt',
] as const
export type Failure = (typeof failures)[number]

export const Board = struct('TortureWalkBoard', {
  /** 1: all threads end. */
  stop: atomic(i32),
  counts: array(atomic(i32), counters.length),
  failures: array(atomic(i32), failures.length),
  /** Of each page, by its mapper. */
  states: array(atomic(i32), MAPPERS * PAGES),
})
const { words } = Board

/** What a word of a version of a page has; never 0, and no poison. */
export function valueOf(page: number, version: number): number {
  return (0x40000000 | (page << 22) | (version & 0x3fffff)) >>> 0
}

/** The board as one thread reads and writes it. */
export class BoardView {
  readonly #memory: Memory
  readonly #at: number

  constructor({ memory, objects }: Machine) {
    this.#memory = memory
    this.#at = objects.openOrCreate('percpu.torture.walk', Board).address / 4
  }

  count(counter: Counter, by = 1): void {
    addAtomic32(this.#memory.i32, this.#at + words.counts + counters.indexOf(counter), by)
  }
  counted(counter: Counter): number {
    return loadAtomic32(this.#memory.i32, this.#at + words.counts + counters.indexOf(counter))
  }
  fail(failure: Failure): void {
    addAtomic32(this.#memory.i32, this.#at + words.failures + failures.indexOf(failure), 1)
  }
  failed(failure: Failure): number {
    return loadAtomic32(this.#memory.i32, this.#at + words.failures + failures.indexOf(failure))
  }
  get hasFailed(): boolean {
    return failures.some((failure) => this.failed(failure) > 0)
  }
  /** Of a page, by its number among all pages. */
  state(page: number): number {
    return loadAtomic32(this.#memory.i32, this.#at + words.states + page)
  }
  setState(page: number, version: number, phase: number): void {
    storeAtomic32(this.#memory.i32, this.#at + words.states + page, version * 4 + phase)
  }
  get isStopped(): boolean {
    return loadAtomic32(this.#memory.i32, this.#at + words.stop) === 1
  }
  stop(): void {
    storeAtomic32(this.#memory.i32, this.#at + words.stop, 1)
  }
}

/** The address of a page, by its number among all pages. */
export function addressOf(page: number): number {
  const mapper = Math.floor(page / PAGES)
  // Spread over the block, so that pages have lines of entries of their own.
  return (mapper * BLOCK_PAGES + (page % PAGES) * 40) * 4096
}
/** The whole block of a mapper. */
export function blockOf(mapper: number): { readonly address: number; readonly bytes: number } {
  return { address: mapper * BLOCK_PAGES * 4096, bytes: BLOCK_PAGES * 4096 }
}
