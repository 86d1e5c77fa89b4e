/** A thread on which `Atomics.wait` throws, as the main thread of a browser page. */
import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { codeOf } from '../support/codes.js'
import { fresh, mem } from '../support/hooked-percpu.js'

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
    const mutex = machine.locks.mutex('m')
    const guard = mutex.tryLock()
    assert.ok(guard)
    forbid()
    const refused: Readonly<Record<string, () => unknown>> = {
      lock: () => machine.locks.mutex('n').lock(),
      run: () => machine.locks.mutex('n').run(() => 1),
      'condition.wait': () => machine.locks.condition('c', mutex).wait(guard),
      'completion.wait': () => machine.locks.completion('d').wait(),
      'semaphore.acquire': () => machine.locks.semaphore('p', 1).acquire(),
      'seqlock.write': () => machine.locks.seqlock('s').write(() => 1),
    }
    for (const [name, run] of Object.entries(refused))
      for (let i = 0; i < 2; i++) assert.equal(codeOf(run), 'PERCPU_UNSUPPORTED', name)
    assert.ok(guard.isHeld)
    guard.unlock()
    assert.deepEqual(machine.locks.heldBy(0), [])
    assert.equal(machine.locks.semaphore('p', 1).available, 1)
  })

  it('blocking forms of grace periods are refused, and leave none wanted', async () => {
    const machine = fresh()
    const domains = (['fast', 'normal'] as const).map((flavour) => machine.srcu(flavour, { flavour }))
    forbid()
    const refused: Readonly<Record<string, () => unknown>> = {
      synchronizeBlocking: () => machine.rcu.synchronizeBlocking(),
      callBlocking: () => machine.rcu.callBlocking(() => undefined),
      ...Object.fromEntries(domains.map((domain) => [domain.flavour, () => domain.synchronizeBlocking()])),
      'srcu.callBlocking': () => domains[0]?.callBlocking(() => undefined),
    }
    for (const [name, run] of Object.entries(refused))
      for (let i = 0; i < 2; i++) assert.equal(codeOf(run), 'PERCPU_UNSUPPORTED', name)
    for (const { domain, isWanted } of machine.watch.inspect().gracePeriods)
      assert.equal(isWanted, false, domain)
    for (const domain of domains) await domain.cleanup()
  })

  it('try, async and reading forms work', async () => {
    const machine = fresh()
    forbid()
    machine.locks.mutex('m').tryLock()?.unlock()
    assert.equal(await machine.locks.mutex('m').runAsync(() => 7), 7)
    const guard = await machine.locks.mutex('m').lockAsync()
    assert.equal(
      await machine.locks.condition('c', machine.locks.mutex('m')).waitAsync(guard, { timeout: 1 }),
      false,
    )
    guard.unlock()
    machine.locks.completion('d').complete()
    await machine.locks.completion('d').waitAsync()
    const permit = await machine.locks.semaphore('p', 1).acquireAsync()
    permit.release()
    await machine.locks.seqlock('s').writeAsync(() => 1)
    assert.equal(
      machine.locks.seqlock('s').read(() => 5),
      5,
    )
  })
})
