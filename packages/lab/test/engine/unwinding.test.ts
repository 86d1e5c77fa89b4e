/**
 * Code that catches and reports everything is explored too: what the lab throws to leave a CPU is
 * nobody's error.
 */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { explore, percpu } from 'percpu-lab'

const { struct, atomic, i32 } = percpu
const Words = struct('Words', { one: atomic(i32), two: atomic(i32) })
const rejections: unknown[] = []
const note = (reason: unknown) => rejections.push(reason)
process.on('unhandledRejection', note)
after(() => process.off('unhandledRejection', note))

describe('a body that catches everything', () => {
  it('and reports it as an uncaught error', async () => {
    const { executions } = await explore('catch and report', (t) => {
      const m = t.memory(Words)
      for (const number of [0, 1])
        t.cpu(number, () => {
          try {
            m.one.add(1)
            m.two.add(1)
          } catch (error) {
            queueMicrotask(() => {
              throw error
            })
          }
        })
      t.finally(() => assert.deepEqual([m.one.load(), m.two.load()], [2, 2]))
    })
    assert.equal(executions, 4)
  })

  it('and lets promises reject', async () => {
    await explore('reject', (t) => {
      const m = t.memory(Words)
      for (const number of [0, 1])
        t.cpu(number, async () => {
          void Promise.resolve().then(() => m.one.add(1))
          await Promise.resolve()
          m.two.add(1)
        })
      t.finally(() => assert.deepEqual([m.one.load(), m.two.load()], [2, 2]))
    })
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(rejections, [])
  })

  it('is still found out when it throws itself', async () => {
    await assert.rejects(
      explore('throw', (t) => {
        const m = t.memory(Words)
        t.cpu(0, () => {
          m.one.add(1)
          queueMicrotask(() => {
            throw new Error('mine')
          })
        })
      }),
      /mine/,
    )
  })
})
