/**
 * Cleaning up after a CPU goes wrong somewhere: the step is repeated, and nothing is lost. What
 * goes wrong each time is reported, the rest is cleaned up all the same, and the number is free
 * again.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu } from 'percpu-lab'
import { machineMaker } from '../support/machine-maker.js'

const { hook, directly } = await import('../../../lab/dist/engine/hook.js')
const { CODE, NOTIFY } = await import('../../../lab/dist/engine/ops.js')
const layers = [
  (await import('../../dist/alloc/layer.js')).AllocLayer,
  (await import('../../dist/names/layer.js')).NamesLayer,
  (await import('../../dist/percpu/layer.js')).PercpuLayer,
  (await import('../../dist/rcu/layer.js')).RcuLayer,
  (await import('../../dist/rcu/srcu-layer.js')).SrcuLayer,
  (await import('../../dist/sync/layer.js')).SyncLayer,
]
const { HotplugError } = percpu
const steps = ['examine', 'recover'] as const
/** Of which layer a step is under way. */
let working: object | undefined
for (const { prototype } of layers)
  for (const step of steps) {
    const real = Reflect.get(prototype, step) as ((recovery: unknown) => void) | undefined
    if (!real) continue
    Reflect.set(prototype, step, function (this: unknown, recovery: unknown) {
      const outer = working
      working = prototype
      try {
        real.call(this, recovery)
      } finally {
        working = outer
      }
    })
  }
const { fresh, joinAs } = machineMaker(percpu, { memory: '1 MiB', cpus: 2 })
/** What `run` reports as uncaught errors, instead of those surfacing. */
function reports(run: () => void): unknown[] {
  const reported: unknown[] = []
  const { queueMicrotask } = globalThis
  globalThis.queueMicrotask = (callback) => {
    try {
      callback()
    } catch (error) {
      reported.push(error)
    }
  }
  try {
    run()
  } finally {
    globalThis.queueMicrotask = queueMicrotask
  }
  return reported
}

/** Whether a function of this name is on the stack. */
function isInside(name: RegExp): boolean {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 50
  const { stack = '' } = new Error()
  Error.stackTraceLimit = stackTraceLimit
  return name.test(stack)
}

/** Calls `before` with its index before each access of `run`. */
function watch(before: (index: number) => void, run: () => void): void {
  const op: typeof directly = (code, view, index, a, b) => {
    before(index)
    // Nobody of this thread sleeps.
    return (code & CODE) === NOTIFY ? 0 : directly(code, view, index, a, b)
  }
  hook.runner = { isRunning: true, op } as never
  try {
    run()
  } finally {
    hook.runner = undefined
  }
}

/**
 * Runs `run`, whose access number `at` among those made inside a layer's step throws; with `always`
 * all others of that layer throw then, too. Whether there were that many.
 */
function failInRecovery(at: number, always: boolean, run: () => void): boolean {
  let count = 0
  let failing: object | undefined
  watch(() => {
    if (working === undefined) return
    if (count++ === at) failing = working
    else if (!always || failing === undefined || failing !== working) return
    throw new RangeError(`access ${at}`)
  }, run)
  return count > at
}

/** `PERCPU_STRIDE=1` tries every access. */
const STRIDE = Number(process.env['PERCPU_STRIDE'] ?? 101)

/** A CPU that dies with something of many layers. */
function scene() {
  const machine = fresh()
  const dead: number[] = []
  machine.cpus.addHotplug({ name: 'note', dead: (cpu) => dead.push(cpu) })
  const mutex = machine.locks.mutex('m')
  const semaphore = machine.locks.semaphore('s', 2)
  const lock = machine.percpu.rwSemaphore('r')
  const counter = machine.percpu.counter('c')
  machine.srcu('d', { flavour: 'normal' })
  const victim = joinAs(machine, 101)
  victim.heap.alloc(64)
  victim.locks.mutex('m').lock()
  victim.locks.semaphore('s', 2).acquire()
  victim.srcu('d').readLock()
  victim.percpu.rwSemaphore('r').readLock()
  victim.percpu.counter('c').add(3)
  const before = machine.heap.memblock.report().used
  victim.heap.memblock.alloc({ size: 4096 })
  const assertGone = (): void => {
    assert.equal(machine.cpus.states()[1]?.state, 'offline')
    assert.deepEqual([dead, machine.cpus.present, machine.heap.memblock.report().used], [[1], [0], before])
  }
  const assertWhole = (): void => {
    assertGone()
    assert.equal(mutex.tryLock()?.predecessorDied, true)
    assert.equal(semaphore.available, 2)
    machine.percpu.remove('rwSemaphore', lock.name)
    assert.equal(counter.estimate, 3)
    const { gracePeriods } = machine.watch.inspect()
    assert.equal(gracePeriods.find((each) => each.domain === 'd')?.sections, 0)
    // Those that look at the lists of the dead find what its reaper had to leave.
    machine.heap.free(machine.heap.alloc(64))
    assert.deepEqual(
      machine.heap.allocations().filter(({ cpu, persistent }) => cpu === 1 && !persistent),
      [],
    )
  }
  return { machine, assertGone, assertWhole }
}

describe('an error at any access of a recovery', () => {
  it('that comes once loses nothing: the step is repeated', () => {
    const attempt = (at: number): boolean => {
      const { machine, assertWhole } = scene()
      let reached = false
      const reported = reports(() => {
        reached = failInRecovery(at, false, () => assert.equal(machine.cpus.declareDead(1), true))
      })
      assert.deepEqual(reported, [], `access ${at}`)
      assertWhole()
      assert.equal(joinAs(machine, 102).cpu, 1)
      return reached
    }
    let points = 0
    // A few of some thousand; each run of the test has the same ones.
    while (attempt(points * STRIDE)) points++
    assert.ok(points > 10, `only ${points} accesses`)
  })

  it('that comes again is reported; the layers and callbacks after it run, and the number is free', () => {
    const failed = new Set<string>()
    const attempt = (at: number): boolean => {
      const { machine, assertGone } = scene()
      const reached: boolean[] = []
      const reported = reports(() => {
        reached.push(failInRecovery(at, true, () => assert.equal(machine.cpus.declareDead(1), true)))
      })
      assertGone()
      assert.equal(joinAs(machine, 102).cpu, 1)
      if (reached[0] !== true) return false
      assert.ok(reported.length > 0, `access ${at}`)
      for (const error of reported) {
        assert.ok(error instanceof HotplugError)
        const [, layer = ''] = /failed in layer (\w+); the others went on/.exec(error.message) ?? []
        failed.add(layer)
      }
      return true
    }
    for (let at = 0; attempt(at);) at += STRIDE
    assert.ok(failed.size >= 3, [...failed].join())
  })

  it('that concerns one lock, once, leaves all of them released', () => {
    const machine = fresh()
    const locks = ['broken', 'whole'].map((name) => machine.locks.mutex(name))
    const victim = joinAs(machine, 101)
    for (const name of ['broken', 'whole']) victim.locks.mutex(name).lock()
    let thrown = 0
    const reported = reports(() =>
      watch(
        (index) => {
          if (index !== (locks[0]?.address ?? 0) / 4 || thrown > 0 || !isInside(/recoverSync/)) return
          thrown++
          throw new RangeError('broken')
        },
        () => assert.equal(machine.cpus.declareDead(1), true),
      ),
    )
    assert.deepEqual([thrown, reported], [1, []])
    for (const lock of locks) assert.equal(lock.tryLock()?.predecessorDied, true)
  })

  it('that concerns one lock leaves the others to be released', () => {
    const machine = fresh()
    const victim = joinAs(machine, 101)
    const [broken, whole] = ['broken', 'whole'].map((name) => machine.locks.mutex(name))
    assert.ok(broken && whole)
    victim.locks.mutex('broken').lock()
    victim.locks.mutex('whole').lock()
    const reported = reports(() =>
      watch(
        (index) => {
          if (index === broken.address / 4 && isInside(/recoverSync/)) throw new RangeError('broken')
        },
        () => assert.equal(machine.cpus.declareDead(1), true),
      ),
    )
    assert.equal((reported[0] as Error | undefined)?.message.includes('layer sync'), true)
    assert.equal(whole.tryLock()?.predecessorDied, true)
    assert.equal(broken.tryLock(), undefined, 'what could not be cleaned up stays as it was')
    assert.deepEqual(joinAs(machine, 102).locks.heldBy(1), [])
  })
})
