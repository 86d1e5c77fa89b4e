/**
 * What callbacks and domains cost at their limits, counted in steps: within the bounds of
 * docs/limits.md, and in proportion to what they are about.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh, percpu } from '../support/hooked-percpu.js'
import { countSteps, eachOf } from '../support/steps.js'

describe('callbacks that are due', () => {
  it('are freed in turns of so many steps, however many are pending', async () => {
    const cost = async (pending: number): Promise<number> => {
      const machine = fresh({ memory: '32 MiB', cpus: 1 })
      for (let i = 0; i < pending; i++) void machine.rcu.free(machine.heap.alloc(64, { persist: true }))
      let most = 0
      const done = machine.rcu.barrier().then(() => true)
      for (;;) {
        most = Math.max(most, countSteps(() => machine.poll()).locked)
        if (await Promise.race([done, new Promise<false>((resolve) => setImmediate(() => resolve(false)))]))
          break
      }
      return most
    }
    const [few, many] = [await cost(3000), await cost(30_000)]
    assert.ok(many <= 2 * few + 100, `${few} and ${many} steps`)
  })
})

describe('an inspection', () => {
  it('costs so much a domain', () => {
    const { SrcuLayout } = percpu
    const cost = (domains: number): number => {
      const machine = fresh({ memory: '32 MiB', cpus: 2 })
      for (let i = 0; i < domains; i++)
        machine.initSrcu(machine.heap.alloc(SrcuLayout.size, { zero: true, align: 64 }))
      return countSteps(() => machine.watch.inspect()).all
    }
    const [few, many] = eachOf([50, 1000], cost)
    assert.ok(many <= 1.3 * few, `${few} and ${many} steps`)
  })
})
