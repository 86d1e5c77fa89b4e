/** Searches that are not complete, schedules, and what is made of a failing one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, ScheduleError, type Scenario } from '../../dist/index.js'
import { decode, encode, type Choice } from '../../dist/search/schedule.js'
import { classOf } from './random-scenarios.js'
import { fails, wordsOf } from './support.js'

/** Fails when the first of `cpus` CPUs sees all the others between its two loads. */
const rare = (cpus: number) => (t: Scenario) => {
  const w = wordsOf(t, 1)
  t.cpu(0, () => {
    if (w.load(0) === 0 && w.load(0) === cpus - 1) throw new Error('seen')
  })
  for (let cpu = 1; cpu < cpus; cpu++) t.cpu(cpu, () => w.add(0, 1))
}
const quiet = (t: Scenario) => {
  const w = wordsOf(t, 2)
  for (const cpu of [0, 1, 2]) t.cpu(cpu, () => [w.add(0, 1), w.load(1), w.add(1, 1)].join(''))
}

describe('random searches', () => {
  for (const mode of ['pct', 'random'] as const) {
    const executions = async (seed: number, count = 50) => {
      const classes: string[] = []
      const observe = (_: unknown, __: number, world: Parameters<typeof classOf>[0]) =>
        void classes.push(classOf(world))
      const report = await explore('drawn', quiet, { mode, seed, executions: count, observe })
      assert.deepEqual([report.executions, report.truncated], [count, true])
      return classes
    }
    it(`${mode}: give the same executions for the same seed, and others for another`, async () => {
      assert.deepEqual(await executions(1), await executions(1))
      assert.notDeepEqual(await executions(1), await executions(2))
      assert.ok(new Set(await executions(1)).size > 5)
    })
    it(`${mode}: find a rare failure`, async () => {
      const failure = await fails('assertion', 'rare', rare(4), { mode, executions: 5000 })
      assert.match(failure.message, new RegExp(`in execution ${failure.execution}:`))
    })
    it(`${mode}: are shared by shards`, async () => {
      const counts = []
      for (const index of [0, 1, 2]) {
        const report = await explore('shard', quiet, { mode, executions: 10, shard: { index, count: 3 } })
        counts.push(report.executions)
      }
      assert.deepEqual(counts, [4, 3, 3])
    })
  }
})

describe('a bound on preemptions', () => {
  const fail = (preemptions: number) => fails('assertion', 'bounded', rare(3), { preemptions })
  it('finds what needs no more of them', async () => {
    await fail(1)
    await assert.rejects(fail(0), /no failure/)
  })
  it('with room for all is the whole search', async () => {
    const classes = new Set<string>()
    const observe = (_: unknown, __: number, world: Parameters<typeof classOf>[0]) =>
      void classes.add(classOf(world))
    const whole = await explore('whole', quiet)
    const bounded = await explore('bounded', quiet, { preemptions: 9, observe })
    assert.equal(classes.size, whole.executions)
    assert.ok(bounded.executions >= whole.executions)
    const few = await explore('few', quiet, { preemptions: 0 })
    assert.ok(few.executions < whole.executions)
  })
})

describe('a schedule', () => {
  it('runs the failing execution again, and nothing else', async () => {
    const failure = await fails('assertion', 'rare', rare(3))
    const again = await fails('assertion', 'rare', rare(3), { replay: failure.trace.schedule })
    assert.deepEqual(again.trace.events, failure.trace.events)
    assert.equal(again.execution, 1)
    assert.match(failure.message, new RegExp(`replay: '${failure.trace.schedule}'`))
  })
  it('that does not fail is one execution', async () => {
    const { executions, truncated } = await explore('fine', quiet, { replay: '' })
    assert.deepEqual([executions, truncated], [1, true])
  })
  it('that does not fit is told of, unless what runs fails as well', async () => {
    const failure = await fails('assertion', 'rare', rare(3))
    await assert.rejects(explore('fine', quiet, { replay: encode([{ process: 7, outcome: 0 }]) }), {
      code: 'LAB_SCHEDULE',
      message: /does not fit "fine"/,
    })
    const schedule = encode([...decode(failure.trace.schedule), { process: 7, outcome: 0 }])
    await fails('assertion', 'rare', rare(3), { replay: schedule })
  })
  it('is short, and comes back as it was', () => {
    const choices: Choice[] = [
      ...Array.from({ length: 300 }, () => ({ process: 0, outcome: 0 })),
      { process: 29, outcome: 200 },
      { process: 1, outcome: 0 },
      { process: 1, outcome: 1 },
    ]
    assert.deepEqual(decode(encode(choices)), choices)
    assert.ok(encode(choices).length <= 16)
  })
  it('that is none is refused', async () => {
    for (const replay of ['*', 'AA=', 'gP__']) {
      const refused = (error: unknown) => error instanceof ScheduleError
      await assert.rejects(explore('none', quiet, { replay }), refused, replay)
    }
  })
})

describe('shrinking', () => {
  it('leaves the switches that the failure takes', async () => {
    const { trace } = await fails('assertion', 'noisy', (t) => {
      const w = wordsOf(t, 4)
      t.cpu(0, () => {
        if (w.load(0) === 0 && w.load(0) === 1) throw new Error('seen')
      })
      t.cpu(1, () => w.add(0, 1))
      for (const cpu of [2, 3]) t.cpu(cpu, () => [w.add(1, 1), w.add(2, 1), w.add(1, 1)])
    }, { mode: 'random', seed: 5 }) // prettier-ignore
    const processes = trace.events.map(({ process }) => process)
    const stretches = processes.filter((process, i) => process !== processes[i - 1])
    assert.deepEqual(stretches, [0, 1, 0])
  })
})
