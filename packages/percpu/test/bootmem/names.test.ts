/** Names of objects, what `init` is given, and what is told of an object. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { i32, locked, PercpuError, struct, type Machine } from 'percpu'
import { copyOut, fillBytes } from 'percpu/mem'
import { Cell } from '../support/cell.js'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'
import { fillGaps } from './support/gaps.js'
import { bootObjects } from './support/boot-objects.js'

const Other = struct('Other', { value: i32 })
const Locked = struct('Locked', { value: locked(i32, 'm') })

describe('named objects', () => {
  it('are listed with where they lie, and how large they are', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const made = ([machine, other] as const).map(
      (each, i) => bootObjects(each).create(`of ${i}`, Cell).address,
    )
    const expected = made.map((address, i) => ({
      name: `of ${i}`,
      type: 'Cell',
      address,
      size: 128 + 64,
      layoutHash: Cell.hash,
    }))
    assert.deepEqual(bootObjects(machine).list(), expected.reverse())
    assert.deepEqual(bootObjects(other).list(), bootObjects(machine).list())
  })

  it('are aligned as their struct says, right behind their entries, wherever memory is free', () => {
    const machine = fresh()
    const { memblock } = machine.heap
    fillGaps(machine)
    for (const [i, align] of [4, 64, 128, 256, 4096, 128, 4096, 8].entries()) {
      memblock.alloc({ size: 64 })
      const type = struct('Aligned', { value: i32 }, { align })
      const { address } = bootObjects(machine).create(`object ${i}`, type)
      assert.equal(address % Math.max(64, align), 0)
      const region = memblock.report().regions.find(({ label }) => label === `object ${i}`) ?? assert.fail()
      assert.equal(region.address, address - Math.max(128, align))
      assert.ok(address + type.size <= region.address + region.size)
      const entries = machine.watch.structs().filter(({ struct }) => struct.name === 'DirectoryEntry')
      assert.equal(entries[0]?.address, address - 128)
    }
  })

  it('throw once their CPU is offline, whatever they are asked for, and write nothing', async () => {
    const machine = fresh()
    const leaver = joinAs(machine, 101)
    const { objects, heap } = leaver
    const { memblock } = heap
    const address = memblock.alloc({ size: 64 })
    memblock.persist(address)
    objects.create('a', Cell)
    await leaver.offline()
    const before = copyOut(machine.memory, 0, machine.memory.byteLength)
    const uses: readonly (() => unknown)[] = [
      ...[Cell, Other as never, undefined as never].flatMap((type: typeof Cell) => [
        () => objects.open('a', type),
        () => objects.create('a', type),
        () => objects.create('b', type),
        () => objects.openOrCreate('a', type),
        () => objects.openOrCreate('b', type),
      ]),
      () => objects.list(),
      () => memblock.alloc({ size: 64 }),
      () => memblock.free(address),
      () => memblock.free(1),
      () => memblock.persist(address),
      () => memblock.report(),
    ]
    for (const use of uses) throwsCode(use, 'PERCPU_OFFLINE', /CPU 1 offline/)
    assert.deepEqual(copyOut(machine.memory, 0, machine.memory.byteLength), before)
  })

  it('of another struct are refused with what was expected and what was found', () => {
    const { objects } = fresh()
    objects.create('a', Cell)
    const Changed = struct('Cell', { value: i32 })
    const refused = (open: () => unknown, expected: unknown, found: unknown): void =>
      assert.throws(open, (error: unknown) => {
        assert.ok(error instanceof PercpuError)
        assert.equal(error.code, 'PERCPU_OBJECT_MISMATCH')
        assert.deepEqual(error.details, { name: 'a', expected, found })
        return true
      })
    for (const call of ['open', 'openOrCreate'] as const) {
      refused(() => objects[call]('a', Other), 'Other', 'Cell')
      refused(() => objects[call]('a', Changed), Changed.hash, Cell.hash)
    }
  })
})

describe('init', () => {
  /** A machine whose next named object lies where other bytes were. */
  function dirty(): Machine {
    const machine = fresh()
    const { memblock } = machine.heap
    const address = memblock.alloc({ size: 1024 })
    fillBytes(machine.memory, address, 1024, 0xa5)
    memblock.free(address)
    return machine
  }

  it('is given the zeroed object before anybody can find it, with setters of locked fields', () => {
    const machine = dirty()
    const { address } = bootObjects(machine).create('new', Locked, (object) => {
      assert.ok(copyOut(machine.memory, object.address, Locked.size).every((byte) => byte === 0))
      throwsCode(() => bootObjects(machine).open('new', Locked), 'PERCPU_OBJECT_MISSING')
      assert.deepEqual(bootObjects(machine).list(), [])
      object.value = 9
    })
    assert.equal(bootObjects(machine).open('new', Locked).value, 9)
    assert.equal(bootObjects(machine).open('new', Locked).address, address)
  })

  it('that throws leaves the name free', () => {
    const machine = dirty()
    const before = machine.heap.memblock.report()
    for (const call of ['create', 'openOrCreate'] as const) {
      const fail = (object: { value: number }): void => {
        object.value = 1
        throw new RangeError('no')
      }
      assert.throws(() => bootObjects(machine)[call]('a', Locked, fail), RangeError)
      assert.deepEqual(machine.heap.memblock.report(), before)
    }
    assert.equal(bootObjects(machine).create('a', Locked).value, 0)
  })

  it('runs for the one who creates the object only', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    let runs = 0
    const open = (of: Machine): number =>
      bootObjects(of).openOrCreate('a', Cell, (cell) => {
        runs++
        cell.value.store(4)
      }).address
    const address = open(machine)
    bootObjects(machine).open('a', Cell).value.store(5)
    assert.deepEqual([open(machine), open(other)], [address, address])
    throwsCode(() => bootObjects(other).create('a', Cell, () => runs++), 'PERCPU_OBJECT_EXISTS')
    assert.deepEqual([runs, bootObjects(other).open('a', Cell).value.load()], [1, 5])
  })

  it('that is no function is refused', () => {
    const { objects, heap } = fresh()
    const before = heap.allocations()
    for (const call of ['create', 'openOrCreate'] as const)
      throwsCode(() => objects[call]('a', Cell, 7 as never), 'PERCPU_ARGUMENT', /init: 7 is not a function/)
    assert.deepEqual(heap.allocations(), before)
  })
})
