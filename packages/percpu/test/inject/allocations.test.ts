/**
 * Every operation whose n-th allocation fails, and all after it, for each n: of pages, of an object
 * of a cache, or of copies for all CPUs. (Zones remember that boot memory is full until it changes:
 * what is refused of it is in scarce.test.ts.)
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { isEnd, isLeaving, refusal } from './refusal.js'
import { muteKilled, rows, samples, type Row } from './worlds.js'

const { OutOfMemoryError } = await import('percpu')
const { PageAllocator } = await import('../../dist/alloc/pages.js')
const { SlabCache } = await import('../../dist/alloc/slab-cache.js')
const { Allocator } = await import('../../dist/percpu/allocator.js')

/** Allocations that one operation makes at most, for which each is refused in its turn. */
const MOST = 4 * samples

/** How many allocations were asked for, and from which on they fail. */
let count = 0
let failing = Infinity
const methods = [
  [PageAllocator.prototype, 'tryAlloc'],
  [SlabCache.prototype, 'alloc'],
  [Allocator.prototype, 'allocate'],
] as const
const originals = methods.map(([prototype, method]) => Reflect.get(prototype, method) as () => unknown)

function intercept(): void {
  for (const [index, [prototype, method]] of methods.entries()) {
    const original = originals[index]
    Reflect.set(prototype, method, function (this: unknown, ...args: never[]): unknown {
      if (count++ < failing) return Reflect.apply(original as () => unknown, this, args) as unknown
      if (method === 'tryAlloc') return undefined
      throw new OutOfMemoryError('refused by the test')
    })
  }
}
function restore(): void {
  for (const [index, [prototype, method]] of methods.entries())
    Reflect.set(prototype, method, originals[index])
}

/** Returns what ends it. */
function failFrom(machine: Machine, nth: number): () => void {
  // Made now, if this is the first use.
  machine.percpu.report()
  count = 0
  failing = nth
  return () => {
    failing = Infinity
  }
}

/** Returns the code of the refusal. */
async function refused(row: Row, nth: number): Promise<string | undefined> {
  try {
    return await refusal(row, (machine) => failFrom(machine, nth), 'PERCPU_OUT_OF_MEMORY')
  } finally {
    failing = Infinity
  }
}

describe('the n-th allocation fails, and there works or is refused as a whole', () => {
  before(muteKilled)
  before(intercept)
  after(restore)
  let refusals = 0
  for (const row of rows) {
    if (row.offline === 'works' || isLeaving(row)) continue
    it(row.door, async (t) => {
      for (let nth = 0; nth < MOST; nth++) {
        const found = await refused(row, nth)
        if (found !== undefined) refusals++
        if (isEnd(row)) assert.equal(found, undefined, 'what ends something needs something')
        if (count > nth) continue
        if (nth === 0) t.diagnostic('it allocates nothing')
        return
      }
    })
  }
  it('many of all', () => {
    assert.ok(refusals >= 40, `only ${refusals}`)
  })
})
