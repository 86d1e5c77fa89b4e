/**
 * A number with one copy for each possible CPU. (After the kernel's this_cpu operations.)
 *
 *     const hits = machine.percpu.i32()
 *     hits.add(1)                       this CPU's copy
 *     hits.of(3).value                  another CPU's
 *     hits.sum()
 *
 * The operations are plain loads and stores: nothing else runs on this thread between them, and no other thread writes this copy.
 * Progress: wait-free. Cost of `local` and `add`: none beside the access itself; see "percpu" in docs/benchmarks.md.
 */
import type { Memory } from '#mem'
import type { Place } from './place.js'

/** For `console.log` in Node, which would show all views of the memory. */
const inspect: unique symbol = Symbol.for('nodejs.util.inspect.custom') as never

/** One CPU's copy. */
export interface PercpuCell<Value> {
  readonly cpu: number
  /** Byte address. */
  readonly address: number
  value: Value
}

/** A copy as an accessor shows it. */
interface Copy<Value> {
  readonly address: number
  value: Value
}
/** @internal The struct that a copy is. */
export interface CopyStruct<Value> {
  readonly size: number
  at(memory: Memory, address: number): Copy<Value>
}

export abstract class PercpuScalar<Value extends number | bigint> implements Iterable<[number, Value]> {
  /**
   * Of this CPU's copy, in its view. (No private name, and declared: the compiler takes a field that is stored once for a
   * constant.)
   */
  declare protected readonly index: number
  readonly #place: Place
  readonly #struct: CopyStruct<Value>

  /** @internal */
  constructor(place: Place, struct: CopyStruct<Value>) {
    this.index = place.local() / struct.size
    this.#place = place
    this.#struct = struct
  }

  /** This CPU's copy. Throws a PointerError after {@link free}; what another thread freed must not be used any more. */
  abstract local: Value
  /** Adds to this CPU's copy. */
  abstract add(value: Value): void

  /** What other threads open it with: `machine.percpu.at(pointer, type)`. */
  get pointer(): number {
    return this.#place.pointer
  }

  /** Adds to this CPU's copy, and returns the value after. */
  addReturn(value: Value): Value {
    this.add(value)
    return this.local
  }
  /** Returns the value before. */
  exchange(value: Value): Value {
    const before = this.local
    this.local = value
    return before
  }
  /** Stores `value` if this CPU's copy is `expected`; returns the value before. */
  compareExchange(expected: Value, value: Value): Value {
    const before = this.local
    if (before === expected) this.local = value
    return before
  }

  /** A CPU's copy, whether or not it has a thread. What its owner changes meanwhile is seen at any time, or later. */
  of(cpu: number): PercpuCell<Value> {
    const copy = this.#copy(cpu)
    const { address } = copy
    return {
      cpu,
      address,
      get value() {
        return copy.value
      },
      set value(value) {
        copy.value = value
      },
    }
  }

  #copy(cpu: number): Copy<Value> {
    return this.#struct.at(this.#place.memory, this.#place.address(cpu))
  }

  /** The copies of all possible CPUs. */
  *[Symbol.iterator](): Generator<[number, Value]> {
    for (let cpu = 0; cpu < this.#place.cpus; cpu++) yield [cpu, this.#copy(cpu).value]
  }

  /** Of all copies, those of CPUs without a thread too: exact once the CPUs have ended what they count. */
  sum(): Value {
    let total: number | bigint | undefined
    for (const [, value] of this) total = total === undefined ? value : (total as number) + (value as number)
    return total as Value
  }

  [inspect](): string {
    return `${this.constructor.name} { pointer: ${this.pointer} }`
  }

  /** Frees all copies, for all threads. @throws PointerError if this handle has; NamedMemoryError if they have a name. */
  free(): void {
    this.#place.free()
    const place = this.#place
    // The shape of this object alone changes; a store would end the constancy of the field in all others.
    Object.defineProperty(this, 'index', {
      get(): never {
        throw place.gone()
      },
    })
  }
}
