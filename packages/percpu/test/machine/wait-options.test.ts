/**
 * `timeout` and `signal` mean the same to every call that waits, and an end of waiting leaves
 * nothing behind.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { boot, type Machine, type WaitOptions } from 'percpu'
import { storeAtomic32 } from 'percpu/mem'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'

const { Cpu } = await import('../../dist/machine/layouts.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

interface Scene {
  readonly machine: Machine
  /** Another CPU of the same thread, which has everything that is waited for. */
  readonly other: Machine
}
type Call = (scene: Scene, options: WaitOptions) => unknown

/** CPU 0 has the mutex of the condition; all else is with CPU 1. */
function setUp(): Scene {
  const machine = boot({ cpus: 3, memory: '1 MiB' })
  const other = joinAs(machine, 101)
  other.locks.mutex('m').lock()
  // A write under way: readers wait.
  other.locks
    .seqlock('q')
    .mutex.lock()
    .run(() => undefined)
  other.locks.semaphore('s', 2).acquire(2)
  return { machine, other }
}

const condition = ({ machine }: Scene) => machine.locks.condition('c', machine.locks.mutex('n'))
const blocking: Readonly<Record<string, Call>> = {
  'mutex.lock': ({ machine }, options) => machine.locks.mutex('m').lock(options),
  'mutex.run': ({ machine }, options) => machine.locks.mutex('m').run(() => 1, options),
  'semaphore.acquire': ({ machine }, options) => machine.locks.semaphore('s', 2).acquire(1, options),
  'completion.wait': ({ machine }, options) => machine.locks.completion('d').wait(options),
  'seqlock.read': ({ machine }, options) => machine.locks.seqlock('q').read(() => 1, options),
  'seqlock.write': ({ machine }, options) => machine.locks.seqlock('q').write(() => 1, options),
  'rwSemaphore.readLock': ({ machine }, options) => machine.percpu.rwSemaphore('w').readLock(options),
}
const asynchronous: Readonly<Record<string, Call>> = {
  'mutex.lockAsync': ({ machine }, options) => machine.locks.mutex('m').lockAsync(options),
  'mutex.runAsync': ({ machine }, options) => machine.locks.mutex('m').runAsync(() => 1, options),
  'semaphore.acquireAsync': ({ machine }, options) =>
    machine.locks.semaphore('s', 2).acquireAsync(1, options),
  'completion.waitAsync': ({ machine }, options) => machine.locks.completion('d').waitAsync(options),
  'seqlock.readAsync': ({ machine }, options) => machine.locks.seqlock('q').readAsync(() => 1, options),
  'seqlock.writeAsync': ({ machine }, options) => machine.locks.seqlock('q').writeAsync(() => 1, options),
  'rwSemaphore.readLockAsync': ({ machine }, options) =>
    machine.percpu.rwSemaphore('w').readLockAsync(options),
  'rwSemaphore.writeLock': ({ machine }, options) => machine.percpu.rwSemaphore('w').writeLock(options),
  'ref.released': ({ machine }, options) => machine.percpu.ref('r').released(options),
  synchronize: ({ machine }, options) => machine.rcu.synchronize(options),
  call: ({ machine }, options) => machine.cpus.call(2, 'f', options),
}
const needsAnswer = (name: string): boolean => ['synchronize', 'call'].includes(name)
const reason = new Error('enough')

describe('every call that waits', () => {
  for (const [name, call] of Object.entries({ ...blocking, ...asynchronous })) {
    const isBlocking = name in blocking
    const refused = async (options: unknown, code: string, message: RegExp): Promise<void> => {
      const scene = setUp()
      const run = (): unknown => call(scene, options as WaitOptions)
      if (isBlocking) throwsCode(run, code, message)
      else await rejectsCode(Promise.resolve(run()), code, message)
      assert.deepEqual(scene.machine.locks.heldBy(0), [])
    }

    it(`refuses what is no timeout and no signal: ${name}`, async () => {
      for (const timeout of [-1, NaN, '5', null])
        await refused({ timeout }, 'PERCPU_ARGUMENT', /timeout: .* is not a number of milliseconds/)
      for (const signal of [1, 'stop', null, {}, new AbortController()])
        await refused({ signal }, 'PERCPU_ARGUMENT', /signal: .* is not an AbortSignal/)
      await refused({ misspelt: 1 }, 'PERCPU_ARGUMENT', /has no option misspelt; it has .*timeout, signal/)
    })

    it(`does nothing for a signal that has aborted: ${name}`, async () => {
      const scene = setUp()
      const signal = AbortSignal.abort(reason)
      const run = (): unknown => call(scene, { signal })
      if (isBlocking) assert.throws(run, reason)
      else await assert.rejects(Promise.resolve(run()), reason)
      assert.deepEqual(scene.machine.locks.heldBy(0), [])
      assert.deepEqual(getEventListeners(signal, 'abort'), [])
    })
  }
})

describe('a call that waits asynchronously', () => {
  for (const [name, call] of Object.entries(asynchronous)) {
    /** Nobody answers or releases anything while the call is under way. */
    const begin = async (options: WaitOptions): Promise<readonly [Scene, Promise<unknown>]> => {
      const scene = setUp()
      if (name.startsWith('rw')) await scene.other.percpu.rwSemaphore('w').writeLock()
      if (needsAnswer(name)) bringSilentCpu(scene)
      return [scene, Promise.resolve(call(scene, options))]
    }

    it(`ends when its signal aborts: ${name}`, async () => {
      const { signal, abort } = makeSignal()
      const [{ machine }, waiting] = await begin({ signal })
      const failed = assert.rejects(waiting, reason)
      await setImmediate()
      assert.equal(getEventListeners(signal, 'abort').length, 1)
      abort()
      await failed
      assert.deepEqual(getEventListeners(signal, 'abort'), [])
      assert.deepEqual(machine.locks.heldBy(0), [])
    })

    it(`ends when its time is over, and listens to its signal no more: ${name}`, async () => {
      const { signal } = makeSignal()
      const [{ machine }, waiting] = await begin({ signal, timeout: 5 })
      await rejectsCode(waiting, needsAnswer(name) ? 'PERCPU_UNANSWERED' : 'PERCPU_LOCK_TIMEOUT')
      assert.deepEqual(getEventListeners(signal, 'abort'), [])
      assert.deepEqual(machine.locks.heldBy(0), [])
    })
  }

  it('listens to its signal no more when it has what it waited for', async () => {
    const { signal } = makeSignal()
    const { machine, other } = setUp()
    const locking = machine.locks.mutex('m').lockAsync({ signal })
    await setImmediate()
    other.locks.mutex('m').unlock()
    const guard = await locking
    assert.ok(guard.isHeld)
    await Promise.all([
      machine.rcu.synchronize({ signal }),
      machine.cpus.call([], 'f', { signal }),
      machine.cpus.call(0, 'f', { signal, wait: false }),
    ])
    assert.deepEqual(getEventListeners(signal, 'abort'), [])
    guard.unlock()
  })
})

describe('a call of a function', () => {
  it('is not made if its signal aborts while the one before it is under way', async () => {
    const scene = setUp()
    const { machine } = scene
    let calls = 0
    machine.cpus.registerFunction('f', () => calls++)
    bringSilentCpu(scene)
    const first = machine.cpus.call(2, 'f')
    const { signal, abort } = makeSignal()
    const second = machine.cpus.call(0, 'f', { signal })
    const failed = assert.rejects(second, reason)
    abort()
    await failed
    machine.cpus.declareDead(2)
    assert.deepEqual((await first).gone, [2])
    assert.deepEqual((await machine.cpus.call(0, 'f')).ran, [0])
    assert.equal(calls, 1)
  })

  it('that nobody waits for holds up those behind it until its signal aborts', async () => {
    const scene = setUp()
    const { machine } = scene
    bringSilentCpu(scene)
    const { signal, abort } = makeSignal()
    await machine.cpus.call(2, 'f', { wait: false, signal })
    let isOver = false
    const second = machine.cpus.call(0, 'f').then(() => (isOver = true))
    for (let i = 0; i < 5; i++) await setImmediate()
    assert.equal(isOver, false)
    abort()
    await second
  })
})

describe('a condition', () => {
  it('is waited for with the same options', async () => {
    const scene = setUp()
    const guard = scene.machine.locks.mutex('n').lock()
    const aborted = AbortSignal.abort(reason)
    assert.throws(() => condition(scene).wait(guard, { signal: aborted }), reason)
    await assert.rejects(condition(scene).waitAsync(guard, { signal: aborted }), reason)
    for (const wrong of [{ timeout: -1 }, { signal: {} as never }]) {
      throwsCode(() => condition(scene).wait(guard, wrong), 'PERCPU_ARGUMENT')
      await rejectsCode(condition(scene).waitAsync(guard, wrong), 'PERCPU_ARGUMENT')
    }
    const { signal, abort } = makeSignal()
    const waiting = assert.rejects(condition(scene).waitAsync(guard, { signal }), reason)
    await setImmediate()
    abort()
    await waiting
    assert.deepEqual([guard.isHeld, getEventListeners(signal, 'abort')], [true, []])
    assert.equal(condition(scene).wait(guard, { timeout: 1, signal: makeSignal().signal }), false)
  })
})

function makeSignal(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort(reason) }
}

/** CPU 2 comes online, by its words, and never answers. */
function bringSilentCpu({ machine }: Scene): void {
  const { memory } = machine
  const record = readMap(memory).cpuTable + (2 * Cpu.stride) / 4
  storeAtomic32(memory.i32, record + Cpu.words.thread, 999)
  storeAtomic32(memory.i32, record + Cpu.words.state, (1 << 3) | 2)
  assert.deepEqual(machine.online, [0, 1, 2])
}
