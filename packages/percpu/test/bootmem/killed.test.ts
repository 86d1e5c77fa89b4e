/** A thread killed in the middle of a change of boot memory: that has happened, or it has not. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { fresh, joinAs, killAtAccess, mem, percpu } from '../support/hooked-percpu.js'
import { bootObjects } from './support/boot-objects.js'

const { aligned, i32, owner, struct } = percpu
const Small = struct('Small', { value: owner(i32) })
const Page = struct('Page', { value: aligned(owner(i32), 'page') })

/**
 * The numbers of the accesses of `operation` before which it makes a difference to be killed:
 * exchanges, and writes outside the lists of regions, and those right after them.
 */
function pointsOf(operation: (machine: Machine) => unknown): readonly number[] {
  const machine = joinAs(small(), 101)
  const names: string[] = []
  mem.control.before = (name) => names.push(name)
  try {
    operation(machine)
  } finally {
    mem.control.before = undefined
  }
  const matters = (name = ''): boolean => /^(compareExchange|store(?!Atomic)|copyIn|fill)/.test(name)
  return [...names.keys(), names.length].filter((at) => matters(names[at]) || matters(names[at - 1]))
}

const small = (): Machine => fresh({ memory: '256 KiB', cpus: 2 })

describe('a thread killed', () => {
  for (const type of [Small, Page]) {
    it(`while it creates a ${type.name} leaves it whole and for good, or nothing`, () => {
      const create = (machine: Machine) =>
        bootObjects(machine).create('a', type, (object) => (object.value = 7))
      const seen: boolean[] = []
      for (const at of pointsOf(create)) {
        const machine = small()
        const victim = joinAs(machine, 101)
        const before = machine.heap.memblock.report()
        killAtAccess(() => create(victim), at, victim)
        const isThere = bootObjects(machine).list().length === 1
        seen.push(isThere)
        machine.cpus.declareDead(1)
        const { regions, used } = machine.heap.memblock.report()
        if (isThere) {
          assert.equal(bootObjects(machine).open('a', type).value, 7, `access ${at}`)
          assert.equal(regions.length, before.regions.length + 1, `access ${at}`)
          assert.equal(regions.find(({ label }) => label === 'a')?.owner, undefined, `access ${at}`)
        } else {
          assert.deepEqual([regions, used], [before.regions, before.used], `access ${at}`)
          assert.equal(create(machine).value, 7)
        }
      }
      assert.ok(seen.length > 10 && seen.includes(false) && seen.includes(true))
    })
  }

  it('while it takes, keeps and frees a region leaves a kept one, or none', () => {
    const lengths: number[] = []
    const use = ({ heap: { memblock } }: Machine): void => {
      const address = memblock.alloc({ size: 64 })
      memblock.persist(address)
      memblock.free(address)
    }
    for (const at of pointsOf(use)) {
      const machine = small()
      const victim = joinAs(machine, 101)
      const before = machine.heap.memblock.report().regions
      killAtAccess(() => use(victim), at, victim)
      machine.cpus.declareDead(1)
      const { regions } = machine.heap.memblock.report()
      const left = regions.filter(({ address }) => !before.some((region) => region.address === address))
      assert.equal(regions.length, before.length + left.length, `access ${at}`)
      assert.ok(left.length <= 1 && left.every((region) => region.owner === undefined), `access ${at}`)
      lengths.push(left.length)
      use(machine)
    }
    assert.ok(lengths.length >= 6 && lengths.includes(0) && lengths.includes(1))
  })
})
