/**
 * What a name owns is freed with its name only: no other door takes its address, its pointer, or an
 * object of its own that was opened by that pointer.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { loadAtomic32 } from 'percpu/mem'
import { codeOf, throwsCode } from '../support/codes.js'
import { fresh, joinAs, killAt, percpu as library } from '../support/hooked-percpu.js'
import { Cell, inUse, kinds, settle } from './support.js'

const { NamesMap } = await import('../../dist/names/names-map.js')
const { NameTables } = await import('../../dist/names/names.js')
const { insideOf } = await import('../support/inside.js')
const { SrcuLayout } = await import('../../dist/rcu/srcu-layouts.js')
const { array, PercpuError, struct, u32 } = library
const Large = struct('Large', { all: array(u32, 2 ** 20 + 2) })

/** Everything that frees, or gives to somebody else. */
const doors: Readonly<Record<string, (machine: Machine, address: number) => unknown>> = {
  'heap.free': ({ heap }, address) => heap.free(address),
  'heap.persist': ({ heap }, address) => heap.persist(address),
  'heap.adopt': ({ heap }, address) => heap.adopt(address),
  'cache.free': ({ heap }, address) => heap.cache('cells', Cell).free(address),
  'pages.free': ({ heap }, address) => heap.pages.free(address, 0),
  'memblock.free': ({ heap }, address) => heap.memblock.free(address),
  'rcu.free': ({ rcu }, address) => void rcu.free(address),
  'rcu.freeBlocking': ({ rcu }, address) => rcu.freeBlocking(address),
  'srcu.free': (machine, address) => void machine.srcu('other').free(address),
}
const pointerDoors: Readonly<Record<string, (machine: Machine, pointer: number) => unknown>> = {
  'percpu.free': ({ percpu }, pointer) => percpu.free(pointer),
  'an object at the pointer': ({ percpu }, pointer) => percpu.at(pointer, Cell).free(),
  'rcu.free': ({ rcu }, pointer) => void rcu.free({ pointer }),
  'rcu.free of an object': ({ rcu, percpu }, pointer) => void rcu.free(percpu.at(pointer, Cell)),
  'rcu.freeBlocking': ({ rcu }, pointer) => rcu.freeBlocking({ pointer }),
  'srcu.free': (machine, pointer) => void machine.srcu('other').free({ pointer }),
}

/** The pointers that lie in words that names have: what an inquisitive user could find. */
function pointersIn(machine: Machine): readonly number[] {
  const { memory } = machine
  const names = new NameTables(
    memory,
    NamesMap.open(insideOf(memory).objects, machine.cpus.possible.length),
    () => assert.fail(),
  )
  const spaces = ['percpu', 'counter', 'ref', 'rwSemaphore', 'srcu'] as const
  const addresses = spaces.flatMap((space) => [...names.each(space)].map(({ address }) => address))
  return addresses.map((address) => loadAtomic32(memory.i32, address / 4))
}

/** A machine where all that the doors make once is there. */
async function warm(options: object = {}): Promise<Machine> {
  const machine = fresh({ cpus: 3, ...options })
  void machine.srcu('other').free(machine.heap.alloc(64))
  machine.heap.cache('cells', Cell).free(machine.heap.cache('cells', Cell).create().address)
  await machine.srcu('other').barrier()
  await settle(machine)
  return machine
}

describe('what a name owns', () => {
  for (const [kind, { make, end }] of Object.entries(kinds))
    it(`is not freed by its address: ${kind}`, async () => {
      const machine = await warm()
      const made = make(machine, 'mine')
      const before = inUse(machine)
      const isPointer = kind === 'per-CPU object'
      for (const [door, free] of Object.entries(doors)) {
        if (typeof made !== 'number' || isPointer) continue
        assert.throws(() => free(machine, made), PercpuError, door)
      }
      for (const pointer of pointersIn(machine))
        for (const [door, free] of Object.entries(pointerDoors)) {
          const code = codeOf(() => free(machine, pointer))
          assert.equal(code, 'PERCPU_NAMED_MEMORY', `${door} of ${pointer}`)
        }
      assert.deepEqual(inUse(machine), before)
      await end(machine, 'mine')
      await settle(machine)
    })

  it('is not freed by its address: an object larger than the largest of the heap', async () => {
    const machine = await warm({ memory: '16 MiB' })
    const { address } = machine.objects.create('large', Large)
    for (const [door, free] of Object.entries(doors))
      assert.throws(() => free(machine, address), PercpuError, door)
    assert.equal(machine.objects.open('large', Large).address, address)
  })

  it('is not freed a second time while it waits for its grace period', async () => {
    const machine = fresh({ cpus: 3 })
    const { pointer } = machine.percpu.i32({ name: 'mine' })
    machine.percpu.remove('object', 'mine')
    throwsCode(() => machine.percpu.free(pointer), 'PERCPU_NAMED_MEMORY')
    throwsCode(() => void machine.rcu.free({ pointer }), 'PERCPU_NAMED_MEMORY')
    await settle(machine)
    throwsCode(() => machine.percpu.free(pointer), 'PERCPU_POINTER')
    // What is allocated there next is its user's alone.
    const next = machine.percpu.alloc(4)
    assert.equal(next, pointer)
    machine.percpu.free(next)
    machine.percpu.verify()
  })

  it('is not freed in the place of an SRCU domain in a struct', async () => {
    const machine = fresh({ cpus: 3 })
    const before = inUse(machine)
    const address = machine.heap.alloc(SrcuLayout.size, { zero: true, align: 64 })
    const domain = machine.initSrcu(address)
    const pointer = loadAtomic32(machine.memory.i32, address / 4)
    for (const [door, free] of Object.entries(pointerDoors).filter(([door]) => door !== 'srcu.free'))
      assert.equal(
        codeOf(() => free(machine, pointer)),
        'PERCPU_NAMED_MEMORY',
        door,
      )
    await domain.cleanup()
    machine.heap.free(address)
    assert.equal(inUse(machine).copies, before.copies)
  })

  it('leaves no trace if its thread is killed while it is made', () => {
    let points = 0
    for (let at = 0; ; at++) {
      const machine = fresh({ cpus: 3, memory: '2 MiB' })
      const victim = joinAs(machine, 101)
      victim.percpu.i32({ name: 'warm' })
      const killed = killAt(() => victim.percpu.i32({ name: 'mine' }), at, victim)
      if (killed) machine.cpus.declareDead(victim.cpu)
      // Where it was about to be, bare memory can be freed.
      const bare = machine.percpu.alloc(4)
      machine.percpu.free(bare)
      const { pointer } = machine.percpu.i32({ name: 'mine' })
      throwsCode(() => machine.percpu.free(pointer), 'PERCPU_NAMED_MEMORY')
      machine.percpu.verify()
      if (!killed) break
      points++
    }
    assert.ok(points > 30, `only ${points} points`)
  })
})
