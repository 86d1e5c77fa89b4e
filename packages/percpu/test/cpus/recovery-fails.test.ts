/**
 * Cleaning up after a CPU goes wrong somewhere: it is reported, the rest is cleaned up all the
 * same, and the number is free again.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu } from 'percpu-lab'
import { machineMaker } from '../support/machine-maker.js'

const { hook, directly } = await import('../../../lab/dist/engine/hook.js')
const { CODE, NOTIFY } = await import('../../../lab/dist/engine/ops.js')
const layers = [
  (await import('../../dist/alloc/layer.js')).AllocLayer,
  (await import('../../dist/percpu/layer.js')).PercpuLayer,
  (await import('../../dist/rcu/layer.js')).RcuLayer,
  (await import('../../dist/rcu/srcu-layer.js')).SrcuLayer,
  (await import('../../dist/sync/layer.js')).SyncLayer,
]
const { HotplugError } = percpu
/** How many calls of a layer's `recover` are under way. */
let recovering = 0
for (const { prototype } of layers) {
  const recover = Reflect.get(prototype, 'recover') as (recovery: unknown) => void
  Reflect.set(prototype, 'recover', function (this: unknown, recovery: unknown) {
    recovering++
    try {
      recover.call(this, recovery)
    } finally {
      recovering--
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
 * Runs `run`, whose access number `at` among those made inside a layer's `recover` throws. Whether
 * there were that many.
 */
function failInRecovery(at: number, run: () => void): boolean {
  let count = 0
  watch(() => {
    if (recovering > 0 && count++ === at) throw new RangeError(`access ${at}`)
  }, run)
  return count > at
}

describe('an error at any access of a recovery', () => {
  it('is reported; the layers and callbacks after it run, and the number is given back', () => {
    const attempt = (at: number): boolean => {
      const machine = fresh()
      const before = machine.heap.memblock.report().used
      const dead: number[] = []
      machine.cpus.addHotplug({ name: 'note', dead: (cpu) => dead.push(cpu) })
      const victim = joinAs(machine, 101)
      victim.heap.memblock.alloc({ size: 4096 })
      const reached: boolean[] = []
      const reported = reports(() =>
        reached.push(failInRecovery(at, () => assert.equal(machine.cpus.declareDead(1), true))),
      )
      assert.equal(machine.cpus.states()[1]?.state, 'offline')
      assert.deepEqual([dead, machine.cpus.present, machine.heap.memblock.report().used], [[1], [0], before])
      assert.equal(joinAs(machine, 102).cpu, 1)
      if (!reached[0]) return false
      const [error, ...others] = reported
      assert.ok(error instanceof HotplugError && error.cause instanceof RangeError)
      assert.match(
        error.message,
        /cleaning up after CPU 1 failed in layer (vpa|sync|alloc|percpu|srcu|rcu); the others went on/,
      )
      assert.deepEqual(others, [])
      return true
    }
    let points = 0
    while (attempt(points)) points++
    assert.ok(points > 20, `only ${points} accesses`)
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
