/**
 * Executions that the scenario leaves out: nothing is wrong in them but what breaks them off. Who
 * comes first is the condition here, and the other one races.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem, type Scenario, ScenarioError } from '../../dist/index.js'
import { fails, proves, wordsOf } from './support.js'

/** Both write a word plainly, and race, if CPU 0 comes first. Else neither writes. */
function racers(t: Scenario, counts: (results: readonly unknown[]) => boolean): void {
  const w = wordsOf(t, 2)
  for (const cpu of [0, 1])
    t.cpu(cpu, () => {
      const before = w.add(0, 1)
      if (before === cpu) w.plainStore(1, cpu)
      return before
    })
  t.filter(counts)
}
const isInOrder = ([first]: readonly unknown[]) => first === 0

describe('a filter', () => {
  it('leaves out data races, and the search goes on', (test) =>
    proves(test, (t) => racers(t, (results) => !isInOrder(results)), ['[0,1]', '[1,0]']))

  it('leaves the races of executions that count, by every search', async () => {
    for (const mode of ['exhaustive', 'enumerate', 'pct', 'random'] as const) {
      const { trace } = await fails('data race', mode, (t) => racers(t, isInOrder), { mode })
      const { race } = trace.failure ?? {}
      assert.deepEqual(
        [race?.first, race?.second].map((step) => trace.events[step ?? 0]?.name),
        ['store', 'store'],
      )
      assert.equal(trace.events.length, 4, 'the execution is shown to its end')
      await fails('data race', mode, (t) => racers(t, isInOrder), { replay: trace.schedule })
    }
  })

  it('leaves the race that a left-out execution has in common with one that counts', async () => {
    const { trace } = await fails('data race', 'later choice', (t) => {
      const w = wordsOf(t, 1)
      t.cpu(0, (cpu) => {
        w.plainStore(0, 1)
        return cpu.choose(2)
      })
      t.cpu(1, () => w.plainLoad(0))
      t.filter(([chosen, seen]) => chosen === 1 && seen === 0)
    })
    assert.equal(trace.failure?.race?.rule, 'plain-plain')
    let executions = 0
    await explore(
      'the later ones count',
      (t) => {
        racers(t, (results) => !isInOrder(results))
      },
      { observe: () => executions++ },
    )
    assert.ok(executions >= 3)
  })

  it('that leaves out everything shows nothing, which is an error', async () => {
    const check = () => assert.fail('no execution counts')
    for (const mode of ['exhaustive', 'enumerate', 'random'] as const)
      await assert.rejects(
        explore(
          'none counts',
          (t) => {
            racers(t, () => false)
            t.finally(check)
          },
          { mode, executions: 50 },
        ),
        (error: unknown) =>
          error instanceof ScenarioError && /none counts: filters left out all of \d+/.test(error.message),
      )
    const neverEnds = (t: Scenario): void => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => mem.awaitUntil(() => w.load(0) === 1))
      t.filter((_, ended) => ended, { unended: true })
    }
    await assert.rejects(explore('none ends', neverEnds), /filters left out all of 1 executions/)
  })

  it('is counted', async () => {
    const { executions, leftOut, checked } = await explore('counted', (t) =>
      racers(t, (results) => !isInOrder(results)),
    )
    assert.ok(leftOut > 0)
    assert.equal(checked, executions - leftOut)
  })

  it('leaves out checks and blocks that were not given back', async () => {
    const scenario = (isFiltered: boolean) => (t: Scenario) => {
      const w = wordsOf(t, 2)
      t.cpu(0, (cpu) => {
        cpu.allocated(w.memory, w.at(1) * 4, 4)
        const before = w.add(0, 1)
        if (before === 0) cpu.freed(w.memory, w.at(1) * 4, 4)
        return before
      })
      t.cpu(1, () => w.add(0, 1))
      if (isFiltered) t.filter(isInOrder)
      t.finally((results) => assert.ok(isInOrder(results)))
    }
    const { executions } = await explore('filtered', scenario(true))
    assert.equal(executions, 2)
    await fails('leak', 'not filtered', scenario(false))
  })

  it('leaves out executions that cannot end, if it is asked about them', async () => {
    // The second one of two that take a lock which is never given back cannot go on.
    const asked: unknown[] = []
    const scenario = (unended: boolean, isLeftOut: boolean) => (t: Scenario) => {
      const w = wordsOf(t, 1)
      t.cpu(0, () => w.add(0, 1) === 0)
      t.cpu(1, () => {
        if (w.add(0, 1) !== 0) mem.awaitUntil(() => w.load(0) === 0)
        return 'in'
      })
      t.filter(
        (results, ended) => {
          asked.push([...results, ended])
          return ended || !isLeftOut
        },
        { unended },
      )
    }
    const { executions, blocked } = await explore('left out', scenario(true, true))
    assert.deepEqual([executions, blocked], [1, 1])
    assert.deepEqual(asked, [
      [true, undefined, false],
      [false, 'in', true],
    ])
    await fails('starvation', 'not left out', scenario(true, false))
    await fails('starvation', 'not asked', scenario(false, true))
  })
})
