/**
 * The history of a machine without an MMU: per-CPU memory is km, what needs page tables is refused
 * with its reason, and nothing of them is ever made.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UnsupportedError, type Machine } from 'percpu'
import { fresh } from '../support/machines.js'
import { insideOf } from '../support/inside.js'
import { pagesOutside } from './support/pages.js'

const UNIT = 16384
const options = { memory: '4 MiB', percpu: { unit: UNIT } } as const

/** Names of what the layers have made. */
function layersOf({ memory }: Machine): string[] {
  return [...insideOf(memory).objects.list()].map(({ name }) => name)
}

/** What both kinds of machines do. */
function live(machine: Machine): void {
  const { percpu } = machine
  const counter = percpu.counter('counter')
  counter.add(3)
  assert.equal(counter.sum(), 3)
  // Those of the name.
  const pages = pagesOutside(machine)
  const pointers = Array.from({ length: 40 }, (_, i) => percpu.alloc(i % 4 === 0 ? UNIT : 100 * (i + 1)))
  assert.ok(percpu.report().chunks.length > 6)
  percpu.verify()
  for (const pointer of pointers) percpu.free(pointer)
  percpu.trim()
  percpu.verify()
  assert.equal(pagesOutside(machine), pages)
}

describe('a machine with SMP and without an MMU', () => {
  it('has contiguous per-CPU memory, which works, and no page tables', () => {
    const machine = fresh({ ...options, cpus: 3, mmu: false })
    live(machine)
    const { backend, tableBytes } = machine.percpu.report()
    assert.deepEqual([backend, tableBytes], ['km', 0])
    // One piece for all CPUs.
    const pointer = machine.percpu.alloc(UNIT)
    const [first = 0, second, last] = machine.cpus.possible.map((cpu) => machine.percpu.address(pointer, cpu))
    assert.deepEqual([second, last], [first + UNIT, first + 2 * UNIT])
    assert.equal(machine.percpu.address(pointer, 0, UNIT - 4), first + UNIT - 4)
  })

  it('refuses a map request with its reason, and then works as before', () => {
    const machine = fresh({ ...options, cpus: 3, mmu: false })
    for (const request of [
      () => machine.space('map'),
      () => machine.sparseArray('map', { value: 'u32' }),
      // Whatever else is wrong with it.
      () => machine.space(''),
    ]) {
      assert.throws(request, (error) => {
        assert.ok(error instanceof UnsupportedError)
        assert.equal(error.code, 'PERCPU_UNSUPPORTED')
        assert.match(error.message, /booted without an MMU \(mmu: false\), so it has no page tables/)
        return true
      })
    }
    live(machine)
  })

  it('makes nothing that belongs to page tables', () => {
    const names = (mmu: boolean): string[] => {
      const machine = fresh({ ...options, cpus: 3, mmu })
      const isRefused = !mmu
      if (isRefused) assert.throws(() => machine.space('map'))
      else machine.space('map')
      live(machine)
      return layersOf(machine).filter((name) => name.startsWith('percpu.pag'))
    }
    assert.deepEqual(names(true).sort(), ['percpu.pages', 'percpu.paging'])
    assert.deepEqual(names(false), [])
  })
})
