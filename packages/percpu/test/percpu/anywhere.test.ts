/**
 * Named objects, publications, counting and reaping, with their thread killed before any access to
 * shared memory; and another CPU in the middle of them. What the allocator itself leaves is
 * explored: explore/allocator.test.ts.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  forEachAccess,
  fresh,
  interrupt,
  joinAs,
  killAt,
  killAtAccess,
  Killed,
  mem,
} from '../support/hooked-percpu.js'
import { kinds } from './support/kinds.js'

const UNIT = 4096 * 2
const smp = kinds.filter(({ options }) => options.smp)
const common = { memory: '1 MiB', percpu: { unit: UNIT } } as const

describe('a thread killed before any access', () => {
  for (const { name: kind, options } of smp) {
    it(`of opening a name leaves nothing that nobody can reach (${kind})`, () => {
      const points = forEachAccess((at) => {
        const machine = fresh({ ...common, ...options })
        const cpu = joinAs(machine, 101)
        // What the heap makes once is there.
        cpu.locks.completion('warm')
        const killed = killAt(() => cpu.percpu.i32({ name: 'n' }), at, cpu)
        if (killed) machine.cpus.declareDead(1)
        const { allocations: before } = machine.percpu.report().chunks[0] ?? assert.fail()
        assert.ok(before <= 1)
        machine.percpu.i32({ name: 'n' }).add(5)
        assert.equal(machine.percpu.report().chunks[0]?.allocations, 1, `access ${at}`)
        assert.equal(machine.percpu.i32({ name: 'n' }).local, 5)
        machine.percpu.verify()
        return killed
      })
      assert.ok(points > 30, `only ${points} points`)
    })

    it(`of publishing does not free what somebody else may have seen (${kind})`, () => {
      let seen = 0
      const points = forEachAccess((at) => {
        const machine = fresh({ ...common, ...options })
        const word = machine.heap.memblock.alloc({ size: 4 })
        const into = (): number => mem.loadAtomic32(machine.memory.i32, word / 4)
        const cpu = joinAs(machine, 101)
        const killed = killAt(() => cpu.percpu.alloc(16, { into: word }), at, cpu)
        const before = into()
        if (killed) machine.cpus.declareDead(1)
        // Taken out of the word, which is this thread's again: what was there is allocated, or
        // nothing was.
        mem.storeAtomic32(machine.memory.i32, word / 4, 0)
        if (before !== 0) {
          seen++
          assert.equal(machine.percpu.sizeOf(before), 16, `access ${at}`)
          machine.percpu.free(before)
        }
        machine.percpu.verify()
        assert.equal(machine.percpu.report().chunks[0]?.allocations, 0, `access ${at}`)
        return killed
      })
      assert.ok(points > 15 && seen > 1, `${seen} of ${points} points`)
    })

    it(`right after it published leaves that, whichever chunk it is in (${kind})`, () => {
      const scene = () => {
        const machine = fresh({ ...common, ...options })
        const { percpu } = machine
        const largest = () => percpu.report().chunks[0]?.largestFree ?? assert.fail()
        while (largest() > 0) percpu.alloc(largest())
        const word = machine.heap.memblock.alloc({ size: 4 }) / 4
        const victim = joinAs(machine, 101)
        return { machine, word, victim, publish: () => victim.percpu.alloc(16, { into: word * 4 }) }
      }
      const { word: published, publish: allocate } = scene()
      const accesses: boolean[] = []
      mem.control.before = (name, [, index]) =>
        accesses.push(/^(store|exchange|compare).*32$/.test(name) && index === published)
      allocate()
      mem.control.before = undefined
      const { machine, word, victim, publish } = scene()
      assert.ok(killAtAccess(publish, accesses.lastIndexOf(true) + 1, victim))
      const pointer = mem.loadAtomic32(machine.memory.i32, word)
      machine.cpus.declareDead(1)
      const { index, allocations } = machine.percpu.report().chunks.at(-1) ?? assert.fail()
      assert.ok(index > 0 && allocations === 1)
      assert.equal(machine.percpu.sizeOf(pointer), 16)
      machine.percpu.verify()
    })

    it(`of counting has counted, or not (${kind})`, () => {
      const points = forEachAccess((at) => {
        const machine = fresh({ ...common, ...options })
        const counter = machine.percpu.counter('c', { batch: 4 })
        const cpu = joinAs(machine, 101)
        const own = cpu.percpu.counter('c')
        own.add(3)
        let counted = 3
        const killed = killAt(
          () => {
            own.add(2)
            counted = 5
            own.add(2)
            counted = 7
            own.add(-1)
            counted = 6
          },
          at,
          cpu,
        )
        if (killed) {
          const alive = counter.estimate
          machine.cpus.declareDead(1)
          assert.equal(counter.estimate, counter.sum(), `folded: ${alive}`)
        }
        const after = new Map([
          [3, 5],
          [5, 7],
          [7, 6],
          [6, 6],
        ])
        assert.ok([counted, after.get(counted)].includes(counter.sum()), `access ${at}: ${counter.sum()}`)
        return killed
      })
      assert.ok(points > 10, `only ${points} points`)
    })
  }

  it('of populating the end of a unit leaves the others its beginning', () => {
    const points = forEachAccess((at) => {
      const machine = fresh({ ...common, smp: true, mmu: true })
      const [victim] = [joinAs(machine, 101), joinAs(machine, 102)]
      const chunks = () => machine.percpu.report().chunks
      // All pages of the chunks that boot makes are populated; of the next one, the first now.
      while (chunks().length < 3) machine.percpu.alloc(UNIT / 2)
      const killed = killAt(() => victim.percpu.alloc(UNIT / 2), at, victim)
      if (killed) machine.cpus.declareDead(victim.cpu)
      machine.percpu.free(machine.percpu.alloc(16))
      machine.percpu.verify()
      return killed
    })
    assert.ok(points > 20, `only ${points} points`)
  })

  it('while it changes the mode of a reference count leaves that to the reaper', async () => {
    const machine = fresh({ ...common, cpus: 3 })
    const victim = joinAs(machine, 101)
    const [ref, dying] = [machine.percpu.ref('r'), victim.percpu.ref('r')]
    ref.get()
    dying.get()
    // Its thread ends while it waits for the grace period: that never comes to it.
    mem.control.dead.add(victim.memory.i32)
    const controller = new AbortController()
    const killing = dying.kill({ signal: controller.signal })
    for (let jobs = 0; jobs < 10 && !ref.isAtomic; jobs++) await Promise.resolve()
    assert.ok(ref.isAtomic)
    machine.cpus.declareDead(1)
    ref.put(2)
    await ref.released()
    assert.equal(ref.isDying, true)
    // It would wait for ever, and the process with it.
    controller.abort()
    await Promise.allSettled([killing])
  })

  it('of the trim that it had asked for leaves that to the reaper', async () => {
    const machine = fresh({ ...common, cpus: 3 })
    const victim = joinAs(machine, 101)
    for (const pointer of [1, 2, 3, 4].map(() => victim.percpu.alloc(UNIT))) victim.percpu.free(pointer)
    const views: ReadonlySet<unknown> = new Set([victim.memory.i32, victim.memory.u32])
    mem.control.before = (_name, [view]) => {
      if (views.has(view)) throw new Killed()
    }
    await Promise.resolve()
    mem.control.before = undefined
    assert.equal(machine.percpu.report().chunks.length, 6)
    machine.cpus.declareDead(1)
    await Promise.resolve()
    // One of those that are wholly free is kept, and another one for its pages.
    assert.equal(machine.percpu.report().chunks.length, 4)
  })

  it('with the allocator locked does not hold up the trim of the one who cleans up after it', async () => {
    const machine = fresh({ ...common, cpus: 3 })
    const victim = joinAs(machine, 101)
    for (const pointer of [1, 2, 3, 4].map(() => machine.percpu.alloc(UNIT))) machine.percpu.free(pointer)
    killAtAccess(() => victim.percpu.alloc(64), 40, victim)
    const begun = performance.now()
    await new Promise(setImmediate)
    assert.ok(performance.now() - begun < 1000)
    machine.cpus.declareDead(1)
    // As soon as that is done.
    while (machine.percpu.report().chunks.length === 6) await new Promise((resolve) => setTimeout(resolve, 1))
    machine.percpu.verify()
  })

  it('of reaping leaves the rest to the next reaper', () => {
    const points = forEachAccess((at) => {
      const machine = fresh({ ...common, cpus: 4 })
      const [victim, reaper] = [joinAs(machine, 101), joinAs(machine, 102)]
      machine.percpu.counter('c', { batch: 100 })
      machine.percpu.rwSemaphore('s')
      victim.percpu.counter('c').add(7)
      victim.percpu.rwSemaphore('s').readLock()
      killAtAccess(() => victim.percpu.alloc(64), 60, victim)
      const killed = killAt(() => reaper.cpus.declareDead(1), at, reaper)
      if (killed) {
        machine.cpus.declareDead(2)
        if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
      }
      machine.percpu.verify()
      assert.equal(machine.percpu.counter('c').sum(), 7)
      assert.equal(machine.percpu.counter('c').estimate, 7)
      assert.equal(machine.percpu.rwSemaphore('s').readers, 0)
      return killed
    })
    assert.ok(points > 30, `only ${points} points`)
  })
})

describe('another CPU in the middle', () => {
  it('of an allocation finds the lock taken, and requests that do not wait do not wait for it', () => {
    let refused = 0
    forEachAccess((at) => {
      const machine = fresh({ ...common, cpus: 3 })
      const other = joinAs(machine, 101)
      const pointers: (number | undefined)[] = []
      const done = interrupt(
        () => pointers.push(machine.percpu.alloc(64)),
        at,
        () => pointers.push(other.percpu.alloc(64, { nowait: true })),
      )
      const given = pointers.filter((pointer) => pointer !== undefined)
      if (given.length < pointers.length) refused++
      assert.equal(new Set(given).size, given.length)
      machine.percpu.verify()
      return done
    })
    assert.ok(refused > 10)
  })

  it('of publishing never sees memory that is not clear', () => {
    const points = forEachAccess((at) => {
      const machine = fresh({ ...common, cpus: 3 })
      const stale = machine.percpu.alloc(16)
      for (const cpu of machine.cpus.possible)
        mem.store32(machine.memory.i32, machine.percpu.address(stale, cpu) / 4, 77)
      machine.percpu.free(stale)
      const word = machine.heap.memblock.alloc({ size: 4 })
      return interrupt(
        () => machine.percpu.alloc(16, { into: word }),
        at,
        () => {
          const pointer = mem.loadAtomic32(machine.memory.i32, word / 4)
          if (pointer === 0) return
          for (const cpu of machine.cpus.possible)
            assert.equal(
              mem.load32(machine.memory.i32, machine.percpu.address(pointer, cpu) / 4),
              0,
              `access ${at}`,
            )
        },
      )
    })
    assert.ok(points > 60)
  })
})
