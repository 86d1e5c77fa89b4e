/** Whether the counts of references to pages and blocks are those that tables and lists give. */
import { ENTRIES, frameOf, HUGE, PAGE_LEVEL, PRESENT, targetOf } from '../pagetable/entry.js'
import type { Gather } from '../pagetable/gather.js'
import type { Pager } from './pager.js'

/** Holders of pages and blocks, as tables and lists say. */
export class Holders {
  readonly refs = new Map<number, number>()
  readonly huge = new Map<number, number>()
  /** What was found wrong. */
  readonly faults: string[] = []
  readonly #pager: Pager

  constructor(pager: Pager) {
    this.#pager = pager
  }

  /** Counts what an entry leads to, and all below if it is the first one that does. */
  add(entry: number, level: number): void {
    if ((entry & PRESENT) === 0) {
      if (entry !== 0) this.faults.push(`an entry that is not present is ${entry}`)
      return
    }
    const frame = frameOf(entry)
    if ((entry & HUGE) !== 0) {
      if (level !== 0 || frame % ENTRIES !== 0)
        this.faults.push(`page ${frame} is no block at level ${level}`)
      this.huge.set(frame, (this.huge.get(frame) ?? 0) + 1)
      return
    }
    const before = this.refs.get(frame) ?? 0
    this.refs.set(frame, before + 1)
    if (level === PAGE_LEVEL || before > 0) return
    for (let index = 0; index < ENTRIES; index++)
      this.add(this.#pager.tables.at(targetOf(entry) + index), level - 1)
  }
  /** What a list is to give up. */
  addList(gather: Gather): void {
    for (const { entry, level } of gather.items()) {
      const frame = frameOf(entry)
      if (level !== undefined) this.add(entry, level)
      else this.refs.set(frame, (this.refs.get(frame) ?? 0) + 1)
    }
  }

  /** Compares with the counts of a machine with so many pages. */
  compare(pages: number): void {
    const { frames } = this.#pager
    const live = new Map<number, number>()
    for (let page = 0; page < pages; page++) {
      const held = this.refs.get(page) ?? 0
      const counted = frames.refsOf(page)
      if (held !== counted) this.faults.push(`${held} entries lead to page ${page}, ${counted} are counted`)
      const block = page & -ENTRIES
      if (held > 0 && frames.blockOf(page) !== 0) live.set(block, (live.get(block) ?? 0) + 1)
    }
    for (let block = 0; block < pages; block += ENTRIES) {
      const counts = frames.countsAt(block)
      const huge = this.huge.get(block) ?? 0
      if (counts.huge !== huge || counts.live !== (live.get(block) ?? 0))
        this.faults.push(
          `${huge} huge entries and ${live.get(block) ?? 0} pages are of the block at page ${block}; counted are ` +
            `${counts.huge} and ${counts.live}`,
        )
    }
  }
}
