/** A reaper that is killed is finished by the next one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem } from 'percpu-lab'

async function reap(
  mode: 'exhaustive' | 'enumerate',
): Promise<{ ends: ReadonlySet<string>; executions: number }> {
  const ends = new Set<string>()
  const { executions } = await explore(
    'a reaper that dies',
    (t) => {
      const { memory, base } = t.words(3)
      t.cpu(0, () => {
        mem.storeAtomic32(memory.i32, base, 1)
        mem.storeAtomic32(memory.i32, base, 0)
      })
      t.cpu(1, () => mem.addAtomic32(memory.i32, base + 2, 1))
      const reaper = (): void => {
        mem.addAtomic32(memory.i32, base + 1, 1)
        mem.addAtomic32(memory.i32, base + 2, 1)
        mem.storeAtomic32(memory.i32, base, 0)
      }
      t.kill(0, { reaper, reaperKill: { reaper } })
      t.finally(() => {
        const words = [0, 1, 2].map((word) => mem.load32(memory.i32, base + word))
        assert.equal(words[0], 0)
        ends.add(words.join())
      })
    },
    { mode },
  )
  return { ends, executions }
}

describe('a reaper', () => {
  it('may be killed before any of its steps, and is followed by another one', async () => {
    const exhaustive = await reap('exhaustive')
    const enumerated = await reap('enumerate')
    assert.deepEqual([...exhaustive.ends].sort(), ['0,0,1', '0,1,2', '0,2,2', '0,2,3'])
    assert.deepEqual(new Set([...enumerated.ends].sort()), new Set([...exhaustive.ends].sort()))
    assert.ok(exhaustive.executions < enumerated.executions)
  })
})
