/**
 * What locks cost at their limits, counted in steps: within the bounds of docs/limits.md,
 * and in proportion to what they are about.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh, mem } from '../support/hooked-percpu.js'
import { countSteps } from '../support/steps.js'

describe('a lock', () => {
  it('costs at most so many steps, also as the last of 32 that a CPU holds', () => {
    const machine = fresh()
    const locks = Array.from({ length: 32 }, (_, i) => machine.locks.mutex(`m${i}`))
    const last = locks.at(-1) ?? assert.fail()
    const use = (): void => last.lock().unlock()
    const alone = countSteps(use).all
    for (const lock of locks.slice(0, 31)) lock.lock()
    const full = countSteps(use).all
    assert.ok(full <= alone + 4 * 31, `${alone} and ${full} steps`)
  })
})

describe('tasks of one thread that wait for one mutex', () => {
  it('cost so much each, however many wait, whether they get it or not', async () => {
    const cost = async (tasks: number): Promise<number> => {
      const mutex = fresh().locks.mutex('m')
      const guard = mutex.lock()
      const given = Array.from({ length: tasks }, () => mutex.lockAsync().then((own) => own.unlock()))
      const late = Array.from({ length: tasks }, () => mutex.lockAsync({ timeout: 1 }).catch(() => undefined))
      await Promise.all(late)
      let steps = 0
      mem.control.before = () => {
        steps++
      }
      guard.unlock()
      await Promise.all(given)
      mem.control.before = undefined
      return steps / tasks
    }
    const [few, many] = [await cost(100), await cost(3000)]
    assert.ok(many <= 1.5 * few, `${few} and ${many} steps`)
  })
})
