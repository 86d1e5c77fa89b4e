/**
 * A thread killed in the middle of giving a name or taking one away: that has happened, or it has
 * not. Nothing is lost, and what others found just before stays until a grace period has passed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { fresh, joinAs, percpu } from '../support/hooked-percpu.js'
import { accessesOf, changesOf, killForGood, settle } from './support.js'

const { verify } = await import('../alloc/support/verify.js')
const { array, i32, locked, struct, u32 } = percpu
const Cell = struct('Cell', { value: locked(i32, 'm') })
const Large = struct('Large', { value: locked(i32, 'm'), cells: array(u32, 2 ** 20) })

interface Operation {
  /** Names that there are before. */
  readonly names: number
  readonly type?: typeof Cell | typeof Large
  readonly run: (machine: Machine, type: typeof Cell) => unknown
  /** Whether 'a' is there afterwards, unless the thread was killed too early. */
  readonly leaves: boolean
}
const create = (machine: Machine, type: typeof Cell): unknown =>
  machine.objects.create('a', type, (object) => (object.value = 7))
const remove = (machine: Machine): unknown => machine.objects.remove('a')
const operations: Readonly<Record<string, Operation>> = {
  'gives a name': { names: 0, run: create, leaves: true },
  'gives the name with which the table grows': { names: 2, run: create, leaves: true },
  'gives a name in a bucket of its own': { names: 4, run: create, leaves: true },
  'gives a name to a large object': { names: 0, type: Large, run: create, leaves: true },
  'takes a name away': { names: 1, run: remove, leaves: false },
  'takes a name away from among others': { names: 4, run: remove, leaves: false },
  'takes the name of a large object away': { names: 0, type: Large, run: remove, leaves: false },
}

const small = (): Machine => fresh({ memory: '16 MiB', cpus: 2 })

function prepare({ names, leaves, type = Cell }: Operation): { machine: Machine; victim: Machine } {
  const machine = small()
  const victim = joinAs(machine, 101)
  // What the heap makes once is there.
  victim.objects.create('warm', Cell)
  for (let i = 1; i < names; i++) machine.objects.create(`other ${i}`, Cell)
  if (!leaves) create(machine, type)
  return { machine, victim }
}

/** The numbers of the accesses before which it makes a difference to be killed. */
function pointsOf(operation: Operation): readonly number[] {
  const { victim } = prepare(operation)
  const all = changesOf(accessesOf(() => operation.run(victim, operation.type ?? Cell)))
  return all.filter((_, i) => all.length < 60 || i % 5 === 0 || i > all.length - 40)
}

describe('a thread killed', () => {
  for (const [what, operation] of Object.entries(operations)) {
    it(`while it ${what} has done so, or not`, async () => {
      const type = operation.type ?? Cell
      const outcomes = new Set<boolean>()
      const points = pointsOf(operation)
      for (const at of points) {
        const { machine, victim } = prepare(operation)
        const regions = machine.heap.memblock.report().regions.length
        killForGood(() => operation.run(victim, type), at, victim)
        const isThere = machine.objects.list().some(({ name }) => name === 'a')
        machine.cpus.declareDead(1)
        await settle(machine)
        outcomes.add(isThere)
        assert.equal(
          machine.objects.list().some(({ name }) => name === 'a'),
          isThere,
          `access ${at}`,
        )
        if (isThere) assert.equal(machine.objects.open('a', type).value, 7, `access ${at}`)
        // What has names is not listed. Lists of what is to be freed keep a page each.
        const left = machine.heap.allocations().filter(({ size }) => size !== 4096)
        assert.deepEqual(left, [], `access ${at}`)
        assert.equal(verify(machine).objects.size, 0, `access ${at}`)
        if (type.size > 2 ** 20) {
          const now = machine.heap.memblock.report().regions
          const more = now.length - regions
          const expected = Number(isThere) - Number(!operation.leaves)
          // What is removed stays allocated if the function that would free it is lost.
          const isLost = !isThere && !operation.leaves && more === 0
          assert.ok(more === expected || isLost, `access ${at}: ${more}`)
          assert.ok(now.every(({ owner }) => owner === undefined))
        }
        machine.heap.verify({ quiet: true })
        // The other names are there, and everything goes on.
        const others = [
          'warm',
          ...Array.from({ length: Math.max(0, operation.names - 1) }, (_, i) => `other ${i + 1}`),
        ]
        for (const name of others) assert.equal(machine.objects.open(name, Cell).value, 0, `access ${at}`)
        if (isThere) machine.objects.remove('a')
        create(machine, type)
        assert.equal(machine.objects.open('a', type).value, 7)
        const listed = machine.objects.list().map(({ name }) => name)
        assert.deepEqual(listed.sort(), ['a', ...others].sort(), `access ${at}`)
      }
      assert.deepEqual([...outcomes].sort(), [false, true], `${points.length} points`)
    })
  }
})
