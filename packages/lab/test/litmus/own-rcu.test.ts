/**
 * The litmus files that use RCU, with the library's own grace periods: no execution of them shows
 * what the kernel's memory model forbids, or ECMAScript's.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { judge, parseLitmus, percpuOf, runImplementation, type JudgeOptions } from 'percpu-lab/litmus'
import { answers, judged, plainly, select, withoutGracePeriods } from './own.js'

/**
 * They wait for a grace period within a read section. In the kernel that is a deadlock. Here a
 * section ends where its process awaits.
 */
const awaitsInSection = ['RCU+deadlock', 'RW-GR+RW-R']
const files = (condition: Parameters<typeof select>[1]) =>
  select(
    'rcu',
    (processes, graces, name) => !awaitsInSection.includes(name) && condition(processes, graces, name),
  )

describe('litmus files with the grace periods of the library', () => {
  it('of two processes, with two preemptions: nothing is allowed that may not be', async () => {
    const found = await judged(
      files((processes, graces) => processes === 2 && graces <= 1),
      { preemptions: 2 },
    )
    assert.ok([...found.values()].every(({ truncated }) => !truncated))
    const verdicts = answers(found)
    assert.equal(verdicts['RCU+nosync+free'], 'Sometimes')
    assert.equal(verdicts['RCU+two-sections'], 'Sometimes')
    assert.equal(verdicts['RCU+sync+read'], 'Never')
    assert.ok((found.get('RCU+sync+read')?.executions ?? 0) > 50)
  })

  it('of two processes that both wait, with one: nothing is', async () => {
    const found = await judged(
      files((processes, graces) => processes === 2 && graces === 2),
      { preemptions: 1 },
    )
    assert.ok([...found.values()].every(({ truncated }) => !truncated))
    assert.equal(found.size, 3)
  })

  it('with races, with one: they are found where they are', async () => {
    const verdicts = answers(
      await judged(
        select('races', () => true),
        { preemptions: 1 },
      ),
    )
    assert.equal(verdicts['sections'], 'Data race')
    assert.equal(verdicts['poison+sync'], 'Never')
  })

  it('of more processes, without preemptions: nothing is', async () => {
    const found = await judged(
      files((processes, graces) => processes === 3 || (processes === 4 && graces === 1)),
      { preemptions: 0 },
    )
    assert.ok([...found.values()].every(({ truncated }) => !truncated))
    assert.ok(found.size >= 10, `${found.size} files`)
  })

  it('of four processes two of which wait, ten executions at random: nothing is', async () => {
    const found = await judged(
      files((processes, graces) => processes === 4 && graces === 2),
      { mode: 'pct', executions: 10 },
    )
    assert.equal(found.size, 6)
  })

  it('of two, over plain data that may be stale, with one preemption: nothing is that the axioms forbid', async () => {
    const chosen = files((processes, graces, name) => processes === 2 && graces <= 1 && !/^RR-/.test(name))
    const verdicts = await plainly('rcu', chosen, { preemptions: 1 })
    assert.equal(verdicts['RCU+sync+read'], 'Never')
    assert.equal(verdicts['WR-G+WR-R'], 'Never')
    assert.equal(verdicts['WR-R+WR-R'], 'Sometimes')
  })

  it('that wait within a section end it', async () => {
    const found = await judge(
      select('rcu', (_, __, name) => awaitsInSection.includes(name)),
      { preemptions: 1 },
    )
    for (const { problem } of found) assert.equal(problem, 'the implementation: Never, the LKMM: Deadlock')
    assert.equal(found.length, 2)
  })

  it('are those of an expedited grace period, too', async () => {
    const [file = ''] = select('rcu', (_, __, name) => name === 'RCU+sync+read')
    const source = readFileSync(file, 'utf8').replace('synchronize_rcu(', 'synchronize_rcu_expedited(')
    const { verdict, truncated } = await runImplementation(parseLitmus(source), { preemptions: 1 })
    assert.deepEqual([verdict, truncated], ['Never', false])
  })

  it('show a grace period that waits for nobody', async () => {
    const implementation = withoutGracePeriods(percpuOf('normal'))
    const problem = async (folder: string, name: string, options: JudgeOptions = {}) => {
      const chosen = select(folder, (_, __, other) => other === name)
      return (await judge(chosen, { implementation, ...options }))[0]?.problem
    }
    assert.equal(await problem('rcu', 'RCU+sync+read'), 'the implementation: Sometimes, the LKMM: Never')
    assert.equal(await problem('races', 'poison+sync'), 'the implementation: Data race, the LKMM: Never')
    const plain = await problem('rcu', 'WR-G+WR-R', { once: 'plain' })
    assert.equal(plain, 'the implementation: Sometimes, the LKMM: Never')
  })
})
