/** Errors in the middle of taking names away, and of making what has one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs, percpu } from '../support/hooked-percpu.js'
import { Cell } from './support.js'

const { Allocator } = await import('../../dist/percpu/allocator.js')
const { SplitList } = await import('../../dist/names/split-list.js')

/** Runs `run` with a method replaced, which is given the real one. */
function replacing<Key extends string, Method extends (...args: never[]) => unknown>(
  prototype: Record<Key, Method>,
  name: Key,
  replacement: (real: () => unknown) => unknown,
  run: () => void,
): void {
  const real = prototype[name]
  prototype[name] = function (this: unknown, ...args: never[]) {
    return replacement(() => real.apply(this, args))
  } as Method
  try {
    run()
  } finally {
    prototype[name] = real
  }
}

describe('taking a name away', () => {
  it('throws what keeps it from being unlinked, and leaves the name with its object', () => {
    const machine = fresh()
    const made = machine.objects.create('x', Cell)
    const fail = (): never => {
      throw new RangeError('in the middle')
    }
    replacing(SplitList.prototype as never, 'unlink', fail, () => {
      assert.throws(() => machine.objects.remove('x'), /in the middle/)
    })
    assert.equal(machine.objects.open('x', Cell).address, made.address)
    machine.heap.verify()
    machine.objects.remove('x')
    throwsCode(() => machine.objects.open('x', Cell), 'PERCPU_OBJECT_MISSING')
  })
})

describe('per-CPU memory whose copies find no memory', () => {
  it('is withdrawn, though another thread is faster to take the name away', () => {
    const machine = fresh({ cpus: 2 })
    const other = joinAs(machine, 101)
    // What all names need is made.
    machine.percpu(Cell, { name: 'first' })
    let pointer = 0
    let isRefused = false
    const refuse = (real: () => unknown): unknown => {
      if (isRefused) return real()
      isRefused = true
      throw new percpu.OutOfMemoryError('refused by the test')
    }
    const withdraw = (real: () => unknown): unknown => {
      const isWithdrawn = real()
      pointer = other.percpu(Cell, { name: 'x' }).pointer
      return isWithdrawn
    }
    replacing(Allocator.prototype as never, 'allocate', refuse, () =>
      replacing(Allocator.prototype as never, 'withdraw', withdraw, () => {
        throwsCode(() => machine.percpu(Cell, { name: 'x' }), 'PERCPU_OUT_OF_MEMORY')
      }),
    )
    assert.notEqual(pointer, 0)
    assert.equal(machine.percpu(Cell, { name: 'x' }).pointer, pointer)
  })
})
