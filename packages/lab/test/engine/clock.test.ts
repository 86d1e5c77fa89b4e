/** Time, as code that is explored sees it: a wait that timed out took as long as it said. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem } from 'percpu-lab'

describe('a deadline', () => {
  it('is over after a wait until then has timed out', async () => {
    const rests = new Set<boolean>()
    await explore('sleeping until a deadline', (t) => {
      const { memory, base } = t.words(1)
      t.cpu(0, () => {
        const deadline = performance.now() + 50
        let sleeps = 0
        while (performance.now() < deadline && mem.loadAtomic32(memory.i32, base) === 0) {
          mem.wait32(memory.i32, base, 0, deadline - performance.now())
          sleeps++
        }
        return sleeps
      })
      t.cpu(1, () => {
        mem.storeAtomic32(memory.i32, base, 1)
        mem.notify32(memory.i32, base)
      })
      t.finally(([sleeps]) => {
        rests.add(sleeps === 1)
        assert.ok(sleeps === 0 || sleeps === 1, `slept ${String(sleeps)} times`)
      })
    })
    assert.equal(rests.size, 2)
  })

  it('is over when a timer that was set for it goes off, or an asynchronous wait times out', async () => {
    await explore('waiting asynchronously', (t) => {
      const { memory, base } = t.words(1)
      t.cpu(0, async () => {
        const begin = performance.now()
        await new Promise((resolve) => setTimeout(resolve, 50))
        const middle = performance.now()
        const wait = mem.waitAsync32(memory.i32, base, 0, 50)
        const how = wait.async ? await wait.value : wait.value
        return [middle - begin >= 50, how !== 'timed-out' || performance.now() - middle >= 50]
      })
      t.cpu(1, () => {
        mem.notify32(memory.i32, base)
      })
      t.finally(([all]) => assert.deepEqual(all, [true, true]))
    })
  })
})
