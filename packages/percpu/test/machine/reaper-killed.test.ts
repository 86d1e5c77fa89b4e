/**
 * The thread that cleans up after a dead CPU dies as well, before each of its accesses: whoever cleans up after it finishes
 * the job. And two threads that clean up after the same CPU do it once.
 */
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, interrupt, killAt, percpu } from './support/hooked-percpu.js'

const { boot, join } = percpu
function joinAs(machine: Machine, thread: number): Machine {
  const options = { doorbell: 'waitAsync', thread } as const
  return join(machine.handle, options)
}
const used = (machine: Machine) => machine.memblock.report().used
/** A worker of which the test says when it ended. Its key is its threadId plus one. */
class FakeWorker extends EventEmitter {
  constructor(readonly threadId: number) {
    super()
  }
}
/** CPU 0 (the caller's), 1 (which held memory when it died), and 2, the reaper. */
function three(): { machine: Machine; reaper: Machine; before: number } {
  const machine = boot({ memory: '512 KiB', cpus: 4 })
  const before = used(machine)
  const victim = joinAs(machine, 101)
  const reaper = joinAs(machine, 102)
  victim.memblock.alloc({ size: 4096 })
  return { machine, reaper, before }
}
function assertClean(machine: Machine, before: number): void {
  assert.deepEqual(machine.present, [0])
  assert.deepEqual(
    machine.cpus().map(({ state }) => state),
    ['online', 'offline', 'offline', 'offline'],
  )
  assert.equal(used(machine), before)
  assert.equal(joinAs(machine, 103).cpu, 1)
}

describe('a reaper killed before any access', () => {
  it('leaves nothing that declaring it dead does not finish', () => {
    const points = forEachAccess((at) => {
      const { machine, reaper, before } = three()
      if (!killAt(() => reaper.declareDead(1), at, reaper)) return false
      assert.equal(machine.declareDead(2), true)
      // Before its first write it had not begun: CPU 1 is still there for somebody to declare dead.
      if (machine.present.includes(1)) assert.equal(machine.declareDead(1), true)
      assertClean(machine, before)
      return true
    })
    assert.ok(points > 30, `only ${points} accesses`)
  })

  it('leaves nothing that its own supervisor does not finish, whose exit event comes last', async () => {
    const ends: Promise<void>[] = []
    const points = forEachAccess((at) => {
      const { machine, reaper, before } = three()
      const [victimsWorker, reapersWorker] = [new FakeWorker(100), new FakeWorker(101)]
      reaper.supervise(victimsWorker)
      const { reaped } = machine.supervise(reapersWorker)
      if (!killAt(() => victimsWorker.emit('exit'), at, reaper)) return false
      reapersWorker.emit('exit')
      const unfinished = !machine.present.includes(1)
      if (!unfinished) machine.declareDead(1)
      assertClean(machine, before)
      ends.push(
        reaped.then((cpus) =>
          assert.ok(cpus.includes(2), `reaped ${cpus.join()}, killed before access ${at}`),
        ),
      )
      return true
    })
    assert.ok(points > 30)
    await Promise.all(ends)
  })

  it('is followed by a third one when the second dies, too', () => {
    const points = forEachAccess((at) => {
      const { machine, reaper, before } = three()
      const second = joinAs(machine, 104)
      assert.equal(
        killAt(() => reaper.declareDead(1), 12, reaper),
        true,
      )
      if (!killAt(() => second.declareDead(2), at, second)) return false
      assert.equal(machine.declareDead(3), true)
      if (machine.present.includes(2)) assert.equal(machine.declareDead(2), true)
      assertClean(machine, before)
      return true
    })
    assert.ok(points > 60, `only ${points} accesses`)
  })

  it('says nothing of the death of a stay that had ended in good order before', () => {
    // The next thread ends right after it has claimed the number, and whoever cleans up after it is killed as well.
    const points = forEachAccess((at) => {
      const { machine, reaper } = three()
      assert.equal(machine.declareDead(1), true)
      const deaths: string[] = []
      machine.addHotplug({ name: 'note', dead: (cpu, incarnation) => deaths.push(`${cpu}.${incarnation}`) })
      reaper.addHotplug({ name: 'note', dead: (cpu, incarnation) => deaths.push(`${cpu}.${incarnation}`) })
      const hasClaimed = (point: number) =>
        killAt(() => joinAs(machine, 200 + point), point) && machine.present.includes(1)
      for (let point = 0; !hasClaimed(point); point++);
      assert.equal(machine.cpus()[1]?.state, 'offline')
      if (!killAt(() => reaper.declareDead(1), at, reaper)) return false
      assert.equal(machine.declareDead(2), true)
      if (machine.present.includes(1)) assert.equal(machine.declareDead(1), true)
      assert.deepEqual(deaths, ['2.1'])
      assert.deepEqual(machine.present, [0])
      return true
    })
    assert.ok(points > 20, `only ${points} accesses`)
  })

  it('that is no CPU any more is replaced when it is said to have stopped', () => {
    const { machine, reaper, before } = three()
    killAt(() => reaper.declareDead(1), 12, reaper)
    assert.equal(machine.cpus()[1]?.state, 'dead')
    assert.equal(machine.declareDead(1), false)
    assert.equal(machine.declareDead(1, { reaperStopped: true }), true)
    assertClean(machine, before)
  })
})

describe('two supervisors of one worker', () => {
  it('clean up once, whichever comes in the middle of the other', () => {
    const points = forEachAccess((at) => {
      const { machine, reaper, before } = three()
      const runs: string[] = []
      machine.addHotplug({ name: 'count', dead: (cpu) => runs.push(`0 after ${cpu}`) })
      reaper.addHotplug({ name: 'count', dead: (cpu) => runs.push(`2 after ${cpu}`) })
      const results: boolean[] = []
      const done = interrupt(
        () => results.push(reaper.declareDead(1)),
        at,
        () => results.push(machine.declareDead(1)),
      )
      if (!done) return false
      assert.equal(results.filter(Boolean).length, 1, `before access ${at}`)
      assert.equal(runs.length, 1)
      assert.equal(machine.declareDead(2), true)
      assertClean(machine, before)
      return true
    })
    assert.ok(points > 30)
  })
})
