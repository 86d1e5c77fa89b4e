/** Reapers that are killed as well. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, percpu } from 'percpu-lab'

const { struct, atomic, i32 } = percpu
const Words = struct('Words', { body: atomic(i32), first: atomic(i32), second: atomic(i32) })

describe('a reaper', () => {
  it('is killed before each of its steps, and after the last one not at all', async () => {
    const seen = new Set<string>()
    const { executions } = await explore(
      'reaper killed',
      (t) => {
        const m = t.memory(Words)
        t.cpu(0, () => void m.body.add(1))
        t.kill(0, {
          reaper: () => {
            m.first.add(1)
            m.first.add(1)
          },
          reaperKill: { reaper: () => void m.second.add(1) },
        })
        t.finally(() => seen.add([m.body, m.first, m.second].map((word) => word.load()).join()))
      },
      { mode: 'enumerate' },
    )
    // The body alone; killed before or after its step, and then the reaper not, or before its
    // first, second or last step.
    const reaped = ['2,0', '0,1', '1,1', '2,1']
    assert.deepEqual(
      [...seen].sort(),
      ['1,0,0', ...[0, 1].flatMap((body) => reaped.map((rest) => `${body},${rest}`))].sort(),
    )
    assert.equal(executions, 9)
  })
})
