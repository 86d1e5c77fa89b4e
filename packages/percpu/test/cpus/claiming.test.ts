/** A thread that is killed while it claims a number, joins, or fails to join: no number is lost. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JoinOptions, Machine } from 'percpu'
import {
  forEachAccess,
  forEachAccessAsync,
  fresh,
  Injected,
  interrupt,
  joinAs,
  killAt,
  throwAt,
} from '../support/hooked-percpu.js'
import { insideOf } from '../support/inside.js'

const child = { parent: 101 } as JoinOptions
const otherChild = { parent: 103 } as JoinOptions

/** Ends thread 101, by its CPU's number, as its supervisor does when it hears of it. */
function endParent(machine: Machine, parent: Machine): void {
  assert.equal(machine.cpus.declareDead(parent.cpu), true)
}

describe('a thread that joins, whose parent ends with it', () => {
  it('loses no number, wherever it was killed', () => {
    const points = forEachAccess((at) => {
      const machine = fresh()
      const parent = joinAs(machine, 101)
      const killed = killAt(() => joinAs(machine, 102, child), at)
      endParent(machine, parent)
      assert.deepEqual(machine.cpus.present, [0], `access ${at}`)
      for (const thread of [103, 104, 105]) joinAs(machine, thread)
      return killed
    })
    assert.ok(points > 100, `only ${points} accesses`)
  })

  it('claims another number, if it lives and a reaper has taken the one that it was claiming', () => {
    let taken = 0
    forEachAccess((at) => {
      const machine = fresh()
      const other = joinAs(machine, 103)
      const parent = joinAs(machine, 101)
      let cpu: Machine | undefined
      const done = interrupt(
        () => (cpu = joinAs(machine, 102, otherChild)),
        at,
        () => endParent(machine, parent),
      )
      if (cpu === undefined) throw new Error('it has not joined')
      if (done && cpu.cpu !== 3) taken++
      const { table } = insideOf(machine.memory)
      assert.equal(table.thread(cpu.cpu), 102, `access ${at}`)
      assert.equal(table.parent(cpu.cpu), 103, `access ${at}`)
      assert.deepEqual(machine.online, [0, other.cpu, cpu.cpu].sort(), `access ${at}`)
      return done && at < 40
    })
    assert.ok(taken > 1)
  })

  it('claims another number, too, if the reaper looked before its parent was written', () => {
    const reaper = 77
    let taken = 0
    forEachAccess((at) => {
      const machine = fresh()
      const { table } = insideOf(machine.memory)
      joinAs(machine, 103)
      let cpu: Machine | undefined
      let lost = false as boolean
      const done = interrupt(
        () => (cpu = joinAs(machine, 102, otherChild)),
        at,
        () => {
          const child = table.thread(2)
          lost = table.isClaiming(child) && table.takeOver(2, child, reaper)
        },
      )
      if (cpu === undefined) throw new Error('it has not joined')
      assert.equal(table.thread(2), lost ? -reaper : 102, `access ${at}`)
      assert.deepEqual([cpu.cpu, table.parent(cpu.cpu)], [lost ? 3 : 2, 103], `access ${at}`)
      if (lost) taken++
      return done && at < 40
    })
    assert.ok(taken > 1)
  })

  it('writes no parent for another one, which has the number that it has lost', () => {
    let passed = 0
    forEachAccess((at) => {
      const machine = fresh({ cpus: 6 })
      const parent = joinAs(machine, 101)
      const otherParent = joinAs(machine, 103)
      let next: Machine | undefined
      let late: Machine | undefined
      const done = interrupt(
        () => (late = joinAs(machine, 102, child)),
        at,
        () => {
          // Somebody else ends: its reaper takes numbers whose parent is not written, too.
          endParent(machine, joinAs(machine, 104))
          next = joinAs(machine, 105, otherChild)
        },
      )
      const { table } = insideOf(machine.memory)
      if (next?.cpu === 3) passed++
      for (const [cpu, thread, own] of [
        [late, 102, 101],
        [next, 105, 103],
      ] as const) {
        if (cpu === undefined) continue
        assert.equal(table.thread(cpu.cpu), thread, `access ${at}`)
        assert.equal(table.parent(cpu.cpu), own, `access ${at}`)
      }
      endParent(machine, parent)
      if (next) assert.ok(machine.online.includes(next.cpu), `access ${at}: reaped with a stranger`)
      endParent(machine, otherParent)
      return done && at < 40
    })
    assert.ok(passed > 0)
  })
})

describe('a join that fails', () => {
  it('at whichever access leaves the number free, and holds up no grace period', async () => {
    const points = await forEachAccessAsync(async (at) => {
      const machine = fresh()
      const thrown = throwAt(() => joinAs(machine, 101), at)
      if (thrown === 'past') return false
      assert.ok(thrown instanceof Injected, `access ${at}: ${String(thrown)}`)
      // There nothing throws that changes something before: it makes sure of the stack first.
      if (/new OwnCpu/.test(thrown.stack ?? '')) return true
      assert.deepEqual(machine.cpus.present, [0], `access ${at}`)
      await machine.rcu.synchronize({ timeout: 10_000 })
      const next = joinAs(machine, 102)
      assert.equal(next.cpu, 1)
      next.heap.free(next.heap.alloc(64))
      machine.heap.verify({ quiet: true })
      await next.offline()
      return true
    })
    assert.ok(points > 100, `only ${points} accesses`)
  })
})
