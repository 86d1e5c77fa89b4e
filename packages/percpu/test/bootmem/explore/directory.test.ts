/** Named objects, created by several CPUs at once, and by ones that are killed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem } from 'percpu-lab'
import type { AnyStruct, StructView } from 'percpu'
import { Cell, prepare, check, type World } from '../../support/world.js'
import { codeOf } from '../../support/codes.js'

const { bootObjects } = await import('../support/boot-objects.js')
/** Those of the tests. */
const listed = (world: World) => world.objects.list().filter(({ name }) => !name.startsWith('percpu.'))

/** Fills the object plainly: whoever finds it too early races with this. */
const init = ({ memory, address }: StructView<AnyStruct>) => mem.store32(memory.i32, address / 4, 42)

describe('a name', () => {
  it('is created once, whoever creates it in the middle of whom', async (test) => {
    const world = await prepare()
    const before = world.used
    await check(
      world,
      test,
      (t) => {
        for (const number of [0, 1])
          t.cpu(number, (cpu) => {
            const machine = world.joined(cpu)
            return codeOf(() => bootObjects(machine).create('same', Cell))
          })
        t.finally((codes) => {
          assert.deepEqual([...codes].sort(), ['PERCPU_OBJECT_EXISTS', 'none'])
          assert.equal(listed(world).length, 1)
          assert.equal(world.used, before + 192)
        })
      },
      { preemptions: 1 },
    )
  })

  it('is shown whole or not at all', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => {
        const machine = world.joined(cpu)
        return bootObjects(machine).create('cell', Cell, init).address
      })
      t.cpu(1, (cpu) => {
        const machine = world.joined(cpu)
        let address = 0
        const code = codeOf(() => (address = bootObjects(machine).open('cell', Cell).address))
        return code === 'none' ? [address, mem.load32(machine.memory.i32, address / 4)] : code
      })
      t.finally(([created, opened]) => {
        if (opened !== 'PERCPU_OBJECT_MISSING') assert.deepEqual(opened, [created, 42])
      })
    })
  })

  it('created by a CPU that is killed anywhere is there or not, and the others can go on', async (test) => {
    const world = await prepare()
    const before = world.used
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => {
          const machine = world.joined(cpu)
          const { address } = bootObjects(machine).openOrCreate('cell', Cell, init)
          return mem.load32(machine.memory.i32, address / 4)
        })
        t.cpu(1, (cpu) => {
          const machine = world.joined(cpu)
          codeOf(() => bootObjects(machine).create('cell', Cell, init))
        })
        t.kill(1, { reaper: () => world.reap(1) })
        t.finally(([found]) => {
          assert.equal(found, 42)
          assert.deepEqual(
            listed(world).map(({ name }) => name),
            ['cell'],
          )
          assert.equal(world.used, before + 192)
          assert.ok(world.regions.every(({ owner }) => owner === undefined))
          const { address = 0 } = listed(world)[0] ?? {}
          assert.equal(mem.load32(world.memory.i32, address / 4), 42)
        })
      },
      { preemptions: 0 },
    )
  })
})
