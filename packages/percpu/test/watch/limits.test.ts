/**
 * What inspections cost at their limits, counted in steps: within the bounds of docs/limits.md,
 * and in proportion to what they are about.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh, joinAs } from '../support/hooked-percpu.js'
import { countSteps, eachOf } from '../support/steps.js'

describe('an inspection', () => {
  it('costs so much a CPU', () => {
    const cost = (cpus: number): number => {
      const machine = fresh({ memory: '16 MiB', cpus })
      for (let cpu = 1; cpu < cpus; cpu++) joinAs(machine, 100 + cpu)
      return countSteps(() => machine.watch.inspect()).all
    }
    const [few, many] = eachOf([8, 64], cost)
    assert.ok(many <= 1.3 * few, `${few} and ${many} steps`)
  })
})
