/** Promises that nobody has asked yet when the lab leaves a stack. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem } from 'percpu-lab'

describe('a promise of a body that is left', () => {
  it('is no unhandled rejection for others', async () => {
    const listeners = process.listeners('unhandledRejection')
    const { executions } = await explore('two tasks', (t) => {
      const { memory, base } = t.words(1)
      const add = async (): Promise<number> => {
        await Promise.resolve()
        return mem.addAtomic32(memory.i32, base, 1)
      }
      for (const n of [0, 1])
        t.cpu(n, async () => {
          const tasks = [add(), add()]
          await new Promise((resolve) => setImmediate(resolve))
          for (const task of tasks) await task
        })
      t.finally(() => assert.equal(mem.load32(memory.i32, base), 4))
    })
    assert.equal(executions, 6)
    assert.deepEqual(process.listeners('unhandledRejection'), listeners)
  })

  it('of a body that throws into one is a failure', async () => {
    const failing = explore('a task fails', (t) => {
      const { memory, base } = t.words(1)
      t.cpu(0, async () => {
        const task = (async () => {
          mem.addAtomic32(memory.i32, base, 1)
          await Promise.resolve()
          throw new Error('broken')
        })()
        await new Promise((resolve) => setImmediate(resolve))
        await task
      })
    })
    await assert.rejects(failing, /broken/)
  })
})
