/**
 * What allocations cost at their limits, counted in steps: within the bounds of docs/limits.md,
 * and in proportion to what they are about.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh } from '../support/hooked-percpu.js'
import { countSteps, eachOf, fillNodes } from '../support/steps.js'

describe('per-CPU memory', () => {
  it('of the largest size, with all nodes full but the last one, costs so much a page', () => {
    const cost = (cpus: number): number => {
      const machine = fresh({ memory: '64 MiB', cpus, nodes: 4, percpu: { unit: '32 KiB' } })
      machine.percpu.report()
      fillNodes(machine, [0, 1, 2])
      return countSteps(() => machine.percpu.alloc(32768)).locked / 8
    }
    const [few, many] = eachOf([8, 64], cost)
    assert.ok(few <= 250 && many <= 250, `${few} and ${many} steps`)
  })

  it('is verified in proportion to what there is', () => {
    const cost = (allocations: number): number => {
      const machine = fresh({ memory: '32 MiB', cpus: 4 })
      for (let i = 0; i < allocations; i++) machine.percpu.alloc(64)
      return countSteps(() => machine.percpu.verify()).all
    }
    const [few, many] = eachOf([2000, 8000], cost)
    assert.ok(many <= few * 1.5, `${few} and ${many} steps`)
  })
})
