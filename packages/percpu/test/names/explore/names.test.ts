/** Names, given and taken away by several CPUs at once, and by ones that are killed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem } from 'percpu-lab'
import type { AnyStruct, Machine, StructView } from 'percpu'
import { Cell, check, prepare, type World } from '../../support/world.js'
import { codeOf } from '../../support/codes.js'

/** Fills the object plainly: whoever finds it too early races with this. */
const init = ({ memory, address }: StructView<AnyStruct>): void => mem.store32(memory.i32, address / 4, 42)

/** A heap in use, so that nobody has to make its caches. */
const warm = (machine: Machine): void => {
  machine.objects.create('warm', Cell)
  machine.heap.trim()
}
const namesOf = (world: World): string[] => [...world.names.each('object')].map(({ name }) => name).sort()

describe('a name', () => {
  it('is shown whole or not at all', async (test) => {
    const world = await prepare({ memory: '1 MiB' }, warm)
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => {
        const machine = world.joined(cpu)
        cpu.prepare(() => machine.heap.free(machine.heap.alloc(128, { align: 64 })))
        return machine.objects.create('cell', Cell, init).address
      })
      t.cpu(1, (cpu) => {
        const machine = world.joined(cpu)
        let address = 0
        const code = codeOf(() => (address = machine.objects.open('cell', Cell).address))
        return code === 'none' ? [address, mem.load32(machine.memory.i32, address / 4)] : code
      })
      t.finally(([created, opened]) => {
        if (opened !== 'PERCPU_OBJECT_MISSING') assert.deepEqual(opened, [created, 42])
        assert.deepEqual(namesOf(world), ['cell', 'warm'])
      })
    })
  })

  it('that is taken away in the middle of a search is found whole, or not', async (test) => {
    const world = await prepare({ memory: '1 MiB' }, (machine) => {
      warm(machine)
      machine.objects.create('cell', Cell, init)
    })
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => {
          const machine = world.joined(cpu)
          machine.objects.remove('cell')
        })
        t.cpu(1, (cpu) => {
          const machine = world.joined(cpu)
          let found = 0
          const code = codeOf(
            () => (found = mem.load32(machine.memory.i32, machine.objects.open('cell', Cell).address / 4)),
          )
          return code === 'none' ? found : code
        })
        t.finally(([, found]) => {
          assert.ok(found === 42 || found === 'PERCPU_OBJECT_MISSING', String(found))
          assert.deepEqual(namesOf(world), ['warm'])
        })
      },
      { preemptions: 2 },
    )
  })
})
