/**
 * CPUs that use everything a machine has, in any order, each of which may be killed anywhere: too
 * large to be explored completely.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type CpuContext } from 'percpu-lab'
import type { Machine } from 'percpu'
import { Cell, check, prepare } from '../../support/world.js'

const operations: readonly ((machine: Machine) => unknown)[] = [
  (machine) => machine.heap.memblock.free(machine.heap.memblock.alloc({ size: 256 })),
  (machine) => machine.heap.memblock.alloc({ size: 128 }),
  (machine) => {
    const { address } = machine.objects.open('cell', Cell)
    mem.addAtomic32(machine.memory.i32, address / 4, 1)
  },
  (machine) => machine.rcu.synchronize(),
  (machine) => machine.cpus.call(machine.online, 'work'),
  (machine) => machine.cpus.deaf(() => machine.run('crunch', () => undefined)),
  (machine) => machine.poll(),
]

describe('a machine of three CPUs', () => {
  it('loses nothing, whoever is killed where', async (test) => {
    const world = await prepare({ cpus: 3 }, (machine) => void machine.objects.create('cell', Cell))
    const before = world.used
    await check(
      world,
      test,
      (t) => {
        for (const number of [0, 1, 2]) {
          t.cpu(number, async (cpu: CpuContext) => {
            const machine = world.joined(cpu)
            machine.cpus.registerFunction('work', () => undefined)
            for (let i = 0; i < 3; i++) await operations[cpu.choose(operations.length)]?.(machine)
            await machine.offline()
          })
          t.kill(number, { reaper: () => world.reap(number) })
        }
        t.finally(() => {
          assert.deepEqual(world.states(), ['offline', 'offline', 'offline'])
          assert.ok(world.table.select((cpu) => world.table.thread(cpu) !== 0).length === 0)
          assert.equal(world.used, before)
          assert.ok(world.regions.every(({ owner }) => owner === undefined))
        })
      },
      {
        mode: 'pct',
        executions: Number(process.env['PERCPU_EXECUTIONS'] ?? 150),
        seed: Number(process.env['PERCPU_SEED'] ?? 1),
      },
    )
  })
})
