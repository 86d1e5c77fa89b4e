/** Threads whose only supervisor has ended with them: whoever reaps that one reaps them, too. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'
import { insideOf } from '../support/inside.js'

/** An option that users do not have. */
const startedBy101: object = { parent: 101 }

describe('the workers of a terminated worker', () => {
  for (const generations of [2, 3])
    it(`hold up nothing: ${generations} generations`, async () => {
      const machine = boot({ cpus: 5 })
      const worker = new Worker(new URL('../support/starter.js', import.meta.url), {
        workerData: { handle: machine.handle, generations },
      })
      const { reaped } = machine.supervise(worker)
      const [cpus] = (await once(worker, 'message')) as [number[]]
      assert.equal(cpus.length, generations)
      const waiting = machine.rcu.synchronize({ timeout: 10_000 })
      await worker.terminate()
      assert.deepEqual([...(await reaped)].sort(), [...cpus].sort())
      await waiting
      assert.deepEqual(machine.online, [0])
    })

  it('are told from threads that have their numbers since', async () => {
    const machine = fresh({ cpus: 4 })
    const parent = joinAs(machine, 101)
    const child = joinAs(machine, 102, startedBy101)
    await child.offline()
    const other = joinAs(machine, 103)
    assert.equal(other.cpu, child.cpu)
    machine.cpus.declareDead(parent.cpu)
    assert.deepEqual(machine.online, [0, other.cpu])
  })

  it('are reaped by the reaper of a reaper that ended before it came to them', () => {
    const machine = fresh({ cpus: 4 })
    const parent = joinAs(machine, 101)
    const child = joinAs(machine, 102, startedBy101)
    const { table } = insideOf(machine.memory)
    // Thread 103 has begun to reap the parent, and has made the child its own.
    table.takeOver(parent.cpu, 101, 103)
    table.adopt(child.cpu, 101, 103)
    const reaper = joinAs(machine, 103)
    machine.cpus.declareDead(reaper.cpu)
    assert.deepEqual(machine.online, [0])
  })
})
