/** SRCU: threads that block for grace periods of a domain, on which others wait. */
import { describe, it } from 'node:test'
import { check, open, tellOver, withDomain } from './domain.js'

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 60)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)

for (const flavour of ['fast', 'normal'] as const)
  describe(`two CPUs that block for grace periods of a ${flavour} domain`, () => {
    it('do not wait for each other', async (test) => {
      const world = await withDomain(2, flavour)
      await check(
        world,
        test,
        (t) => {
          for (const number of [0, 1])
            t.cpu(number, async (cpu) => {
              const opened = open(world, cpu)
              opened.domain.synchronizeBlocking()
              tellOver(opened, 1 - number)
              await opened.over
            })
        },
        { mode: 'pct', executions: EXECUTIONS, seed: SEED },
      )
    })
  })
