/** What a thread cleans up that has used no space itself. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Machine } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

/** The snapshots that there are. */
const snapshots = ({ watch }: Machine): string[] =>
  watch.structs().flatMap(({ name }) => (name.startsWith('snapshot[') ? [name] : []))

describe('a thread that supervises only', () => {
  it('frees the snapshots of a dead thread', async () => {
    const machine = fresh({ memory: '4 MiB', cpus: 2 })
    const worker = joinAs(machine, 102)
    const space = worker.space('s')
    space.map(0, 4096)
    space.write(0, 1)
    await space.fork()
    assert.equal(snapshots(machine).length, 1)
    machine.cpus.declareDead(1)
    for (let tries = 0; tries < 1000 && snapshots(machine).length > 0; tries++) await setImmediate()
    assert.deepEqual(snapshots(machine), [])
    machine.space('s').verify()
  })
})
