/**
 * What the two ways of keeping units do differently. (After the kernel's percpu-km.c and
 * percpu-vm.c.) All of it runs under the lock.
 *
 *     km    a chunk is one block of memory, its units one after the other, populated at once
 *     vm    a chunk is a range of pointers; the pages of its units come and go
 */
import type { I32View } from '#mem'
import * as mem from '#mem'
import type { SectionWriter } from '../sync/layer-lock.js'
import type { PageSource } from './pages.js'
import type { UnitTables } from './tables.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export interface Backend {
  readonly name: 'km' | 'vm'
  /** Undefined where nothing is mapped. */
  readonly tables: UnitTables | undefined
  /** At boot: the units of a chunk, by CPU, lie at these byte addresses. */
  place(chunk: number, units: readonly number[]): void
  /** Takes what a new chunk needs beside its record, in flight; false if there is none. */
  create(chunk: number): boolean
  /** Whether all pages of a chunk are populated from its beginning to its end. */
  readonly populatedAtOnce: boolean
  /** In the section that publishes the chunk: what {@link create} took outlives the thread. */
  persist(chunk: number, section: SectionWriter): void
  /** In the section that unpublishes the chunk, without pages: what it took is in flight again. */
  adopt(chunk: number, section: SectionWriter): void
  /** Frees what {@link create} took. */
  destroy(chunk: number): void
  /** Maps pages [from, to) of all units; false if memory ran out, and then none is mapped. */
  populate(chunk: number, from: number, to: number): boolean
  /**
   * Unmaps those of the pages [from, to) of all units that are mapped. Adds them to `unmapped`,
   * with the tables of the chunk that lead nowhere then.
   */
  unmap(chunk: number, from: number, to: number, unmapped: number[]): void
  /** After the last {@link unmap}: flushes once, and frees what was unmapped. */
  release(unmapped: readonly number[]): void
  /** Clears granules of all units. Where units are mapped, they lie in one page. */
  clear(chunk: number, granule: number, count: number): void
  /** Byte address of a granule of a CPU's unit; undefined where no page is mapped. */
  translate(chunk: number, cpu: number, granule: number): number | undefined
}

export interface BackendParts {
  readonly pages: PageSource
  /** NUMA node of each possible CPU. */
  readonly nodes: readonly number[]
}

/**
 * Makes words [from, to) zero. Looks at four at a time, and writes only where one is not zero, so
 * that a page that was never written stays so. Mutant: percpu/touched-by-others.
 */
export function clearWords(view: I32View, from: number, to: number): void {
  let word = from
  for (; word + 4 <= to; word += 4) {
    const any = load32(view, word) | load32(view, word + 1) | load32(view, word + 2) | load32(view, word + 3)
    if (any !== 0) for (let i = word; i < word + 4; i++) store32(view, i, 0)
  }
  for (; word < to; word++) if (load32(view, word) !== 0) store32(view, word, 0)
}
