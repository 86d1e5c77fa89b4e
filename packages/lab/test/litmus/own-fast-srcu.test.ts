/** The litmus files that use SRCU, with the library's own domains of the fast flavour. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpuOf } from 'percpu-lab/litmus'
import { answers, judged, plainly, select } from './own.js'

const implementation = percpuOf('fast')

describe('litmus files with fast domains of the library', () => {
  it('of two processes, with one preemption: nothing is allowed that may not be', async () => {
    const found = await judged(
      select('srcu', (processes) => processes === 2),
      { implementation, preemptions: 1 },
    )
    assert.ok([...found.values()].every(({ truncated }) => !truncated))
    assert.equal(answers(found)['SRCU-misnest'], 'Sometimes')
    // The sections of a fast domain are not checked where that would cost something.
    assert.deepEqual(found.get('srcu-nest-4')?.misuse, [])
  })

  it('of three, without preemptions: nothing is', async () => {
    const found = await judged(
      select('srcu', (processes) => processes === 3),
      { implementation, preemptions: 0 },
    )
    assert.ok([...found.values()].every(({ truncated }) => !truncated))
  })

  it('of more, three executions at random: nothing is', async () => {
    const found = await judged(
      select('srcu', (processes) => processes > 3),
      { implementation, mode: 'pct', executions: 3 },
    )
    assert.equal(found.size, 10)
  })

  it('over plain data that may be stale, without preemptions: nothing is that the axioms forbid', async () => {
    const chosen = select('srcu', (processes, graces) => processes === 2 && graces === 1)
    const verdicts = await plainly('srcu', chosen, { implementation, preemptions: 0 })
    for (const name of ['srcu-nest-1', 'srcu-nest-2']) assert.equal(verdicts[name], 'Never', name)
  })
})
