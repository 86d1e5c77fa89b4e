/**
 * Rings: none is lost, whether the CPU that is rung answers, polls, sleeps or sits in its event
 * loop.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu } from 'percpu-lab'
import { check, prepare } from '../../support/world.js'

const { Cpu: percpuCpu } = await import('../../../dist/machine/layouts.js')
const { Deadline } = await import('../../../dist/machine/wait-options.js')
const { struct, atomic, published, i32 } = percpu
const Words = struct('Words', { data: published(i32), done: atomic(i32), asleep: atomic(i32) })

describe('a ring', () => {
  it('reaches a CPU in its event loop, with what was written before', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      const words = t.memory(Words, 'words')
      t.cpu(0, (cpu) => {
        const bare = world.bare(cpu)
        words.data = 1
        bare.ring(1)
      })
      t.cpu(1, async (cpu) => {
        const bare = world.bare(cpu)
        const rung = bare.rung()
        // At any time before, after, or in the middle.
        bare.doorbell.answer()
        await rung
        return words.data
      })
      t.finally(([, data]) => assert.equal(data, 1))
    })
  })

  it('is not slept over by a CPU that waits for it', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      const words = t.memory(Words, 'words')
      t.cpu(0, (cpu) => {
        const bare = world.bare(cpu)
        words.data = 1
        bare.ring(1)
      })
      t.cpu(1, (cpu) => {
        const bare = world.bare(cpu)
        let heard = false
        void bare.rung().then(() => undefined)
        bare.doorbell.on(1 << 8, () => (heard = true))
        assert.equal(
          bare.idle.sleepUntil(() => heard, new Deadline(), true),
          true,
        )
        return words.data
      })
      t.finally(([, data]) => assert.equal(data, 1))
    })
  })

  it('is answered by whoever polls after it', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      const words = t.memory(Words, 'words')
      t.cpu(0, (cpu) => {
        const bare = world.bare(cpu)
        bare.ring(1)
        words.done.store(1)
      })
      t.cpu(1, (cpu) => {
        const bare = world.bare(cpu)
        const poll = cpu.prepare(() => bare.doorbell.makePoll())
        let heard = 0
        bare.doorbell.on(1 << 8, () => heard++)
        poll()
        poll()
        mem.awaitUntil(() => words.done.load() === 1)
        poll()
        return heard
      })
      t.finally(([, heard]) => assert.equal(heard, 1))
    })
  })

  it('of two CPUs is answered for both', async (test) => {
    const world = await prepare({ cpus: 3 })
    await check(world, test, (t) => {
      t.cpu(0, async (cpu) => {
        const bare = world.bare(cpu)
        let count = 0
        await new Promise<void>((resolve) => {
          for (const reason of [1 << 8, 1 << 9]) bare.doorbell.on(reason, () => ++count === 2 && resolve())
        })
        return count
      })
      for (const number of [1, 2])
        t.cpu(number, (cpu) => world.bare(cpu).doorbell.ringer.ring(0, 1 << (7 + number)))
      t.finally(([count]) => assert.equal(count, 2))
    })
  })
})

describe('a CPU that parks', () => {
  it('is woken by a ring, answers it, and is idle exactly while it sleeps', async (test) => {
    const world = await prepare()
    const word = world.memblock.alloc({ size: 4 }) / 4
    const activities = new Set<string>()
    await check(
      world,
      test,
      (t) => {
        const words = t.memory(Words, 'words')
        t.cpu(0, (cpu) => {
          const machine = world.joined(cpu)
          const before = machine.watch.inspect().cpus[1]
          machine.cpus.ring(1, 0)
          words.done.store(1)
          return [before?.activity, before?.yieldCount]
        })
        t.cpu(1, (cpu) => {
          const machine = world.joined(cpu)
          let heard = 0
          machine.cpus.onRing(0, () => heard++)
          machine.cpus.park(word * 4, 0, 40)
          mem.awaitUntil(() => words.done.load() === 1)
          machine.poll()
          return heard
        })
        t.finally(([seen, heard]) => {
          const [activity] = seen as [string]
          activities.add(activity)
          assert.equal(heard, 1)
          const record = world.table.record(1)
          const { i32 } = world.memory
          const { words: at } = percpuCpu
          assert.equal(mem.loadAtomic32(i32, record + at.idle) & 1, 0)
          assert.equal(mem.loadAtomic32(i32, record + at.parkedOn), -1)
          const { yieldCount } = world.inspector.cpu(1)
          assert.equal(yieldCount, mem.loadAtomic32(i32, record + at.idle))
        })
      },
      { preemptions: 1 },
    )
    assert.deepEqual([...activities].sort(), ['live', 'parked'])
  })

  it('and is killed anywhere has an odd yield count if it was asleep', async (test) => {
    const world = await prepare()
    const word = world.memblock.alloc({ size: 4 }) / 4
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => {
        const machine = world.joined(cpu)
        machine.cpus.park(word * 4, 0, 40)
      })
      t.kill(0)
      t.finally(() => {
        const { activity, yieldCount = 0 } = world.inspector.cpu(0)
        const idle = mem.loadAtomic32(world.memory.i32, world.table.record(0) + percpuCpu.words.idle)
        assert.equal(activity, idle % 2 === 1 ? 'parked' : 'live')
        // The VPA's count follows the word that decides.
        assert.ok(idle - yieldCount === 0 || idle - yieldCount === 1, `${idle} and ${yieldCount}`)
      })
    })
  })
})
