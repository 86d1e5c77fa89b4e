/**
 * Every allocation that fails, at each of the points at which memory may run out, leaves everything
 * as it was.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { copyOut } from 'percpu/mem'
import { fresh } from '../support/machines.js'
import { kinds } from './support/kinds.js'
import { backendOf, failPages } from './support/inside.js'
import { pagesOutside } from './support/pages.js'

const UNIT = 8192
const percpu = { unit: UNIT }

/**
 * The bytes of the root, the tables and all records, without the counts of failures and flushes.
 */
function image(machine: Machine): string {
  const { flushes, failures, ...report } = machine.percpu.report()
  assert.ok(flushes >= 0 && failures >= 0)
  const bytes = backendOf(machine)
    .records()
    .map((address) => {
      const bytes = copyOut(machine.memory, address, backendOf(machine).recordBytes)
      return createHash('sha256').update(bytes).digest('hex')
    })
  return JSON.stringify([report, bytes])
}

/** Uses up the first chunk, so that the next allocation needs memory. */
function fill(machine: Machine): void {
  for (let bytes = 4096; bytes >= 4; bytes /= 2)
    while (machine.percpu.alloc(bytes, { nowait: true, align: 4 }) !== undefined);
}

describe('running out of memory', () => {
  for (const { name, options } of kinds) {
    for (const bytes of [16, 5000]) {
      it(`at any page leaves all bytes as they were (${name}, ${bytes} bytes)`, () => {
        let points = 0
        for (let calls = 0; ; calls++) {
          const machine = fresh({ ...options, percpu })
          fill(machine)
          // A failed request that does not wait is remembered until the next trim.
          machine.percpu.trim()
          fill(machine)
          const before = image(machine)
          failPages(machine, calls)
          let pointer: number | undefined
          try {
            pointer = machine.percpu.alloc(bytes)
          } catch (error) {
            assert.equal((error as { code: string }).code, 'PERCPU_OUT_OF_MEMORY')
          }
          failPages(machine, -1)
          machine.percpu.verify()
          assert.equal(pagesOutside(machine), 0)
          if (pointer !== undefined) break
          points++
          if (machine.percpu.report().chunks.length === 2)
            assert.equal(image(machine), before, `call ${calls}`)
        }
        assert.ok(points >= 1, `only ${points} points`)
      })
    }
  }

  it('in the middle of mapping unmaps what was mapped, flushes once, and gives all pages back', () => {
    const { options } = kinds[0]
    const pages = options.cpus * 2
    for (let mapped = 0; mapped < pages; mapped++) {
      const machine = fresh({ ...options, percpu })
      machine.percpu.free(machine.percpu.alloc(UNIT))
      machine.percpu.trim()
      fill(machine)
      const backend = backendOf(machine)
      // A chunk without pages: what is mapped is mapped by this allocation alone.
      backend.addEmptyChunk()
      const before = image(machine)
      const { flushes } = machine.percpu.report()
      backend.failMapping(mapped)
      assert.throws(() => machine.percpu.alloc(UNIT), { message: 'no page table' })
      backend.failMapping(undefined)
      assert.equal(image(machine), before, `after ${mapped} pages`)
      assert.equal(machine.percpu.report().flushes, flushes + (mapped === 0 ? 0 : 1))
      assert.equal(pagesOutside(machine), 0)
      machine.percpu.verify()
      machine.percpu.free(machine.percpu.alloc(UNIT))
      machine.percpu.verify()
    }
  })

  it('gives no page back twice when the page allocator throws on the way back', () => {
    let points = 0
    for (let taken = 1; taken < 8; taken++) {
      for (let frees = 0; frees < taken; frees++) {
        const machine = fresh({ ...kinds[0].options, percpu })
        backendOf(machine).addEmptyChunk()
        fill(machine)
        const { pages } = machine.heap
        const allocate = pages.tryAlloc.bind(pages)
        const free = pages.free.bind(pages)
        let [left, until] = [taken, frees]
        const given: number[] = []
        pages.tryAlloc = (...request) => (left-- > 0 ? allocate(...request) : undefined)
        pages.free = (address, order) => {
          if (until-- === 0) throw new Error('a lock is stuck')
          given.push(address)
          free(address, order)
        }
        let message = ''
        try {
          machine.percpu.alloc(UNIT)
        } catch (error) {
          ;({ message } = error as Error)
        }
        Object.assign(pages, { allocate, free })
        machine.percpu.verify()
        assert.equal(new Set(given).size, given.length, `${taken} pages, free ${frees}`)
        if (message === '') continue
        assert.equal(message, 'a lock is stuck')
        points++
        // What could not be given back goes with the thread.
        assert.equal(pagesOutside(machine), taken - frees, `${taken} pages, free ${frees}`)
      }
    }
    assert.ok(points >= 4, `only ${points} points`)
  })

  it('gives all pages back when the page allocator throws, at any call', () => {
    for (const { name, options } of kinds) {
      let points = 0
      for (let calls = 0; ; calls++) {
        const machine = fresh({ ...options, percpu })
        fill(machine)
        machine.percpu.trim()
        fill(machine)
        const { pages } = machine.heap
        const allocate = pages.tryAlloc.bind(pages)
        let left = calls
        pages.tryAlloc = (...request) => {
          if (left-- === 0) throw new Error('a lock is stuck')
          return allocate(...request)
        }
        let message = ''
        try {
          machine.percpu.alloc(5000)
        } catch (error) {
          ;({ message } = error as Error)
        }
        pages.tryAlloc = allocate
        machine.percpu.verify()
        assert.equal(pagesOutside(machine), 0, `${name}, call ${calls}`)
        if (message === '') break
        assert.equal(message, 'a lock is stuck')
        points++
      }
      assert.ok(points >= 2, `${name}: only ${points} points`)
    }
  })

  it('does not disturb requests that do not wait, if they that fit, and refuses those that do not without growing', () => {
    for (const { options } of kinds) {
      const machine = fresh({ ...options, percpu })
      failPages(machine, 0)
      assert.ok(machine.percpu.alloc(16, { nowait: true }) !== undefined)
      fill(machine)
      const before = image(machine)
      assert.equal(machine.percpu.alloc(4096, { nowait: true }), undefined)
      assert.equal(image(machine), before)
      failPages(machine, -1)
      machine.percpu.trim()
      assert.ok(machine.percpu.report().emptyPages >= 2)
      assert.ok(machine.percpu.alloc(4096, { nowait: true }) !== undefined)
    }
  })

  it('counts what failed', () => {
    const machine = fresh({ ...kinds[0].options, percpu })
    fill(machine)
    const { failures } = machine.percpu.report()
    failPages(machine, 0)
    assert.throws(() => machine.percpu.alloc(16), {
      code: 'PERCPU_OUT_OF_MEMORY',
      name: 'OutOfMemoryError',
    })
    assert.throws(() => machine.percpu.alloc(4096, { reserved: true }), /reserved part/)
    assert.equal(machine.percpu.report().failures, failures + 2)
  })
})
