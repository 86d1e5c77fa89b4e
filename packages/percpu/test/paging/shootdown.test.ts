/** What a thread forgets of its translations when another one changes pages. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AddressSpace } from 'percpu'
import { addAtomic32 } from 'percpu/mem'
import { fresh, joinAs } from '../support/machines.js'

const PAGE = 4096
const PAGES = 64
const SIZE = 512
const { SpaceCpu, SpaceTable } = await import('../../dist/pagetable/layouts.js')
const { noteShot, publishShot, shotPages } = await import('../../dist/pagetable/shootdown.js')
const { Tlb } = await import('../../dist/pagetable/tlb.js')
const { SpaceUse } = await import('../../dist/pagetable/use.js')

/** Of two CPUs, which have all pages in their TLBs. */
async function scene(): Promise<{ readonly mine: AddressSpace; readonly other: AddressSpace }> {
  const machine = fresh({ memory: '64 MiB', cpus: 2 })
  const mine = machine.space('s')
  mine.map(0, PAGES * PAGE)
  const other = joinAs(machine, 101).space('s')
  for (let page = 0; page < PAGES; page++) mine.write(page * PAGE, page + 1)
  await machine.rcu.synchronize()
  for (let page = 0; page < PAGES; page++) {
    mine.read(page * PAGE)
    other.write(page * PAGE, page + 1)
  }
  return { mine, other }
}
/** How many of the pages [from, to) the thread has to walk to. */
function missesIn(space: AddressSpace, from: number, to: number): number {
  const before = space.tlb.misses
  for (let page = from; page < to; page++) assert.equal(space.read(page * PAGE), page + 1)
  return space.tlb.misses - before
}

describe('a round', () => {
  it('takes the pages that were unmapped from the TLBs of all, and no others', async () => {
    const { mine, other } = await scene()
    const [own, others] = [mine.tlb, other.tlb]
    await mine.unmap(8 * PAGE, 4 * PAGE)
    for (const space of [mine, other]) {
      assert.equal(missesIn(space, 0, 8) + missesIn(space, 12, PAGES), 0)
      for (let page = 8; page < 12; page++)
        assert.throws(() => space.read(page * PAGE), { code: 'PERCPU_FAULT' })
    }
    for (const [now, before] of [
      [mine.tlb, own],
      [other.tlb, others],
    ] as const)
      assert.deepEqual([now.rangedFlushes - before.rangedFlushes, now.flushes - before.flushes], [1, 0])
  })

  it('takes all of them when writing is forbidden somewhere, or the space is forked', async () => {
    const { mine, other } = await scene()
    await mine.protect(8 * PAGE, PAGE, { write: false })
    assert.equal(missesIn(other, 0, PAGES), PAGES)
    const { flushes } = other.tlb
    await (await mine.fork()).drop()
    assert.ok(other.tlb.flushes > flushes)
  })
})

describe('a thread that answers', () => {
  it('forgets the pages of one round, and all if it has missed one, or is early', () => {
    const { memory, heap } = fresh({ memory: '1 MiB' })
    const table = heap.alloc(SpaceTable.stride + 2 * SpaceCpu.stride, { zero: true }) / 4
    const ringer = { wakeWaiters: () => undefined }
    const use = new SpaceUse({ cpu: 1, memory, doorbell: { ringer } } as never, table)
    const begin = (): number => addAtomic32(memory.i32, table + SpaceTable.words.generation, 1) + 1
    const kept = (): boolean => use.tlb.readPages[7] === 7
    const answer = (): void => {
      assert.equal(use.acknowledge(), true)
    }
    use.begin()
    // Of a space that is new, and whose count has wrapped around.
    assert.equal(shotPages(memory, table, 0), undefined)
    use.tlb.keep(7, 4096, false)
    noteShot(memory, table, { from: 3, to: 5 })
    publishShot(memory, table, begin())
    answer()
    assert.ok(kept())
    // A round of all pages, and one of two: the last one is not all that has changed.
    begin()
    noteShot(memory, table, { from: 3, to: 5 })
    publishShot(memory, table, begin())
    answer()
    assert.ok(!kept())
    // Not published yet.
    use.tlb.keep(7, 4096, false)
    noteShot(memory, table, { from: 3, to: 5 })
    const number = begin()
    answer()
    assert.ok(!kept())
    publishShot(memory, table, number)
    // Of somebody who knows of no pages.
    use.tlb.keep(7, 4096, false)
    begin()
    answer()
    assert.ok(!kept())
    assert.deepEqual([use.tlb.flushes, use.tlb.rangedFlushes], [3, 1])
  })
})

describe('a TLB', () => {
  it('forgets the pages of a range, however long that is', () => {
    const cases = [
      { from: 3, to: 9 },
      { from: 500, to: 520 },
      { from: 0, to: SIZE },
      { from: 100, to: 2 ** 30 },
      { from: 7, to: 7 },
    ]
    for (const { from, to } of cases) {
      const tlb = new Tlb()
      // Each has a slot of its own.
      const pages = [0, 3, 8, 9, 99, 501, 519, 522, SIZE + 4, 3 * SIZE + 11]
      for (const page of pages) tlb.keep(page, page * 1024, page % 2 === 1)
      tlb.flushRange({ from, to })
      const kept = (page: number): boolean => tlb.readPages[page & Tlb.mask] === page
      const keptToWrite = (page: number): boolean => tlb.writePages[page & Tlb.mask] === page
      for (const page of pages) {
        const isKept = page < from || page >= to
        assert.equal(kept(page), isKept, `${page} of ${from} to ${to}`)
        assert.equal(keptToWrite(page), isKept && page % 2 === 1, `${page} of ${from} to ${to}, to write`)
      }
    }
  })
})
