/** The boot allocator, changed by several CPUs at once, and by ones that are killed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { prepare, check } from '../../support/world.js'

describe('two CPUs that change the list of regions', () => {
  it('both have their change, whatever the order', async (test) => {
    const world = await prepare()
    const before = world.used
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => world.joined(cpu).heap.memblock.alloc({ size: 256 }))
      t.cpu(1, (cpu) => world.joined(cpu).heap.memblock.alloc({ size: 512 }))
      t.finally(([first, second]) => {
        assert.notEqual(first, second)
        assert.equal(world.used, before + 768)
      })
    })
  })

  it('also when one of them changes it several times', async (test) => {
    const world = await prepare()
    const before = world.used
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => world.joined(cpu).heap.memblock.alloc({ size: 256 }))
        t.cpu(1, (cpu) => {
          const machine = world.joined(cpu)
          const given = cpu.prepare(() => machine.heap.memblock.alloc({ size: 128 }))
          machine.heap.memblock.free(given)
          machine.heap.memblock.persist(machine.heap.memblock.alloc({ size: 512 }))
        })
        t.finally(() => {
          assert.equal(world.used, before + 768)
          assert.deepEqual(
            world.regions.filter(({ owner }) => owner !== undefined).map(({ size }) => size),
            [256],
          )
        })
      },
      { preemptions: 1 },
    )
  })
})

describe('a reader of the list', () => {
  it('finds it as it was before or after a change', async (test) => {
    const world = await prepare()
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => {
          const machine = world.joined(cpu)
          const own = cpu.prepare(() =>
            ['a', 'b', 'c'].map((label, i) => machine.heap.memblock.alloc({ size: 64 * (i + 1), label })),
          )
          machine.heap.memblock.free(own[0] as number)
          machine.heap.memblock.free(own[1] as number)
          machine.heap.memblock.alloc({ size: 192, label: 'd' })
        })
        t.cpu(1, (cpu) => {
          const { regions } = world.joined(cpu).heap.memblock.report()
          const own = regions.filter(({ label }) => label.length === 1)
          return own.map(({ label, size }) => `${label}${size}`).sort()
        })
        t.finally(([, seen]) => {
          const lists = ['a64,b128,c192', 'b128,c192', 'c192', 'c192,d192']
          assert.ok(lists.includes(String(seen)), `torn: ${String(seen)}`)
        })
      },
      { preemptions: 1 },
    )
  })
})

describe('a CPU killed anywhere in changing the list, while another one changes it', () => {
  for (const operation of ['alloc', 'persist', 'free'] as const) {
    it(`by ${operation}, has changed it or not, and leaves nothing behind`, async (test) => {
      const world = await prepare()
      const before = world.used
      await check(
        world,
        test,
        (t) => {
          t.cpu(0, (cpu) => world.joined(cpu).heap.memblock.alloc({ size: 256 }))
          t.cpu(1, (cpu) => {
            const { memblock } = world.joined(cpu).heap
            if (operation === 'alloc') return memblock.alloc({ size: 4096 })
            const given = cpu.prepare(() => {
              const address = memblock.alloc({ size: 4096 })
              if (operation === 'free') memblock.persist(address)
              return address
            })
            memblock[operation](given)
            return given
          })
          t.kill(1, { reaper: () => world.reap(1) })
          t.finally(([, done]) => {
            const allowed = { alloc: [0, 4096], persist: [0, 4096], free: [0, 4096] }[operation]
            assert.ok(allowed.includes(world.used - before - 256))
            if (operation === 'free' && done !== undefined) assert.equal(world.used, before + 256)
            if (done === undefined) {
              assert.equal(world.table.state(1), 'offline')
              assert.ok(world.regions.every(({ owner }) => owner?.cpu !== 1))
              if (operation === 'alloc') assert.equal(world.used, before + 256)
            }
          })
        },
        { preemptions: 0 },
      )
    })
  }
})
