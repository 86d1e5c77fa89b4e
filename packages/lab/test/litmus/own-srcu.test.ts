/**
 * The litmus files that use SRCU, with the library's own domains of the normal flavour: no
 * execution of them shows what the kernel's memory model forbids, or ECMAScript's.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpuOf, runImplementation } from 'percpu-lab/litmus'
import { litmusTest } from './files.js'
import { answers, judged, plainly, select, withoutGracePeriods } from './own.js'

describe('litmus files with normal domains of the library', () => {
  it('of two processes, completely: nothing is allowed that may not be', async () => {
    const found = await judged(
      select('srcu', (processes) => processes === 2),
      {},
    )
    assert.ok([...found.values()].every(({ truncated }) => !truncated))
    const verdicts = answers(found)
    for (const name of ['SRCU-misnest', 'srcu-nest-3', 'srcu-nest-5', 'srcu-nest-7'])
      assert.equal(verdicts[name], 'Sometimes', name)
    assert.deepEqual(
      [...found.values()]
        .filter(({ misuse }) => misuse.length > 0)
        .map(({ name, misuse }) => [name, ...misuse]),
      [['srcu-nest-4', 'PERCPU_SRCU_MISUSE']],
    )
  })

  it('of three, with one preemption: nothing is', async () => {
    const found = await judged(
      select('srcu', (processes) => processes === 3),
      { preemptions: 1 },
    )
    assert.ok([...found.values()].every(({ truncated, stuck }) => !truncated && stuck === 0))
    assert.ok(found.size >= 8)
  })

  it('of four, without preemptions: nothing is', async () => {
    const found = await judged(
      select('srcu', (processes) => processes === 4),
      { preemptions: 0 },
    )
    assert.ok([...found.values()].every(({ truncated }) => !truncated))
    assert.equal(found.size, 5)
  })

  it('of six and eight, ten executions at random: nothing is', async () => {
    const found = await judged(
      select('srcu', (processes) => processes > 4),
      { mode: 'pct', executions: 10 },
    )
    assert.equal(found.size, 5)
  })

  it('over plain data that may be stale, with one preemption: nothing is that the axioms forbid', async () => {
    const chosen = select('srcu', (processes, graces) => processes <= 3 && graces === 1)
    const verdicts = await plainly('srcu', chosen, { preemptions: 1 })
    for (const name of ['srcu-nest-1', 'srcu-nest-2', 'srcu-nest-6', 'srcu-observed-5'])
      assert.equal(verdicts[name], 'Never', name)
    // Here a plain read orders nothing, whatever grace periods do.
    assert.equal(verdicts['srcu-observed-1'], 'Sometimes')
  })

  it('show a grace period that waits for nobody', async () => {
    const implementation = withoutGracePeriods(percpuOf('normal'))
    for (const [name, once] of [
      ['srcu-nest-1', 'plain'],
      ['srcu-nest-2', 'plain'],
    ] as const) {
      const { verdict } = await runImplementation(litmusTest('srcu', name), { implementation, once })
      assert.equal(verdict, 'Sometimes', name)
    }
  })
})
