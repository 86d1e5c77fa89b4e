/** Page tables at the end of an execution, from outside: nothing is written, no lock is taken. */
import assert from 'node:assert/strict'
import { mem } from 'percpu-lab'
import type { World } from '../../../support/world.js'

const { ROOT_LEVEL } = await import('../../../../dist/pagetable/entry.js')
const { countBytes, Frames } = await import('../../../../dist/pagetable/frames.js')
const { Gather } = await import('../../../../dist/pagetable/gather.js')
const { OWED, PagingNote, PagingRoot, SpaceTable } = await import('../../../../dist/pagetable/layouts.js')
const { Holders } = await import('../../../../dist/paging/holders.js')
const { SPACE_KINDS, SpaceRoot } = await import('../../../../dist/paging/layouts.js')

/**
 * Whether all tables and counts are right, as `verify()` looks at them. `isOwed`: a changer has
 * died, and nobody may have awaited its round yet.
 */
export function assertTables({ memory, objects, names }: World, cpus: number, isOwed = false): void {
  const pages = memory.byteLength / 4096
  const open = (name: string, { name: type, align, hash }: typeof PagingRoot, size: number): number =>
    objects.open(name, { type, layout: { name: type, size, align, hash } }) / 4
  const root = open('percpu.paging', PagingRoot, PagingRoot.stride + countBytes(pages))
  const notes = open('percpu.pages', PagingNote as never, cpus * PagingNote.stride)
  const tables = { at: (word: number) => mem.loadAtomic32(memory.i32, word) }
  const frames = new Frames(memory, root, pages)
  const holders = new Holders({ tables, frames } as never)
  for (const kind of SPACE_KINDS)
    for (const { address } of names.each(kind)) {
      const table = address / 4 + SpaceRoot.words.table
      holders.add(tables.at(table + SpaceTable.words.root), ROOT_LEVEL)
      const changer = tables.at(table + SpaceTable.words.changer)
      assert.ok(changer === 0 || (isOwed && changer === OWED), 'there is a changer')
    }
  for (let cpu = 0; cpu < cpus; cpu++) {
    const note = notes + (cpu * PagingNote.stride) / 4
    const parts = { memory, frames, log: undefined, pages: undefined }
    holders.addList(new Gather(parts as never, tables as never, note))
    assert.equal(mem.load32(memory.i32, note + PagingNote.words.length), 0, `the log of CPU ${cpu}`)
  }
  holders.compare(pages)
  assert.deepEqual(holders.faults, [])
}
