/** VPAs: what watchers read in the middle of it, and what a CPU that is killed anywhere leaves. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu } from 'percpu-lab'
import type { Memory } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'

const { DispatchLog, readDispatchLog, WORK } = await import('../../../dist/watch/dispatch-log.js')
const { Heartbeat } = await import('../../../dist/watch/heartbeat.js')
const { OwnVpa } = await import('../../../dist/watch/vpa.js')
const { CpuWatch } = await import('../../../dist/watch/vpa-layout.js')
const { struct, published, i32 } = percpu
const Data = struct('Data', { data: published(i32) })

/** Writes entries to the log of CPU 1, each of which says everywhere how manieth it is. */
function writer(world: World, memory: Memory) {
  const { vpa, log } = world.vpas.areas(1) ?? assert.fail()
  const own = new DispatchLog(memory, log, vpa, world.watch.record(1), 1)
  let entries = 0
  return (count: number) => {
    for (const end = entries + count; entries < end; entries++) own.write(WORK, 0, entries, entries, entries)
  }
}
/** The numbers of the entries that CPU 1's log shows; each must be whole. */
function numbers(world: World, memory: Memory): number[] {
  const { log } = world.vpas.areas(1) ?? assert.fail()
  return readDispatchLog(memory, log, world.watch.record(1)).entries.map(
    ({ kind, cpu, at, duration, subject }) => {
      assert.deepEqual([kind, cpu, at, duration], ['work', 1, subject, subject], 'a torn entry')
      return subject
    },
  )
}
function assertConsecutive(seen: readonly number[], counts: readonly number[]): void {
  const [first = 0] = seen
  assert.deepEqual(
    seen,
    seen.map((_, i) => first + i),
  )
  if (seen.length === 0) return
  assert.ok(
    counts.includes((seen.at(-1) ?? -1) + 1),
    `the last entry is ${seen.at(-1)}, not one of ${counts.join()}`,
  )
}

describe('a dispatch log', () => {
  for (const [before, more] of [
    [0, 2],
    [3, 2],
    [83, 2],
    [85, 2],
    [200, 2],
    [100, 86],
  ] as const) {
    for (const killed of more > 2 ? [false] : [false, true]) {
      it(`of ${before} entries is read whole while ${more} more are written${killed ? ' by a CPU that is killed' : ''}`, async (test) => {
        const world = await prepare()
        await check(
          world,
          test,
          (t) => {
            t.cpu(0, () => numbers(world, world.memory))
            t.cpu(1, (cpu) => {
              const write = cpu.prepare(() => {
                const write = writer(world, world.memory)
                write(before)
                return write
              })
              write(more)
            })
            if (killed) t.kill(1)
            const counts = Array.from({ length: more + 1 }, (_, i) => before + i)
            t.finally(([seen]) => {
              assertConsecutive(seen as number[], counts)
              assert.ok((seen as number[]).length >= Math.min(before, 84 - more))
              const left = numbers(world, world.memory)
              assertConsecutive(left, killed ? counts : [before + more])
              assert.equal(left.length, Math.min(84, (left.at(-1) ?? -1) + 1))
            })
          },
          more > 2 ? { preemptions: 2 } : {},
        )
      })
    }
  }
})

describe('labels', () => {
  it('of a CPU that is killed anywhere in adding one are whole, and take no place otherwise', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => {
        const machine = world.joined(cpu)
        cpu.prepare(() => machine.run('known', () => undefined))
        machine.run('a new one', () => undefined)
      })
      t.kill(0, {
        reaper: () => {
          world.reap(0)
          const next = world.join(3)
          const look = () => world.inspector.cpu(0).work?.label
          for (const name of ['known', 'a new one', 'another'])
            next.run(name, () => assert.equal(look(), name))
          const { labels } = CpuWatch.words
          const count = mem.loadAtomic32(world.memory.i32, world.watch.record(0) + labels)
          assert.equal(count, 3)
        },
      })
    })
  })

  it('name the work that is under way, whenever one looks and wherever it is killed', async (test) => {
    const world = await prepare()
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => {
          const machine = world.joined(cpu)
          machine.run('outer', () => machine.run('inner', () => undefined))
        })
        t.cpu(1, () => world.inspector.cpu(0).work?.label)
        t.kill(0)
        t.finally(([, seen]) => {
          for (const label of [seen, world.inspector.cpu(0).work?.label])
            assert.ok([undefined, 'outer', 'inner'].includes(label as string))
          assert.ok(world.vpas.find(0), 'a crash unregistered the VPA')
        })
      },
      { preemptions: 1 },
    )
  })
})

describe('a registration', () => {
  it('is seen whole in the middle of joining, also after a crash', async (test) => {
    const world = await prepare({ cpus: 2 }, (machine, world) => {
      const victim = world.join(5)
      victim.cpus.deaf(() => undefined)
      victim.run('left over', () => machine.cpus.declareDead(1))
      world.join(5)
      machine.cpus.declareDead(1)
    })
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => void world.join(cpu.number))
      t.cpu(1, () => {
        const found = world.vpas.find(0)
        if (found === undefined) return
        const area = percpu.Vpa.at(world.memory, found.vpa)
        assert.equal(area.desc, 0xd397d781)
        assert.equal(area.size, 1024)
        const { yieldCount, dispatches, work } = world.inspector.cpu(0)
        assert.deepEqual([yieldCount, dispatches, work], [0, [], undefined])
      })
    })
  })

  it('of the log never outlasts that of the VPA, in coming and leaving', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      t.cpu(0, async (cpu) => {
        await world.join(cpu.number).offline()
      })
      t.invariant(() => {
        const watch = percpuWatch(world)
        assert.ok(watch.log.load() === 0n || watch.vpa.load() !== 0n)
      })
    })
  })

  it('of CPUs given up by a thread that is killed half-way is finished by calling again', async (test) => {
    const world = await prepare({ cpus: 4 })
    const before = world.regions.length
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => world.joined(cpu).cpus.limit(2))
      t.kill(0, {
        reaper: (cpu) => {
          const machine = cpu.prepare(() => world.join(3))
          world.reap(0)
          machine.cpus.limit(2)
        },
      })
      t.finally(() => {
        assert.deepEqual(
          world.table.select((cpu) => world.table.isPossible(cpu)),
          [0, 1],
        )
        assert.equal(world.regions.length, before - 4)
      })
    })
  })
})

describe('a sign of life', () => {
  it('tells that what the CPU wrote before is there', async (test) => {
    const world = await prepare()
    await check(world, test, (t) => {
      const shared = t.memory(Data, 'shared')
      const { i32 } = world.memory
      const { ping, pong } = CpuWatch.words
      const watch = world.watch.record(1)
      t.cpu(0, () => {
        const asked = mem.addAtomic32(i32, watch + ping, 1) + 1
        mem.awaitUntil(() => mem.loadAtomic32(i32, watch + pong) === asked)
        return shared.data
      })
      t.cpu(1, (cpu) => {
        const heartbeat = cpu.prepare(() => {
          const areas = world.vpas.areas(1) ?? assert.fail()
          const own = new OwnVpa({ memory: world.memory, cpu: 1, node: 0, watch, ...areas })
          return new Heartbeat(world.table, watch, own)
        })
        mem.awaitUntil(() => mem.loadAtomic32(i32, watch + ping) !== 0)
        shared.data = 1
        heartbeat.answer()
      })
      t.finally(([data]) => assert.equal(data, 1))
    })
  })
})

function percpuWatch(world: World) {
  return world.at(CpuWatch, world.watch.record(0) * 4)
}
