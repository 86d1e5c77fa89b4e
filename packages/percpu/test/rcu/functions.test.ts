/** Functions that run functions: one of them waits for room. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { loadAtomic32 } from 'percpu/mem'
import { fresh } from '../support/machines.js'
import { mapOf } from './support/lists.js'

const { CallbackList } = await import('../../dist/rcu/layouts.js')
const { words } = CallbackList

describe('a function that waits for room', () => {
  it('has not returned for others before it has, though those behind it have', async () => {
    const machine = fresh({ callbacks: { full: { callbacks: 2 } } })
    const list = mapOf(machine).lists[0] ?? 0
    const head = (): number => loadAtomic32(machine.memory.i32, list + words.functionsHead)
    const before = head()
    const calls: number[] = []
    void machine.rcu.call(() => {
      machine.rcu.callBlocking(() => calls.push(4), 5000)
      assert.deepEqual(calls, [2, 3, 5])
      assert.equal(head(), before)
      calls.push(1)
    })
    for (const call of [2, 3]) void machine.rcu.call(() => calls.push(call))
    void machine.rcu.call(() => calls.push(5))
    await machine.rcu.barrier()
    assert.deepEqual(calls, [2, 3, 5, 1])
    assert.equal(head(), before + 4)
    await machine.rcu.barrier()
    assert.deepEqual(calls, [2, 3, 5, 1, 4])
  })
})
