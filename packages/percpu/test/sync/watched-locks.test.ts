/**
 * Locks as watchers see them: who owns and awaits which, deadlocks by name, and what a dead CPU
 * held.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, SeqlockLayout, TRACE_ALL, TRACE_LOCKS, type Dispatch, type Machine } from 'percpu'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'

/** The waits in a CPU's dispatch log; empties nothing. */
function waitsOf(machine: Machine, cpu: number): readonly Dispatch[] {
  const { dispatches = [] } = machine.watch.inspect({ dispatches: 84 }).cpus[cpu] ?? {}
  return dispatches.filter(({ kind }) => kind === 'lock wait')
}
const shape = ({ subject, failed }: Dispatch) => [subject, failed]

describe('an inspection', () => {
  it('names locks, a deadlock of two workers, and what one of them held when it is ended', async () => {
    const machine = boot({ cpus: 3 })
    const mutexes = ['accounts', 'orders'].map((name) => machine.locks.mutex(name))
    const start = async (first: string, second: string) => {
      const worker = new Worker(new URL('./lock-order-worker.js', import.meta.url), {
        workerData: { handle: machine.handle, first, second },
      })
      const { reaped } = machine.supervise(worker)
      const [cpu] = (await once(worker, 'message')) as [number]
      return { worker, reaped, cpu }
    }
    const one = await start('accounts', 'orders')
    const two = await start('orders', 'accounts')
    try {
      const locks = (cpu: number) => machine.watch.inspect().cpus[cpu]?.locks
      assert.deepEqual(
        locks(one.cpu)?.owned.map(({ name }) => name),
        ['accounts'],
      )
      assert.deepEqual(machine.watch.inspect().deadlocks, [])
      one.worker.postMessage('go')
      two.worker.postMessage('go')
      while (machine.watch.inspect().deadlocks[0]?.certain !== true) await new Promise(setImmediate)
      const [deadlock] = machine.watch.inspect().deadlocks
      assert.deepEqual(deadlock?.cpus, [one.cpu, two.cpu])
      assert.deepEqual(
        deadlock.locks.map(({ name, owner }) => [name, owner]),
        [
          ['orders', two.cpu],
          ['accounts', one.cpu],
        ],
      )
      assert.equal(machine.watch.inspect().cpus[one.cpu]?.work?.label, 'locks orders')

      const monitor = machine.watch.monitor({ interval: 20 })
      const died = monitor.once('died')
      await two.worker.terminate()
      assert.deepEqual(await two.reaped, [two.cpu])
      const { postMortem } = await died
      assert.deepEqual(
        postMortem?.locks.owned.map(({ name }) => name),
        ['orders'],
      )
      while ((locks(one.cpu)?.owned.length ?? 0) < 2) await new Promise(setImmediate)
      assert.deepEqual(machine.watch.inspect().deadlocks, [])
      monitor.stop()
    } finally {
      await Promise.all([one.worker.terminate(), two.worker.terminate()])
      await Promise.all([one.reaped, two.reaped])
    }
    for (const mutex of mutexes) mutex.lock().unlock()
  })
})

describe('a seqlock', () => {
  it('goes by its name, or by its address', () => {
    const machine = boot({ cpus: 1 })
    const named = machine.locks.seqlock('prices')
    const bare = machine.locks.seqlockAt(machine.heap.memblock.alloc({ size: SeqlockLayout.size }))
    const owned = () =>
      machine.watch.inspect().cpus[0]?.locks.owned.map(({ name, address }) => [name, address])
    named.write(() => {
      assert.deepEqual(owned(), [['prices', named.mutex.address]])
    })
    bare.write(() => {
      assert.deepEqual(owned(), [[undefined, bare.mutex.address]])
    })
  })
})

describe('the dispatch log, while locks are traced,', () => {
  it('says which lock a thread slept for, since when, and for how long', async () => {
    const machine = boot({ cpus: 2 })
    machine.watch.trace(1, TRACE_LOCKS)
    const mutex = machine.locks.mutex('orders')
    const guard = mutex.lock()
    const workerData = { handle: machine.handle, first: 'accounts', second: 'orders' }
    const worker = new Worker(new URL('./lock-order-worker.js', import.meta.url), { workerData })
    const { reaped } = machine.supervise(worker)
    try {
      await once(worker, 'message')
      const before = machine.watch.inspect().at
      worker.postMessage('go')
      while (machine.watch.inspect().cpus[1]?.locks.awaited[0]?.blocking !== true)
        await new Promise(setImmediate)
      assert.deepEqual(waitsOf(machine, 1), [], 'it still waits')
      guard.unlock()
      while (waitsOf(machine, 1).length === 0) await new Promise(setImmediate)
      const [wait, ...more] = waitsOf(machine, 1)
      assert.ok(wait)
      assert.deepEqual([shape(wait), more], [[mutex.address, false], []])
      assert.ok(wait.at >= before && wait.duration > 0)
      assert.ok(wait.at + wait.duration <= machine.watch.inspect().at)
    } finally {
      await worker.terminate()
      await reaped
    }
  })

  it('has an entry for each wait of a task, and for waits that came to nothing', async () => {
    const machine = boot({ cpus: 3 })
    machine.watch.trace([0, 1], TRACE_LOCKS)
    const other = joinAs(machine, 101)
    const mutex = machine.locks.mutex('m')
    const { address } = mutex
    const guard = other.locks.mutex('m').lock()
    throwsCode(() => mutex.lock({ timeout: 2 }), 'PERCPU_LOCK_TIMEOUT')
    const abort = new AbortController()
    const given = mutex.lockAsync({ signal: abort.signal })
    const waiting = mutex.lockAsync()
    abort.abort(new Error('enough'))
    await assert.rejects(given, /enough/)
    guard.unlock()
    const taken = await waiting
    assert.deepEqual(waitsOf(machine, 0).map(shape), [
      [address, true],
      [address, true],
      [address, false],
    ])
    assert.ok((waitsOf(machine, 0)[0]?.duration ?? 0) >= 1)
    taken.unlock()
    assert.deepEqual(waitsOf(machine, 1), [], 'the other one had not to wait')
  })

  it('has entries for semaphores, conditions and completions', async () => {
    const machine = boot({ cpus: 2 })
    machine.watch.trace(0, TRACE_LOCKS)
    const other = joinAs(machine, 101)
    const semaphore = machine.locks.semaphore('s', 1)
    const completion = machine.locks.completion('done')
    const mutex = machine.locks.mutex('m')
    const condition = machine.locks.condition('c', mutex)

    const permit = other.locks.semaphore('s', 1).acquire()
    const acquired = semaphore.acquireAsync()
    permit.release()
    const taken = await acquired
    throwsCode(() => semaphore.acquire(1, { timeout: 1 }), 'PERCPU_LOCK_TIMEOUT')
    await rejectsCode(completion.waitAsync({ timeout: 1 }), 'PERCPU_LOCK_TIMEOUT')
    const guard = mutex.lock()
    const notified = condition.waitAsync(guard)
    const notifier = other.locks.mutex('m').lock()
    other.locks.condition('c', other.locks.mutex('m')).notify()
    notifier.unlock()
    assert.equal(await notified, true)
    guard.unlock()
    assert.deepEqual(waitsOf(machine, 0).map(shape), [
      [semaphore.address, false],
      [semaphore.address, true],
      [completion.address, true],
      [condition.address, false],
    ])
    taken.release()
  })

  it('has none for locks that were free, and none while other things are traced', async () => {
    const machine = boot({ cpus: 2 })
    const other = joinAs(machine, 101)
    const mutex = machine.locks.mutex('m')
    machine.watch.trace(0, TRACE_LOCKS)
    for (let i = 0; i < 10; i++) mutex.lock().unlock()
    ;(await mutex.lockAsync()).unlock()
    machine.locks.semaphore('s', 1).acquire().release()
    machine.watch.trace(0, TRACE_ALL & ~TRACE_LOCKS)
    const guard = other.locks.mutex('m').lock()
    throwsCode(() => mutex.lock({ timeout: 1 }), 'PERCPU_LOCK_TIMEOUT')
    guard.unlock()
    assert.deepEqual(waitsOf(machine, 0), [])
  })
})
