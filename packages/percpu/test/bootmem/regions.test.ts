/** Regions of boot memory until their end: whose they are, and what is told of them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, MemblockReport } from 'percpu'
import { copyOut, fillBytes } from 'percpu/mem'
import { Cell } from '../support/cell.js'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'
import type { Memblock } from '../../dist/bootmem/memblock.js'
import { fillGaps } from './support/gaps.js'
import { bootObjects } from './support/boot-objects.js'

/** With what only the library's own layers use. */
const whole = ({ heap }: Machine): Memblock => heap.memblock as unknown as Memblock
const regionAt = ({ heap }: Machine, address: number): MemblockReport['regions'][number] | undefined =>
  heap.memblock.report().regions.find((region) => region.address === address)
const addressesOf = ({ heap }: Machine): readonly number[] =>
  heap.memblock.report().regions.map(({ address }) => address)

describe('a region', () => {
  it('belongs to the incarnation that took it, until it is made persistent, by any thread', () => {
    const machine = fresh()
    const [first, other] = [joinAs(machine, 101), joinAs(machine, 102)]
    machine.cpus.declareDead(1)
    const second = joinAs(machine, 103)
    assert.equal(second.cpu, first.cpu)
    const [a, b] = [second, other].map(({ heap }) => heap.memblock.alloc({ size: 64 })) as [number, number]
    assert.deepEqual(regionAt(machine, a)?.owner, { cpu: 1, incarnation: 2 })
    assert.deepEqual(regionAt(machine, b)?.owner, { cpu: 2, incarnation: 1 })
    machine.heap.memblock.persist(a)
    assert.equal(regionAt(machine, a)?.owner, undefined)
    assert.deepEqual(regionAt(machine, b)?.owner, { cpu: 2, incarnation: 1 })
    machine.heap.memblock.persist(a)
    assert.equal(regionAt(machine, a)?.owner, undefined)
    machine.heap.memblock.free(a)
    machine.heap.memblock.free(b)
    assert.ok(!addressesOf(machine).includes(a) && !addressesOf(machine).includes(b))
  })

  const ends: Readonly<Record<string, (machine: Machine, victim: Machine) => unknown>> = {
    dies: (machine, { cpu }) => machine.cpus.declareDead(cpu),
    'goes offline': (_, victim) => victim.offline(),
  }
  for (const [what, end] of Object.entries(ends)) {
    it(`is freed when its CPU ${what}, unless it is persistent or a named object`, async () => {
      const machine = fresh()
      const [victim, bystander] = [joinAs(machine, 101), joinAs(machine, 102)]
      const before = addressesOf(machine)
      const alloc = ({ heap }: Machine): number => heap.memblock.alloc({ size: 128 })
      const [lost, kept, theirs, ours, lostToo] = [
        alloc(victim),
        alloc(victim),
        alloc(bystander),
        alloc(machine),
        alloc(victim),
      ]
      victim.heap.memblock.persist(kept)
      fillBytes(machine.memory, kept, 128, 5)
      const { address } = bootObjects(victim).create('kept', Cell, (cell) => cell.value.store(6))
      await end(machine, victim)
      const left = addressesOf(machine).filter((each) => !before.includes(each))
      assert.deepEqual(
        left,
        [kept, theirs, ours, address - 128].sort((a, b) => a - b),
      )
      assert.ok(copyOut(machine.memory, kept, 128).every((byte) => byte === 5))
      assert.equal(bootObjects(machine).open('kept', Cell).value.load(), 6)
      assert.equal(regionAt(machine, address - 128)?.owner, undefined)
      for (const gone of [lost, lostToo])
        throwsCode(() => machine.heap.memblock.free(gone), 'PERCPU_INVALID_FREE')
      assert.equal(alloc(machine), lost)
    })
  }

  it('is zeroed whoever used its memory before, also where a part of that is new', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    fillGaps(machine)
    const address = machine.heap.memblock.alloc({ size: 256 })
    fillBytes(machine.memory, address, 256, 7)
    machine.heap.memblock.free(address)
    for (const { heap } of [other, machine]) {
      const size = 4096
      assert.equal(heap.memblock.alloc({ size }), address)
      assert.ok(copyOut(machine.memory, address, size).every((byte) => byte === 0))
      fillBytes(machine.memory, address, size, 7)
      heap.memblock.free(address)
    }
    // A smaller one in between does not make the rest look new.
    assert.equal(machine.heap.memblock.alloc({ size: 64 }), address)
    assert.equal(other.heap.memblock.alloc({ size: 4096 }), address + 64)
    assert.ok(copyOut(machine.memory, address, 4160).every((byte) => byte === 0))
  })

  it('has the first 16 characters of its label', () => {
    const machine = fresh()
    for (const label of ['', 'a', 'four', 'fives', '16 characters ok']) {
      const address = machine.heap.memblock.alloc({ size: 1, label })
      assert.equal(regionAt(machine, address)?.label, label)
    }
    for (const label of ['17 are not cut...', 'Ümlaut', 'a\0b'])
      throwsCode(() => machine.heap.memblock.alloc({ size: 1, label }), 'PERCPU_ARGUMENT', /label/)
  })

  it('is freed by its label only if it has that', () => {
    const machine = fresh()
    const memblock = whole(machine)
    const [one, two] = ['one', 'two'].map((label) => memblock.alloc({ size: 64, label })) as [number, number]
    assert.equal(memblock.freeLabelled(one, 'two'), false)
    assert.equal(memblock.freeLabelled(one, ''), false)
    assert.equal(memblock.freeLabelled(one + 64 * 64, 'one'), false)
    assert.equal(memblock.freeLabelled(0, 'machine'), false)
    assert.equal(memblock.freeLabelled(two, 'two'), true)
    assert.equal(memblock.freeLabelled(two, 'two'), false)
    assert.equal(regionAt(machine, one)?.label, 'one')
  })

  it('is reclaimed if it is its own and nothing is linked in it; the rest of its own is kept', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const before = machine.heap.memblock.report()
    const take = ({ heap }: Machine, size: number): number => heap.memblock.alloc({ size })
    const sizes = [64, 100, 4096, 1]
    const own = sizes.map((size) => take(other, size))
    const persistent = take(other, 64)
    other.heap.memblock.persist(persistent)
    const theirs = take(machine, 64)
    const asked = new Map<number, number>()
    const freed = whole(other).reclaim((address, size) => {
      asked.set(address, size)
      return address === own[1]
    })
    assert.equal(freed, 64 + 4096 + 64)
    assert.deepEqual(asked, new Map(own.map((address, i) => [address, Math.ceil((sizes[i] ?? 0) / 64) * 64])))
    const known = before.regions.map(({ address }) => address)
    assert.deepEqual(
      addressesOf(machine).filter((address) => !known.includes(address)),
      [own[1], persistent, theirs].sort((a = 0, b = 0) => a - b),
    )
    assert.equal(regionAt(machine, own[1] ?? 0)?.owner, undefined)
    assert.equal(
      whole(other).reclaim(() => false),
      0,
    )
  })

  it('is kept by its own incarnation only, if that asks for its own', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const [own, theirs] = [machine, other].map(({ heap }) => heap.memblock.alloc({ size: 64 })) as [
      number,
      number,
    ]
    for (const address of [own, theirs, theirs + 64, own + 1]) whole(machine).persistOwn(address)
    assert.equal(regionAt(machine, own)?.owner, undefined)
    assert.deepEqual(regionAt(machine, theirs)?.owner, { cpu: 1, incarnation: 1 })
  })
})

describe('the report', () => {
  it('begins with the machine itself, and adds up to its memory', () => {
    const machine = fresh({ memory: '1 MiB' })
    const { memblock } = machine.heap
    const addresses = Array.from({ length: 6 }, (_, i) => memblock.alloc({ size: 64 << i, align: 512 }))
    for (const address of addresses.slice(1, 4)) memblock.free(address)
    const { regions, total, used, free, largestFree } = memblock.report()
    const { address, size, label, owner, node } = regions[0] ?? assert.fail()
    assert.deepEqual(
      { address, label, owner, node },
      { address: 0, label: 'machine', owner: undefined, node: 0 },
    )
    assert.ok(size > 4096 && size % 64 === 0)
    assert.equal(total, machine.cpus.configuration.memory)
    const gaps = regions.map((region, i) => {
      const next = regions[i + 1]?.address ?? total
      assert.ok(region.address + region.size <= next, 'sorted and apart')
      return next - region.address - region.size
    })
    assert.equal(
      free,
      gaps.reduce((sum, gap) => sum + gap),
    )
    assert.equal(used, total - free)
    assert.equal(largestFree, Math.max(...gaps))
  })

  it('is the same for all threads, and does not change when the memory does', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const report = machine.heap.memblock.report()
    assert.deepEqual(other.heap.memblock.report(), report)
    const copy = structuredClone(report)
    const address = other.heap.memblock.alloc({ size: 64 })
    other.heap.memblock.persist(address)
    assert.deepEqual(report, copy)
    assert.equal(machine.heap.memblock.report().regions.length, copy.regions.length + 1)
  })
})
