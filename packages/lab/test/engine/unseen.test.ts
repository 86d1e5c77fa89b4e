/** Writes to a scenario's memory that do not go through the lab. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, ExplorationFailure, mem, type Scenario } from 'percpu-lab'

const told =
  /code that the lab does not see wrote to count, so the executions were not independent: .*--instrument/

/** Two CPUs that take turns by seen steps, and count by writes that are not seen. */
const counting =
  (check: (count: number) => void = () => undefined) =>
  (t: Scenario): void => {
    const { memory, base } = t.words(2)
    const numbers = new Int32Array(memory.buffer)
    t.name(memory, { turn: base * 4, count: base * 4 + 4 })
    for (const cpu of [0, 1])
      t.cpu(cpu, () => {
        mem.addAtomic32(memory.i32, base, 1)
        numbers[base + 1] = (numbers[base + 1] ?? 0) + 1
      })
    t.finally(() => check(numbers[base + 1] ?? 0))
  }

describe('writes that the lab does not see', () => {
  it('are told of when all executions have gone well', async () => {
    await assert.rejects(explore('unseen', counting()), { code: 'LAB_SCENARIO', message: told })
  })

  it('are told of in place of the failure that they made, which is the cause', async () => {
    const twice = counting((count) => assert.equal(count, 2))
    await assert.rejects(explore('unseen', twice), (error: Error) => {
      assert.match(error.message, told)
      assert.ok(error.cause instanceof ExplorationFailure)
      return true
    })
  })

  it('are none of a scenario that fills its memory before it is explored', async () => {
    const report = await explore('filled', (t) => {
      const { memory, base } = t.words(1)
      new Int32Array(memory.buffer)[base] = 7
      t.cpu(0, () => mem.addAtomic32(memory.i32, base, 1))
      t.finally(([before]) => assert.equal(before, 7))
    })
    assert.equal(report.executions, 1)
  })

  it('are none of actions of prepare(), which are kept', async () => {
    const report = await explore('prepared', (t) => {
      const { memory, base } = t.words(1)
      t.cpu(0, (cpu) => {
        cpu.prepare(() => mem.storeAtomic32(memory.i32, base, 7))
        return mem.addAtomic32(memory.i32, base, 1)
      })
      t.finally(([before]) => assert.equal(before, 7))
    })
    assert.equal(report.executions, 1)
  })
})
