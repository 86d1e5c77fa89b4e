/** `park` with a ring before any of its accesses. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { forEachAccess, fresh, interrupt, joinAs } from '../support/hooked-percpu.js'

describe('a parked CPU', () => {
  it('that is rung is not told that its word has another value, and has answered', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const word = machine.heap.memblock.alloc({ size: 4 })
    let answers = 0
    machine.cpus.onRing(0, () => answers++)
    const results = new Set<string>()
    const points = forEachAccess((at) => {
      answers = 0
      let result = ''
      const done = interrupt(
        () => (result = machine.cpus.park(word, 0, 1)),
        at,
        () => other.cpus.ring(0, 0),
      )
      assert.notEqual(result, 'not-equal', `before access ${at}`)
      results.add(result)
      machine.poll()
      assert.equal(answers, done ? 1 : 0, `before access ${at}`)
      return done
    })
    assert.ok(points > 5, `only ${points} accesses`)
    assert.deepEqual([...results].sort(), ['ok', 'timed-out'])
  })
})
