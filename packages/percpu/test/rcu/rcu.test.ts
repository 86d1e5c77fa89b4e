/** `machine.rcu`: the forms of a grace period, and its cookies. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh, joinAs } from '../support/machines.js'
import { becomesSet, set, withMachine, words } from '../support/threads.js'

describe('rcu.synchronizeBlocking', () => {
  it('does not deadlock with another thread that blocks for grace periods', async () => {
    const machine = boot({ cpus: 2 })
    const rounds = 500
    const worker = new Worker(new URL('./blocker.js', import.meta.url), {
      workerData: { handle: machine.handle, rounds },
    })
    const { reaped } = machine.supervise(worker)
    await once(worker, 'message')
    for (let round = 0; round < rounds; round++) machine.rcu.synchronizeBlocking({ timeout: 10_000 })
    await reaped
    assert.deepEqual(machine.online, [0])
  })

  it('waits for a CPU in a synchronous stretch, and names it at its time-out', async () => {
    await withMachine({ cpus: 2 }, async (machine, start) => {
      const [tells, until] = words(machine, 2) as [number, number]
      const busy = await start()
      const spinning = busy.tell({ do: 'spin', until, tells, polls: false, deaf: false })
      await becomesSet(machine.memory, tells)
      throwsCode(() => machine.rcu.synchronizeBlocking({ timeout: 20 }), 'PERCPU_UNANSWERED', /CPU 1/)
      throwsCode(() => machine.rcu.synchronizeBlocking({ timeout: -1 }), 'PERCPU_ARGUMENT')
      set(machine.memory, until)
      machine.rcu.synchronizeBlocking({ timeout: 10_000 })
      await spinning
    })
  })

  it('needs nobody on a machine of one CPU', () => {
    const machine = boot({ smp: false })
    machine.rcu.synchronizeBlocking({ timeout: 0 })
  })
})

describe('a cookie', () => {
  it('is done after a grace period that began after it, and not before', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const cookie = machine.rcu.getState()
    assert.equal(machine.rcu.poll(cookie), false)
    await new Promise(setImmediate)
    assert.equal(other.rcu.poll(cookie), false, 'nobody asked for it')
    await other.rcu.synchronize()
    assert.equal(machine.rcu.poll(cookie), true)
    const next = machine.rcu.getState()
    assert.notEqual(next, cookie)
    assert.equal(machine.rcu.poll(next), false)
  })

  it('of startPoll is done some time, without anybody waiting', async () => {
    const machine = fresh()
    joinAs(machine, 101)
    const cookies = [machine.rcu.startPoll(), machine.rcu.startPoll()]
    // The second one was taken when the grace period of the first was under way.
    assert.notEqual(cookies[0], cookies[1])
    while (!cookies.every((cookie) => machine.rcu.poll(cookie))) await new Promise(setImmediate)
  })

  it('is refused if it is none, and of another age it is done', async () => {
    const { rcu } = fresh()
    for (const cookie of [0.5, Number.NaN, 2 ** 31, 2, 3, '4'])
      throwsCode(() => rcu.poll(cookie as number), 'PERCPU_ARGUMENT', /cookie/)
    assert.equal(rcu.poll(rcu.completed), true)
    const old = rcu.getState()
    for (let i = 0; i < 3; i++) await rcu.synchronize()
    assert.equal(rcu.poll(old), true)
    assert.equal(rcu.poll(old - 4000), true)
  })
})

describe('rcu.synchronizeExpedited', () => {
  it('serves many callers, also while a grace period that is in no hurry is under way', async () => {
    const machine = boot({ cpus: 6, fanout: 2 })
    const others = [101, 102, 103, 104].map((thread) => joinAs(machine, thread))
    const all = [machine, ...others]
    await Promise.all(
      Array.from({ length: 30 }, (_, i) => {
        const { rcu } = all[i % all.length] ?? machine
        return i % 3 === 0 ? rcu.synchronizeExpedited({ timeout: 5000 }) : rcu.synchronize({ timeout: 5000 })
      }),
    )
    await rejectsCode(machine.rcu.synchronizeExpedited({ timeout: -1 }), 'PERCPU_ARGUMENT')
  })
})
