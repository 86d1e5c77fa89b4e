/**
 * `timeout` and `signal` mean the same to every call that waits, and an end of waiting leaves
 * nothing behind.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { boot, type Machine, type WaitOptions } from 'percpu'
import { orAtomic32, store32, storeAtomic32 } from 'percpu/mem'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { addressOf } from '../support/inside.js'
import { joinAs } from '../support/machines.js'

const { Cpu, RcuNode } = await import('../../dist/machine/layouts.js')
const { PercpuRefLayout } = await import('../../dist/percpu/layouts.js')
const { ENTERED, PASSED } = await import('../../dist/percpu/rcu-sync.js')
const { INITIAL_STATE } = await import('../../dist/percpu/ref.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

interface Scene {
  readonly machine: Machine
  /** Another CPU of the same thread, which has everything that is waited for. */
  readonly other: Machine
}
/** Of a reference count: it was killed. */
const DEAD = 4
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
  // Killed, and released.
  other.percpu.ref('dead')
  const { state, mode } = refWords(machine, 'dead')
  storeAtomic32(machine.memory.i32, state, ENTERED | PASSED | DEAD)
  store32(machine.memory.i32, mode, 1)
  return { machine, other }
}

/** Word indices. */
function refWords(machine: Machine, name: string): { readonly state: number; readonly mode: number } {
  const address = addressOf(machine.memory, 'ref', name)
  const { state, mode } = PercpuRefLayout.words
  return { state: address / 4 + state, mode: address / 4 + mode }
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
const writeLock: Call = ({ machine }, options) => machine.percpu.rwSemaphore('w').writeLock(options)
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
  'rwSemaphore.writeLock': writeLock,
  'ref.released': ({ machine }, options) => machine.percpu.ref('r').released(options),
  'ref.kill': ({ machine }, options) => machine.percpu.ref('r').kill(options),
  'ref.switchToAtomic': ({ machine }, options) => machine.percpu.ref('r').switchToAtomic(options),
  'ref.switchToPercpu': ({ machine }, options) => machine.percpu.ref('r').switchToPercpu(options),
  'ref.reinit': ({ machine }, options) => machine.percpu.ref('dead').reinit(options),
  'ref.resurrect': ({ machine }, options) => machine.percpu.ref('dead').resurrect(options),
  synchronize: ({ machine }, options) => machine.rcu.synchronize(options),
  call: ({ machine }, options) => machine.cpus.call(2, 'f', options),
}
const GRACE = 'rwSemaphore.writeLock, in its grace period'
/** Their last step is to wait until another CPU answers. */
const needsAnswer = (name: string): boolean =>
  ['synchronize', 'call', GRACE].includes(name) || (name.startsWith('ref.') && name !== 'ref.released')
/** Before the call is made. */
const preparations: Readonly<Record<string, (scene: Scene) => Promise<unknown>>> = {
  'rwSemaphore.readLockAsync': ({ other }) => other.percpu.rwSemaphore('w').writeLock(),
  'rwSemaphore.writeLock': ({ other }) => other.percpu.rwSemaphore('w').writeLock(),
  'ref.switchToPercpu': ({ other }) => other.percpu.ref('r').switchToAtomic(),
}
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
  for (const [name, call] of Object.entries({ ...asynchronous, [GRACE]: writeLock })) {
    /** Nobody answers or releases anything while the call is under way. */
    const begin = async (options: WaitOptions): Promise<readonly [Scene, Promise<unknown>]> => {
      const scene = setUp()
      await preparations[name]?.(scene)
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
      const isLock = !needsAnswer(name) || name === GRACE
      await rejectsCode(waiting, isLock ? 'PERCPU_LOCK_TIMEOUT' : 'PERCPU_UNANSWERED')
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

describe('a change that gives up while CPUs are busy', () => {
  const scene = (): Scene => {
    const begun = setUp()
    bringSilentCpu(begun)
    return begun
  }
  const gone = ({ machine }: Scene): unknown => machine.cpus.declareDead(2)

  it('leaves a reference count as it was, to be changed again', async () => {
    const begun = scene()
    const ref = begun.machine.percpu.ref('r')
    const same = begun.other.percpu.ref('r')
    ref.get()
    await rejectsCode(ref.switchToAtomic({ timeout: 1 }), 'PERCPU_UNANSWERED', /2 did not/)
    assert.deepEqual([ref.isAtomic, ref.isDying], [false, false])
    const { signal, abort } = makeSignal()
    const killing = assert.rejects(ref.kill({ signal }), reason)
    while (!ref.isDying) await setImmediate()
    // Counted together for a while, given back by the CPU for itself.
    same.get()
    abort()
    await killing
    same.put()
    assert.deepEqual([same.tryGetLive(), same.isAtomic, same.isDying], [true, false, false])
    gone(begun)
    await ref.kill()
    ref.put()
    assert.equal(ref.isZero, false)
    same.put()
    assert.equal(ref.isZero, true)
  })

  it('leaves what a dead thread began to the next one', async () => {
    const begun = scene()
    const ref = begun.machine.percpu.ref('r')
    // It died while it killed the reference count.
    const { state } = refWords(begun.machine, 'r')
    storeAtomic32(begun.machine.memory.i32, state, INITIAL_STATE | ENTERED | DEAD)
    await rejectsCode(ref.switchToAtomic({ timeout: 1 }), 'PERCPU_UNANSWERED')
    assert.deepEqual([ref.isAtomic, ref.isDying, ref.isZero], [true, true, false])
    gone(begun)
    await ref.released()
  })

  it('leaves a lock to readers and to the next writer', async () => {
    const begun = scene()
    const [lock, same] = [begun.machine.percpu.rwSemaphore('w'), begun.other.percpu.rwSemaphore('w')]
    const reader = same.readLock()
    await rejectsCode(lock.writeLock({ timeout: 1 }), 'PERCPU_LOCK_TIMEOUT', /2 did not/)
    assert.deepEqual([lock.isWriting, lock.isSlow, lock.readers], [false, false, 1])
    const { signal, abort } = makeSignal()
    const failed = assert.rejects(lock.writeLock({ signal }), reason)
    while (!lock.isSlow) await setImmediate()
    reader.unlock()
    abort()
    await failed
    assert.deepEqual([lock.isWriting, lock.isSlow, lock.readers], [false, false, 0])
    same.readLock().unlock()
    const writing = same.writeLock({ timeout: 5000 })
    gone(begun)
    const writer = await writing
    assert.deepEqual([writer.predecessorDied, lock.tryReadLock()], [false, undefined])
    writer.unlock()
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
  const map = readMap(memory)
  const record = map.cpuTable + (2 * Cpu.stride) / 4
  storeAtomic32(memory.i32, record + Cpu.words.thread, 999)
  storeAtomic32(memory.i32, record + Cpu.words.state, (1 << 3) | 2)
  orAtomic32(memory.i32, map.rcuNodes + RcuNode.words.active, 1 << 2)
  assert.deepEqual(machine.online, [0, 1, 2])
}
