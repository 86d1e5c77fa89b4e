/**
 * Random operations on all four kinds of machines, beside a model that knows only which pointer has
 * which size. After each step the verifier works out all metadata anew from the bitmaps.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { boot, OutOfMemoryError, type Machine } from 'percpu'
import { load32, store32 } from 'percpu/mem'
import { kinds } from './support/kinds.js'

/** Objects that live: size, alignment, and the number that every word of each copy has. */
class Model {
  readonly machine: Machine
  readonly objects = new Map<number, { bytes: number; stamp: number }>()
  #stamps = 0

  constructor(machine: Machine) {
    this.machine = machine
  }

  alloc(bytes: number, align: number, nowait: boolean): void {
    const { percpu } = this.machine
    let pointer: number | undefined
    try {
      pointer = percpu.alloc(bytes, { align, nowait })
    } catch (error) {
      assert.ok(error instanceof OutOfMemoryError)
      return
    }
    if (pointer === undefined) return assert.ok(nowait)
    assert.ok(!this.objects.has(pointer))
    assert.equal(percpu.sizeOf(pointer), Math.ceil(bytes / 4) * 4)
    const stamp = ++this.#stamps
    this.objects.set(pointer, { bytes, stamp })
    for (const [cpu, word] of this.words(pointer, bytes)) {
      assert.equal(load32(this.machine.memory.i32, word), 0, `CPU ${cpu} finds it cleared`)
      store32(this.machine.memory.i32, word, stamp * 256 + cpu)
    }
    for (const cpu of this.machine.cpus.possible) assert.equal(percpu.address(pointer, cpu) % align, 0)
  }

  /** The words of every copy. */
  *words(pointer: number, bytes: number): Generator<[number, number]> {
    for (const cpu of this.machine.cpus.possible)
      for (let offset = 0; offset < bytes; offset += 4)
        yield [cpu, this.machine.percpu.address(pointer, cpu, offset) / 4]
  }

  free(choice: number): void {
    const pointer = [...this.objects.keys()][choice % Math.max(1, this.objects.size)]
    if (pointer === undefined) return
    this.check(pointer)
    this.machine.percpu.free(pointer)
    this.objects.delete(pointer)
    assert.throws(() => this.machine.percpu.free(pointer), { code: 'PERCPU_POINTER' })
  }

  /** No other object has written to this one. */
  check(pointer: number): void {
    const { bytes, stamp } = this.objects.get(pointer) ?? assert.fail()
    for (const [cpu, word] of this.words(pointer, bytes))
      assert.equal(load32(this.machine.memory.i32, word), stamp * 256 + cpu)
  }

  verify(): void {
    this.machine.percpu.verify()
  }
}

const sizes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 64 }) },
  { weight: 3, arbitrary: fc.integer({ min: 65, max: 4096 }) },
  { weight: 1, arbitrary: fc.integer({ min: 4097, max: 16384 }) },
)
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      bytes: sizes,
      align: fc.constantFrom(4, 4, 8, 16, 64, 256, 4096),
      nowait: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ free: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ freeAll: fc.constantFrom(2, 3) }) },
  { weight: 1, arbitrary: fc.constant({ trim: true }) },
)

describe('per-CPU memory beside a model', () => {
  for (const { name, options } of kinds) {
    it(`${name}: objects keep apart, and all metadata are right after every step`, () => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
          const machine = boot({ ...options, memory: '1 MiB', percpu: { unit: 16384 } })
          const model = new Model(machine)
          model.verify()
          for (const action of steps) {
            if ('bytes' in action) model.alloc(action.bytes, action.align, action.nowait)
            else if ('free' in action) model.free(action.free)
            else if ('freeAll' in action)
              for (let i = model.objects.size; i > 0; i -= action.freeAll) model.free(i)
            else machine.percpu.trim()
            model.verify()
          }
          for (const pointer of [...model.objects.keys()]) model.free(pointer % 7)
          machine.percpu.trim()
          model.verify()
        }),
        { numRuns: 25 },
      )
    })
  }
})
