/** What this layer needs of a page allocator: alloc/pages.ts, or a test's. */
import type { SectionWriter } from '../sync/layer-lock.js'

export interface PageSource {
  /** A block of 2^order pages of 4096 bytes: its byte address, or undefined if there is none. It ends with the thread. */
  tryAlloc(order: number, options?: { readonly node?: number }): number | undefined
  free(address: number, order: number): void
  /** From the commit of the section on the block outlives the thread. */
  persist(address: number, section: SectionWriter): void
  /** From the commit of the section on it ends with the thread again. */
  adopt(address: number, section: SectionWriter): void
}
