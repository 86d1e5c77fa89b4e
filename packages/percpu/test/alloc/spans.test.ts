/** Spans of boot memory on their way to a zone, with threads that die meanwhile. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, fresh, joinAs, killAt } from '../support/hooked-percpu.js'
import { verify } from './support/verify.js'

/** More than the span that there is has. */
function takeMore(machine: Machine): void {
  for (let i = 0; i < 3; i++) machine.heap.pages.alloc(3)
}

describe('a thread killed before any access of taking a span', () => {
  it('while another dead one is cleaned up after loses no boot memory', () => {
    const points = forEachAccess((at) => {
      const machine = fresh({ memory: '1 MiB' })
      const [first, second] = [joinAs(machine, 101), joinAs(machine, 102)]
      first.heap.pages.alloc(0)
      const killed = killAt(() => takeMore(second), at, second)
      machine.cpus.declareDead(1)
      machine.cpus.declareDead(2)
      takeMore(machine)
      assert.deepEqual(verify(machine).faults, [], `access ${at}`)
      return killed
    })
    assert.ok(points > 100)
  })
})
