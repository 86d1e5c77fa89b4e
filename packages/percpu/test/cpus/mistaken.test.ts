/** A thread that was declared dead by mistake, and goes on: it finds out, and does no more harm. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { Machine } from 'percpu'
import { codeOf, rejectsCode, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'

/** An option that users do not have. */
const startedBy101: object = { parent: 101 }

/** A machine, and a CPU of it that others take for dead. */
function mistaken(prepare: (cpu: Machine, machine: Machine) => void): [machine: Machine, cpu: Machine] {
  const machine = fresh()
  const cpu = joinAs(machine, 101)
  prepare(cpu, machine)
  assert.equal(machine.cpus.declareDead(1), true)
  return [machine, cpu]
}

describe('a thread that was declared dead by mistake', () => {
  it('keeps no writer out with the read locks that its reaper has given back', async () => {
    let unlock: (() => void) | undefined
    let tryLock: (() => unknown) | undefined
    for (const isSlow of [false, true]) {
      const [machine] = mistaken((other, { percpu }) => {
        assert.ok(percpu.rwSemaphore('r'))
        const rwsem = other.percpu.rwSemaphore('r')
        const guard = rwsem.readLock()
        unlock = () => guard.unlock()
        tryLock = () => rwsem.tryReadLock()
      })
      const lock = machine.percpu.rwSemaphore('r')
      if (isSlow) (await lock.writeLock({ timeout: 5000 })).unlock()
      const next = joinAs(machine, 102)
      const theirs = next.percpu.rwSemaphore('r').readLock()
      // As it has heard its bell by then, or not.
      assert.match(
        codeOf(() => unlock?.()),
        /^PERCPU_(OFFLINE|NOT_OWNER)$/,
      )
      assert.equal(lock.readers, 1)
      await rejectsCode(lock.writeLock({ timeout: 5 }), 'PERCPU_LOCK_TIMEOUT')
      throwsCode(() => tryLock?.(), 'PERCPU_OFFLINE', /declared/)
      theirs.unlock()
      ;(await lock.writeLock({ timeout: 5000 })).unlock()
    }
  })

  it("does not give back a number that is another's by then", () => {
    const machine = fresh({ cpus: 4 })
    const reaper = joinAs(machine, 101)
    const victim = joinAs(machine, 102)
    const { cpu } = victim
    const next: Machine[] = []
    reaper.cpus.addHotplug({
      name: 'mine',
      // While its users are told, it is taken for dead, and its reaper finishes what it began.
      dead: () => {
        machine.cpus.declareDead(reaper.cpu)
        next.push(joinAs(machine, 103), joinAs(machine, 104))
      },
    })
    reaper.cpus.declareDead(cpu)
    assert.deepEqual(next.map((each) => each.cpu).sort(), [reaper.cpu, cpu].sort())
    assert.deepEqual(machine.cpus.present, [0, 1, 2])
    for (const { cpu: mine } of next) assert.equal(machine.cpus.states()[mine]?.state, 'online')
    // Nobody else gets it.
    assert.equal(joinAs(machine, 105).cpu, 3)
  })

  it('ends its waits, and goes offline', async () => {
    const waits: Promise<unknown>[] = []
    const offline: number[] = []
    const torn: string[] = []
    const [machine, cpu] = mistaken((other, { locks }) => {
      locks.mutex('m').lock()
      waits.push(other.locks.mutex('m').lockAsync(), other.locks.completion('c').waitAsync())
      other.on('offline', (event) => offline.push(event.cpu))
      other.cpus.addHotplug({ name: 'mine', teardown: () => void torn.push('mine') })
    })
    for (const wait of waits) await rejectsCode(wait, 'PERCPU_OFFLINE', /declared/)
    while (offline.length === 0) await setTimeout(1)
    await setTimeout(1)
    assert.deepEqual([offline, torn], [[1], ['mine']])
    throwsCode(() => cpu.locks.mutex('m'), 'PERCPU_OFFLINE', /declared/)
    await rejectsCode(cpu.offline(), 'PERCPU_OFFLINE')
    machine.locks.mutex('m').unlock()
    assert.deepEqual(machine.online, [0])
  })

  it('takes no rings of the next thread of its number, and reports for it in no grace period', async () => {
    const [machine] = mistaken(() => undefined)
    const next = joinAs(machine, 102)
    const rings: number[] = []
    next.cpus.onRing(3, () => rings.push(3))
    machine.cpus.ring(1, 3)
    await machine.rcu.synchronize({ timeout: 5000 })
    while (rings.length < 1) await setTimeout(1)
    assert.deepEqual(rings, [3])
    machine.cpus.ring(1, 3)
    while (rings.length < 2) await setTimeout(1)
    assert.deepEqual(rings, [3, 3])
  })

  it('while it leaves has left', async () => {
    const machine = fresh()
    const cpu = joinAs(machine, 101)
    cpu.cpus.addHotplug({ name: 'slow', teardown: () => setTimeout(20) })
    const leaving = cpu.offline()
    machine.cpus.declareDead(1)
    await leaving
    assert.deepEqual(machine.online, [0])
    await rejectsCode(cpu.offline(), 'PERCPU_OFFLINE')
  })
})

describe('declareDead', () => {
  it('does not bring back a number that was given up', () => {
    const machine = fresh()
    machine.cpus.limit(2)
    for (const options of [{}, { reaperStopped: true }])
      assert.equal(machine.cpus.declareDead(2, options), false)
    assert.deepEqual(machine.cpus.possible, [0, 1])
    joinAs(machine, 101)
    throwsCode(() => joinAs(machine, 102), 'PERCPU_NO_FREE_CPU')
  })

  it('does not clean up a second time after a CPU that this thread is cleaning up after', () => {
    const machine = fresh()
    joinAs(machine, 101)
    const second: boolean[] = []
    machine.cpus.addHotplug({
      name: 'mine',
      dead: (cpu) => second.push(machine.cpus.declareDead(cpu, { reaperStopped: true })),
    })
    assert.equal(machine.cpus.declareDead(1), true)
    assert.deepEqual(second, [false])
    assert.deepEqual(machine.cpus.present, [0])
    joinAs(machine, 102)
  })
})

describe('who cleans up after several', () => {
  it('has freed what all of them held before users are told of the first', () => {
    const machine = fresh({ cpus: 4 })
    const parent = joinAs(machine, 101)
    const child = joinAs(machine, 102, startedBy101)
    parent.locks.mutex('a').lock()
    child.locks.mutex('b').lock()
    const got: (boolean | undefined)[] = []
    machine.cpus.addHotplug({
      name: 'mine',
      dead: () => {
        for (const name of ['a', 'b']) {
          const guard = machine.locks.mutex(name).tryLock()
          got.push(guard?.isHeld)
          guard?.unlock()
        }
      },
    })
    machine.cpus.declareDead(1)
    assert.deepEqual(got, [true, true, true, true])
    assert.deepEqual(machine.cpus.present, [0])
  })

  it('supervises nothing if the worker does not tell of its end', () => {
    const machine = fresh()
    const once = (): never => {
      throw new TypeError('mine')
    }
    assert.throws(() => machine.supervise({ threadId: 7, once }), /mine/)
  })
})
