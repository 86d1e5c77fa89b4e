/** A thread on which `Atomics.wait` throws, as the main thread of a browser page. */
import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { mem } from '../machine/support/hooked-percpu.js'
import { codeOf, fresh } from './support/cpus.js'

afterEach(() => {
  mem.control.before = undefined
})
function forbid(): void {
  mem.control.before = (name) => {
    if (name === 'wait32') throw new TypeError('Atomics.wait cannot be called in this context')
  }
}

describe('where a thread must not block', () => {
  it('blocking forms are refused, also for what is free, and leave nothing behind', () => {
    const machine = fresh()
    const mutex = machine.mutex('m')
    const guard = mutex.tryLock()
    assert.ok(guard)
    forbid()
    const refused: Readonly<Record<string, () => unknown>> = {
      lock: () => machine.mutex('n').lock(),
      run: () => machine.mutex('n').run(() => 1),
      'condition.wait': () => machine.condition('c', mutex).wait(guard),
      'completion.wait': () => machine.completion('d').wait(),
      'semaphore.acquire': () => machine.semaphore('p', 1).acquire(),
      'seqlock.write': () => machine.seqlock('s').write(() => 1),
    }
    for (const [name, run] of Object.entries(refused))
      for (let i = 0; i < 2; i++) assert.equal(codeOf(run), 'PERCPU_UNSUPPORTED', name)
    assert.ok(guard.isHeld)
    guard.unlock()
    assert.deepEqual(machine.locksOf(0), [])
    assert.equal(machine.semaphore('p', 1).permits, 1)
  })

  it('try, async and reading forms work', async () => {
    const machine = fresh()
    forbid()
    machine.mutex('m').tryLock()?.unlock()
    assert.equal(await machine.mutex('m').runAsync(() => 7), 7)
    const guard = await machine.mutex('m').lockAsync()
    assert.equal(await machine.condition('c', machine.mutex('m')).waitAsync(guard, { timeout: 1 }), false)
    guard.unlock()
    machine.completion('d').complete()
    await machine.completion('d').waitAsync()
    await machine.semaphore('p', 1).acquireAsync()
    machine.semaphore('p', 1).release()
    await machine.seqlock('s').writeAsync(() => 1)
    assert.equal(
      machine.seqlock('s').read(() => 5),
      5,
    )
  })
})
