/** Named objects: created once, found by every thread, refused with another type or layout. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { aligned, boot, i32, owner, struct } from 'percpu'
import { load32 } from 'percpu/mem'
import { Cell } from '../support/cell.js'
import { throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { withMachine } from '../support/threads.js'

const Other = struct('Other', { value: i32 })
const Page = struct('Page', { first: aligned(owner(i32), 'page') })

describe('objects', () => {
  it('are found by name in every thread, zeroed or as init left them', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const { address } = machine.objects.create('début', Cell, (cell) => cell.value.store(42))
      const other = joinAs(machine, 101)
      assert.equal(other.objects.open('début', Cell).address, address)
      assert.equal(load32(other.memory.i32, address / 4), 42)
      await other.offline()
      const remote = await (await start()).tell<number>({ do: 'create', name: 'theirs' })
      assert.equal(machine.objects.open('theirs', Cell).address, remote)
      assert.equal(load32(machine.memory.i32, remote / 4), 0)
      assert.deepEqual(
        machine.objects.list().map(({ name, type, size }) => ({ name, type, size })),
        [
          { name: 'theirs', type: 'Cell', size: 68 },
          { name: 'début', type: 'Cell', size: 68 },
        ],
      )
    })
  })

  it('are aligned as their layout says', () => {
    const machine = boot()
    machine.objects.create('small', Cell)
    const address = machine.objects.create('page', Page).address
    assert.equal(address % 4096, 0)
    assert.equal(machine.objects.open('page', Page).address, address)
  })

  it('are refused a second time, when missing, and under another type or layout', () => {
    const { objects } = boot()
    objects.create('a', Cell)
    throwsCode(() => objects.create('a', Cell), 'PERCPU_OBJECT_EXISTS', /the object 'a' exists already/)
    throwsCode(() => objects.open('b', Cell), 'PERCPU_OBJECT_MISSING', /'b'/)
    throwsCode(() => objects.open('a', Other), 'PERCPU_OBJECT_MISMATCH', /of type 'Cell', not 'Other'/)
    throwsCode(
      () => objects.open('a', struct('Cell', { value: owner(i32) })).address,
      'PERCPU_OBJECT_MISMATCH',
      /another layout.*Cell/,
    )
    throwsCode(() => objects.openOrCreate('a', Page).address, 'PERCPU_OBJECT_MISMATCH')
  })

  it('need names and types that fit', () => {
    const { objects } = boot()
    throwsCode(() => objects.create('', Cell), 'PERCPU_ARGUMENT', /1 to 56 bytes/)
    throwsCode(() => objects.create('é'.repeat(29), Cell), 'PERCPU_ARGUMENT', /has 58/)
    throwsCode(
      () => objects.create('x', struct('T'.repeat(41), { value: i32 })),
      'PERCPU_ARGUMENT',
      /1 to 40 bytes/,
    )
    for (const call of ['create', 'open', 'openOrCreate'] as const) {
      throwsCode(
        () => objects[call]('x', undefined as never),
        'PERCPU_ARGUMENT',
        /type: undefined is no struct/,
      )
      throwsCode(() => objects[call]('x', { size: 4 } as never), 'PERCPU_ARGUMENT', /is no struct/)
    }
    throwsCode(() => objects.create('\ud800', Cell), 'PERCPU_ARGUMENT', /surrogate/)
    objects.create('\ufeffbom', Cell)
    objects.open('\ufeffbom', Cell)
    objects.create('é'.repeat(28), struct('T'.repeat(40), { value: i32 }))
    assert.equal(objects.list()[0]?.name, 'é'.repeat(28))
  })

  it('leave nothing behind when init throws or the name was taken meanwhile', () => {
    const machine = boot()
    const allocated = (): number => machine.heap.allocations().length
    const fail = () => {
      throw new RangeError('no')
    }
    assert.throws(() => machine.objects.create('a', Cell, fail), RangeError)
    assert.equal(allocated(), 0)
    assert.deepEqual(machine.objects.list(), [])
    // While this thread fills its object, another one creates it.
    const meanwhile = () => void machine.objects.create('a', Cell)
    throwsCode(() => machine.objects.create('a', Cell, meanwhile), 'PERCPU_OBJECT_EXISTS')
    assert.equal(machine.objects.list().length, 1)
    const opened = machine.objects.openOrCreate('b', Cell, () => void machine.objects.create('b', Cell))
    assert.equal(machine.objects.open('b', Cell).address, opened.address)
    assert.equal(allocated(), 0)
  })

  it('are created by exactly one of many threads', async () => {
    await withMachine({ cpus: 4 }, async (machine, start) => {
      const actors = await Promise.all([start(), start(), start()])
      for (const name of ['a', 'b', 'c', 'd', 'e']) {
        const results = await Promise.allSettled(
          actors.map((actor) => actor.tell<number>({ do: 'create', name })),
        )
        const created = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
        assert.deepEqual(created, [machine.objects.open(name, Cell).address])
      }
      assert.equal(machine.objects.list().length, 5)
    })
  })
})
