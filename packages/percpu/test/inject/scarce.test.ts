/**
 * Every operation when something is missing that it might need: all memory, or all but some pages,
 * or every place in the list of held locks. It works, or is refused with the typed error of that
 * and has changed nothing; afterwards it works. What ends something always works.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Machine, MutexGuard } from 'percpu'
import { isEnd, isLeaving, refusal } from './refusal.js'
import { muteKilled, random, rows, samples } from './worlds.js'

/** Takes all memory. Returns what gives it back. */
function fill(machine: Machine, pagesLeft: number): () => void {
  const { heap, percpu } = machine
  const until = (take: () => number | undefined): number[] => {
    const taken: number[] = []
    try {
      for (let address = take(); address !== undefined; address = take()) taken.push(address)
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'PERCPU_OUT_OF_MEMORY', String(error))
    }
    return taken
  }
  const copies = [4096, 256, 16, 4].flatMap((bytes) => until(() => percpu.alloc(bytes)))
  const pages = [4, 2, 0].flatMap((order) => until(() => heap.pages.tryAlloc(order)).map((at) => [at, order]))
  const small = [2048, 1024, 512, 256, 128, 64, 32, 16, 8]
  const objects = small.flatMap((bytes) => until(() => heap.alloc(bytes)))
  const regions = [4096, 64].flatMap((size) => until(() => heap.memblock.alloc({ size, label: 'full' })))
  for (const [address = 0, order = 0] of pages.splice(pages.length - pagesLeft))
    heap.pages.free(address, order)
  return () => {
    for (const address of regions) heap.memblock.free(address)
    for (const address of objects) heap.free(address)
    for (const [address = 0, order = 0] of pages) heap.pages.free(address, order)
    for (const pointer of copies) percpu.free(pointer)
    // Otherwise it keeps its chunks until it trims itself.
    percpu.trim()
  }
}

/** Takes all places for locks. Returns what gives them back. */
function lockAll(machine: Machine): () => void {
  const names = Array.from({ length: 33 }, (_, i) => machine.locks.mutex(`place ${i}`))
  const guards: MutexGuard[] = []
  try {
    for (const mutex of names) guards.push(mutex.lock())
    assert.fail('there is room for more')
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'PERCPU_TOO_MANY_LOCKS', String(error))
  }
  return () => {
    for (const guard of guards) guard.unlock()
  }
}

const full = 'PERCPU_OUT_OF_MEMORY'
const cases: Readonly<Record<string, readonly [make: (machine: Machine) => () => void, code: string]>> = {
  'when memory is full': [(machine) => fill(machine, 0), full],
  'when one page is left': [(machine) => fill(machine, 1), full],
  'when no place for a lock is left': [lockAll, 'PERCPU_TOO_MANY_LOCKS'],
}

for (const [when, [make, code]] of Object.entries(cases))
  describe(`${when}, there works or is refused as a whole`, () => {
    before(muteKilled)
    const refused: string[] = []
    for (const row of rows) {
      // Whoever leaves with locks is told of them.
      if (row.offline === 'works' || (make === lockAll && isLeaving(row))) continue
      // Of the two cases of memory one is enough, drawn by the seed, unless more is wanted.
      if (samples === 1 && make !== lockAll && random(2) === 0) continue
      it(row.door, async () => {
        const found = await refusal(row, make, code)
        if (found !== undefined) refused.push(row.door)
        if (isEnd(row)) assert.equal(found, undefined, 'what ends something needs something')
      })
    }
    it('some of all', () => {
      assert.ok(refused.length >= 5, `only ${refused.join()}`)
    })
  })
