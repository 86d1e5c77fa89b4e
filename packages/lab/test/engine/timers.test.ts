/** One CPU's waits that time out, one after the other, and others between them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem } from 'percpu-lab'

/**
 * Two CPUs wait twice each, with time-outs; a third one wakes them once. Gives how the waits ended.
 */
async function twice(mode: 'exhaustive' | 'enumerate', waiters: number): Promise<ReadonlySet<string>> {
  const ends = new Set<string>()
  await explore(
    'two waits each',
    (t) => {
      const { memory, base } = t.words(waiters)
      for (let n = 0; n < waiters; n++)
        t.cpu(n, () => [1, 2].map(() => mem.wait32(memory.i32, base + n, 0, 10)).join())
      t.cpu(waiters, () => {
        for (let n = 0; n < waiters; n++) mem.notify32(memory.i32, base + n)
      })
      t.finally((results) => ends.add(results.slice(0, waiters).join(' ')))
    },
    { mode },
  )
  return ends
}

describe('a timer', () => {
  it('serves one wait after the other', async () => {
    const one = await twice('exhaustive', 1)
    assert.deepEqual([...one].sort(), ['ok,timed-out', 'timed-out,ok', 'timed-out,timed-out'])
    assert.deepEqual([...(await twice('enumerate', 1))].sort(), [...one].sort())
  })

  it('is there again when steps are taken back past its second wait', async () => {
    const two = await twice('exhaustive', 2)
    const ways = ['ok,timed-out', 'timed-out,ok', 'timed-out,timed-out']
    assert.deepEqual([...two].sort(), ways.flatMap((a) => ways.map((b) => `${a} ${b}`)).sort())
  })
})
