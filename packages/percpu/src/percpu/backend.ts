/**
 * What the two kinds of machines do differently (after the kernel's percpu-km.c and percpu-vm.c). All of it runs under the lock.
 *
 *     km    a chunk is one block of memory, its units one after the other, complete from the beginning
 *     vm    a chunk is a range of addresses that mean nothing yet; its pages come and go
 */
import type { I32View } from '#mem'
import * as mem from '#mem'
import type { SectionWriter } from '../sync/layer-lock.js'
import type { PageSource } from './pages.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export interface Backend {
  readonly name: 'km' | 'vm'
  /** Takes what a new chunk needs beside its record; false if there is none. All is in flight, or undone. */
  create(chunk: number): boolean
  /** The pages of a new chunk that are populated from the beginning. */
  readonly populatedAtOnce: boolean
  /** In the section that publishes the chunk: what {@link create} took is kept. */
  persist(chunk: number, section: SectionWriter): void
  /** In the section that takes the chunk away: it is in flight again. Its pages were depopulated before. */
  adopt(chunk: number, section: SectionWriter): void
  /** Gives it back. */
  destroy(chunk: number): void
  /** Provides pages [from, to) of all units; false if there is no memory, and then all is as it was. */
  populate(chunk: number, from: number, to: number): boolean
  /** Unmaps pages [from, to) of all units, those that are mapped, into `unmapped`. */
  unmap(chunk: number, from: number, to: number, unmapped: number[]): void
  /** After the last {@link unmap}: flushes, and gives the pages back. */
  release(unmapped: readonly number[]): void
  /** Clears granules, which lie in one page where units are mapped, in all units. */
  clear(chunk: number, granule: number, count: number): void
  /** Byte address of a granule in a CPU's unit; undefined where nothing is mapped. */
  translate(chunk: number, cpu: number, granule: number): number | undefined
}

export interface BackendParts {
  readonly pages: PageSource
  /** NUMA node of each possible CPU. */
  readonly nodes: readonly number[]
}

/** Writes only where not all of four words are zero: so a page that was never used stays so. Mutant: percpu/touched-by-others. */
export function clearWords(view: I32View, from: number, to: number): void {
  let word = from
  for (; word + 4 <= to; word += 4) {
    const any = load32(view, word) | load32(view, word + 1) | load32(view, word + 2) | load32(view, word + 3)
    if (any !== 0) for (let i = word; i < word + 4; i++) store32(view, i, 0)
  }
  for (; word < to; word++) if (load32(view, word) !== 0) store32(view, word, 0)
}
