/** Functions that run functions: one of them waits for room. */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { loadAtomic32 } from 'percpu/mem'
import { fresh, joinAs } from '../support/machines.js'
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
      machine.rcu.callBlocking(() => calls.push(4), { timeout: 5000 })
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

describe('a CPU that leaves', () => {
  it('tells its own barrier that its functions are lost', async () => {
    for (const options of [{ timeout: 0 }, { signal: AbortSignal.abort() }])
      for (const kind of ['rcu', 'srcu'] as const) {
        const machine = fresh()
        const other = joinAs(machine, 101)
        machine.on('callbacksLost', () => undefined)
        const queues = [machine, other].map((each) => (kind === 'rcu' ? each.rcu : each.srcu('s')))
        const [queue, own] = queues
        assert.ok(queue && own)
        const calls: string[] = []
        void own.call(() => calls.push('lost'))
        const [theirs, mine] = [queue.barrier(), own.barrier()]
        const isRefused = assert.rejects(mine, { code: 'PERCPU_OFFLINE' })
        await other.offline(options)
        await isRefused
        // For others they are over.
        await theirs
        assert.deepEqual(calls, [])
      }
  })
  it('tells no barrier of functions that were called', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const calls: string[] = []
    void other.rcu.call(() => calls.push('called'))
    const barrier = other.rcu.barrier()
    await other.offline()
    await barrier
    assert.deepEqual(calls, ['called'])
  })
  it('waits for its functions for ten seconds, however patient it is', { timeout: 20_000 }, async () => {
    const machine = fresh()
    const other = joinAs(machine, 101, { stallTimeout: Infinity })
    const down = machine.srcu('s').downRead()
    let lost = 0
    machine.on('callbacksLost', ({ count }) => (lost += count))
    other.on('callbacksLost', ({ count }) => (lost += count))
    void other.srcu('s').call(() => assert.fail('the section has not ended'))
    mock.timers.enable({ apis: ['setTimeout'] })
    const leaving = other.offline()
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    mock.timers.tick(10_000)
    mock.timers.reset()
    await leaving
    assert.equal(lost, 1)
    machine.srcu('s').upRead(down)
  })
})
