/**
 * The litmus files that use RCU, with the library's own grace periods: no execution of them shows
 * what the kernel's memory model forbids, or ECMAScript's.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { judge, type JudgedFile, type JudgeOptions, type RcuMachine } from 'percpu-lab/litmus'
import { ownRcu } from '../../support/litmus.js'

const root = path.resolve(import.meta.dirname, '../../../../lab/litmus')
/** The files of two folders, by name. */
const files = new Map(
  ['rcu', 'races'].flatMap((folder) =>
    readdirSync(path.join(root, folder)).map((file) => [
      path.basename(file, '.litmus'),
      path.join(root, folder, file),
    ]),
  ),
)
/** Names of more have a part such as `RW-G` for each. */
const isOfTwo = (name: string) => (name.match(/[RW]{2}-/g) ?? []).length <= 2
const select = (condition: (name: string) => boolean) =>
  [...files].filter(([name]) => condition(name)).map(([, file]) => file)

/**
 * They wait for a grace period within a read section. In the kernel that is a deadlock. Here a
 * section ends where its process awaits.
 */
const awaitsInSection = ['RCU+deadlock', 'RW-GR+RW-R']

function problems(judged: readonly JudgedFile[]): string[] {
  for (const { name, problem } of judged)
    if (awaitsInSection.includes(name))
      assert.equal(problem, 'the implementation: Never, the LKMM: Deadlock', name)
  return judged
    .filter(({ name, problem }) => problem !== undefined && !awaitsInSection.includes(name))
    .map(({ name, problem = '' }) => `${name}: ${problem}`)
}

describe('litmus files with the grace periods of the library', () => {
  it('of two processes: nothing is allowed that may not be', async () => {
    const judged = await judge(select(isOfTwo), { rcu: ownRcu, preemptions: 2 })
    assert.deepEqual(problems(judged), [])
    assert.ok(judged.every(({ truncated }) => !truncated))
    const answers = new Map(judged.map(({ name, implementation }) => [name, implementation]))
    assert.equal(answers.get('RCU+nosync+free'), 'Sometimes')
    assert.equal(answers.get('RCU+two-sections'), 'Sometimes')
    assert.equal(answers.get('sections'), 'Data race')
    assert.equal(answers.get('poison+sync'), 'Never')
    assert.equal(judged.find(({ name }) => name === 'RCU+sync+read')?.executions, 87)
  })

  it('of more: nothing is, without preemptions', async () => {
    const judged = await judge(
      select((name) => !isOfTwo(name)),
      { rcu: ownRcu, preemptions: 0 },
    )
    assert.deepEqual(problems(judged), [])
    assert.ok(judged.every(({ truncated }) => !truncated))
    assert.ok(judged.length >= 15, `${judged.length} files`)
  })

  it('of two, over plain data that may be stale: nothing is', async () => {
    // RR-G+RR-R, where only reads see the writes, is allowed over plain data (docs/litmus.md).
    const judged = await judge(
      select((name) => isOfTwo(name) && !/^RR-/.test(name)),
      { rcu: ownRcu, once: 'plain', preemptions: 1 },
    )
    assert.deepEqual(problems(judged), [])
    const answers = new Map(judged.map(({ name, implementation }) => [name, implementation]))
    assert.equal(answers.get('RCU+sync+read'), 'Never')
    assert.equal(answers.get('WR-G+WR-R'), 'Never')
    assert.equal(answers.get('WR-R+WR-R'), 'Sometimes')
  })

  it('show a grace period that waits for nobody', async () => {
    const none: RcuMachine = {
      name: 'no grace period',
      boot: async (cpus) => {
        const booted = await ownRcu.boot(cpus)
        return {
          ...booted,
          join: (cpu) => ({ ...booted.join(cpu), synchronize: () => Promise.resolve() }),
        }
      },
    }
    const found = async (name: string, options: JudgeOptions = {}) => {
      const [judged] = await judge(
        select((other) => other === name),
        { rcu: none, ...options },
      )
      return judged?.problem
    }
    assert.equal(await found('RCU+sync+read'), 'the implementation: Sometimes, the LKMM: Never')
    assert.equal(await found('poison+sync'), 'the implementation: Data race, the LKMM: Never')
    const plain = await found('WR-G+WR-R', { once: 'plain' })
    assert.equal(plain, 'the implementation: Sometimes, the LKMM: Never')
  })
})
