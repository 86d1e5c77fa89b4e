/**
 * A number with one copy for each possible CPU. (After the kernel's this_cpu operations.)
 *
 *     const hits = machine.percpu.i32()
 *     hits.add(1)                       this CPU's copy
 *     hits.of(3).value                  another CPU's
 *     hits.sum()
 *
 * The operations are plain loads and stores: nothing else runs on this thread between them, and no other thread writes this copy. A
 * class for each kind of number, made here, so that each access stays one of a known view.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import type { ScalarName } from '../layout/types.js'
import type { Place } from './place.js'

type Value<Name extends ScalarName> = Name extends 'u64' ? bigint : number

/** One CPU's copy. */
export interface PercpuCell<Number> {
  readonly cpu: number
  /** Byte address. */
  readonly address: number
  value: Number
}

export interface PercpuScalar<Number extends number | bigint> extends Iterable<[number, Number]> {
  /** What other threads open it with. */
  readonly pointer: number
  /** This CPU's copy. */
  local: Number
  add(value: Number): void
  /** Returns the value after. */
  addReturn(value: Number): Number
  /** Returns the value before. */
  exchange(value: Number): Number
  /** Stores `value` if the copy is `expected`; returns the value before. */
  compareExchange(expected: Number, value: Number): Number
  /** A CPU's copy, whether or not it has a thread. */
  of(cpu: number): PercpuCell<Number>
  /** Of all copies: exact once the CPUs have ended what they count. */
  sum(): Number
  /** Frees all copies, for all threads. @throws PointerError if this handle has. */
  free(): void
}

type ScalarClass<Number extends number | bigint> = new (place: Place) => PercpuScalar<Number>

/** `bytes`: of one number. `plus` adds two, and gives what would be read back. */
function scalarClass<Number extends number | bigint, View>(
  bytes: number,
  viewOf: (memory: Memory) => View,
  load: (view: View, index: number) => Number,
  store: (view: View, index: number, value: Number) => void,
  plus: (a: Number, b: Number) => Number,
): ScalarClass<Number> {
  const size = bytes
  return class implements PercpuScalar<Number> {
    // No private fields: the compiler takes others that never change for constants.
    declare private readonly place: Place
    declare private memory: Memory
    /** Index of this CPU's copy. */
    declare private readonly index: number

    constructor(place: Place) {
      this.place = place
      this.memory = place.memory
      this.index = place.local() / size
    }
    get pointer(): number {
      return this.place.pointer
    }

    get local(): Number {
      return load(viewOf(this.memory), this.index)
    }
    set local(value: Number) {
      store(viewOf(this.memory), this.index, value)
    }
    add(value: Number): void {
      const index = this.index
      const view = viewOf(this.memory)
      store(view, index, plus(load(view, index), value))
    }
    addReturn(value: Number): Number {
      const index = this.index
      const view = viewOf(this.memory)
      store(view, index, plus(load(view, index), value))
      return load(view, index)
    }
    exchange(value: Number): Number {
      const index = this.index
      const view = viewOf(this.memory)
      const before = load(view, index)
      store(view, index, value)
      return before
    }
    compareExchange(expected: Number, value: Number): Number {
      const before = this.local
      if (before === expected) this.local = value
      return before
    }

    of(cpu: number): PercpuCell<Number> {
      const address = this.place.address(cpu)
      const memory = this.memory
      return {
        cpu,
        address,
        get value() {
          return load(viewOf(memory), address / size)
        },
        set value(value) {
          store(viewOf(memory), address / size, value)
        },
      }
    }
    *[Symbol.iterator](): Generator<[number, Number]> {
      for (let cpu = 0; cpu < this.place.cpus; cpu++) yield [cpu, this.of(cpu).value]
    }
    sum(): Number {
      let total: Number | undefined
      for (const [, value] of this)
        total = total === undefined ? value : (((total as number) + (value as number)) as Number)
      return total as Number
    }

    free(): void {
      this.place.free()
      this.memory = this.place.poison<Memory>()
    }
  }
}

const plus = (a: number, b: number): number => a + b
/** Sums of small integers stay so. */
const plus32 = (a: number, b: number): number => (a + b) | 0

const classes: { readonly [Name in ScalarName]: ScalarClass<Value<Name>> } = {
  u8: scalarClass(1, ({ bytes }) => bytes, mem.loadU8, mem.storeU8, plus32),
  i8: scalarClass(1, ({ bytes }) => bytes, mem.load8, mem.store8, plus32),
  u16: scalarClass(2, ({ u16 }) => u16, mem.loadU16, mem.storeU16, plus32),
  i16: scalarClass(2, ({ i16 }) => i16, mem.load16, mem.store16, plus32),
  u32: scalarClass(4, ({ u32 }) => u32, mem.loadU32, mem.storeU32, plus32),
  i32: scalarClass(4, ({ i32 }) => i32, mem.load32, mem.store32, plus32),
  u64: scalarClass(
    8,
    ({ u64 }) => u64,
    mem.loadU64,
    mem.storeU64,
    (a: bigint, b: bigint) => a + b,
  ),
  f32: scalarClass(4, ({ f32 }) => f32, mem.loadF32, mem.storeF32, plus),
  f64: scalarClass(8, ({ f64 }) => f64, mem.loadF64, mem.storeF64, plus),
}

/** A handle of the right class. */
export function makeScalar<Name extends ScalarName>(name: Name, place: Place): PercpuScalar<Value<Name>> {
  return new classes[name](place) as PercpuScalar<Value<Name>>
}
export type ScalarValue<Name extends ScalarName> = Value<Name>
