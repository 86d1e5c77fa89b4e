/** What this layer needs of a page allocator: that of alloc/pages.ts, or none. */
import type { SectionWriter } from '../sync/layer-lock.js'

export interface PageSource {
  /** Byte address of a block of 2^order pages, in flight; undefined if there is none. */
  tryAlloc(order: number, options?: { readonly node?: number; readonly zero?: boolean }): number | undefined
  free(address: number, order: number): void
  /** From the commit of the section on the block outlives the thread. */
  persist(address: number, section: SectionWriter): void
  /** From the commit of the section on it ends with the thread again. */
  adopt(address: number, section: SectionWriter): void
  /** Whether a block begins there that outlives its thread. For the verifier. */
  isPersistent(address: number): boolean
}

/** None at all. */
export const noPages: PageSource = {
  tryAlloc: () => undefined,
  free: () => undefined,
  persist: () => undefined,
  adopt: () => undefined,
  isPersistent: () => false,
}
