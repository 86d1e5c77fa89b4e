/** A thread killed in the middle of replacing an entry that another thread holds. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccessAsync, fresh, joinAs, killAt } from '../support/hooked-percpu.js'
import { bury, muteKilled } from './support/victims.js'

const options = { key: 'string', value: 'bytes', hold: true } as const
const filled = (value: number): Uint8Array => new Uint8Array(100).fill(value)

/** Objects of the size of an entry. */
const entriesOf = (machine: Machine): number =>
  machine.heap.allocations().filter(({ size }) => size > 100 && size <= 128).length

describe('an entry that is held', () => {
  before(muteKilled)
  it('is freed by the reaper of a thread that was killed before any access of replacing it', async () => {
    const points = await forEachAccessAsync(async (at) => {
      const machine = fresh({ memory: '512 KiB' })
      const victim = joinAs(machine, 101)
      const map = machine.map('m', options)
      const dying = victim.map('m', options)
      dying.set('b', filled(1))
      map.set('a', filled(1))
      let found = 0
      const killed = await map.hold('a', async (view) => {
        const isKilled = killAt(() => dying.set('a', filled(2)), at * 3, victim)
        if (isKilled) {
          bury(victim)
          machine.cpus.declareDead(1)
        } else await victim.offline()
        await machine.rcu.barrier()
        found = view.at(50)
        return isKilled
      })
      assert.equal(found, 1, `access ${at}`)
      await map.barrier({ timeout: 10_000 })
      map.verify({ quiet: true })
      assert.equal(entriesOf(machine), 2, `access ${at}`)
      machine.heap.verify({ quiet: true })
      return killed ?? false
    })
    assert.ok(points > 8, `${points} points`)
  })
})
