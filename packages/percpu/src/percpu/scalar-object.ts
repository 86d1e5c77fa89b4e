/**
 * A number with one copy for each possible CPU. (After the kernel's this_cpu operations.)
 *
 *     const hits = machine.percpu.i32()
 *     hits.add(1)                       this CPU's copy
 *     hits.of(3).value                  another CPU's
 *     hits.sum()
 *
 * The operations on this CPU's copy are plain loads and stores: nothing else runs on this thread
 * between them, and no other thread writes this copy. Progress: wait-free. Cost of `local` and
 * `add`: none beside the access itself; see "percpu" in docs/benchmarks.md.
 */
import type { Memory } from '#mem'
import { checkBigInt, checkWord } from '../machine/check.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import type { Copies } from './copies.js'

/** One CPU's copy of a number. */
export interface PercpuCell<Value> {
  readonly cpu: number
  /** Byte address. */
  readonly address: number
  /** What the owner stores meanwhile is seen at any time, or later. */
  value: Value
}

/** @internal The struct that a copy is, with one field. */
export interface CopyStruct<Value> {
  readonly size: number
  at(memory: Memory, address: number): { readonly address: number; value: Value }
}

/** A number with one copy for each possible CPU: `machine.percpu.i32()` and its like. */
export abstract class PercpuScalar<Value extends number | bigint> implements Iterable<[number, Value]> {
  static {
    showAs<PercpuScalar<number>>(
      this,
      ({ pointer }) => ({ pointer }),
      ({ constructor }) => constructor.name,
    )
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /**
   * Of this CPU's copy, in its view. The field has no private name and is only declared, as the
   * compiler takes a field that is stored once for a constant.
   */
  declare protected readonly index: number
  readonly #copies: Copies
  readonly #struct: CopyStruct<Value>

  /** @internal */
  constructor(copies: Copies, struct: CopyStruct<Value>) {
    this.index = copies.local() / struct.size
    this.#copies = copies
    this.#struct = struct
  }

  /**
   * This CPU's copy. Once another thread has freed the number, it must not be used any more.
   *
   * @throws PointerError after {@link free}.
   */
  abstract local: Value
  /**
   * Adds to this CPU's copy. An integer keeps the low bits of the sum, as many as it has.
   *
   * @throws PointerError after {@link free}.
   */
  abstract add(value: Value): void

  /** Other threads open the number with it: `machine.percpu.at(pointer, type)`. */
  get pointer(): number {
    return this.#copies.pointer
  }

  /**
   * Adds to this CPU's copy, and returns the value after.
   *
   * @throws PointerError after {@link free}.
   */
  addReturn(value: Value): Value {
    this.add(value)
    return this.local
  }
  /**
   * Sets this CPU's copy, and returns the value before.
   *
   * @throws PointerError after {@link free}.
   */
  exchange(value: Value): Value {
    const before = this.local
    this.local = value
    return before
  }
  /**
   * Sets this CPU's copy to `value` if it is `expected`, and returns the value before.
   *
   * @throws PointerError after {@link free}.
   */
  compareExchange(expected: Value, value: Value): Value {
    const before = this.local
    const check = typeof before === 'bigint' ? checkBigInt : checkWord
    check('expected', expected as never)
    check('value', value as never)
    if (before === expected) this.local = value
    return before
  }

  /**
   * The copy of a CPU, whether or not it has a thread.
   *
   * @throws ArgumentError unless `cpu` is a possible CPU; PointerError after {@link free}.
   */
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

  #copy(cpu: number): ReturnType<CopyStruct<Value>['at']> {
    return this.#struct.at(this.#copies.memory, this.#copies.address(cpu))
  }

  /** Each possible CPU and its copy. @throws PointerError after {@link free}. */
  *[Symbol.iterator](): Generator<[number, Value]> {
    for (let cpu = 0; cpu < this.#copies.cpus; cpu++) yield [cpu, this.#copy(cpu).value]
  }

  /**
   * The sum of all copies, with those of CPUs that have no thread. It is exact once no CPU adds any
   * more. Cost: in proportion to the possible CPUs.
   *
   * @throws PointerError after {@link free}.
   */
  sum(): Value {
    let total: number | bigint | undefined
    for (const [, value] of this) total = total === undefined ? value : (total as number) + (value as number)
    return total as Value
  }

  /**
   * Frees all copies, for all threads.
   *
   * @throws PointerError if they are freed already; NamedMemoryError if the number has a name;
   *   LockTimeoutError.
   */
  free(): void {
    this.#copies.free()
    this.#revoke()
  }
  /** @internal As {@link free}, and somebody else does free them, later. */
  giveUp(machine: number): void {
    this.#copies.giveUp(machine)
    this.#revoke()
  }

  #revoke(): void {
    const copies = this.#copies
    // The shape of this object alone changes. A store to the field would make it variable in all
    // others, for the compiler.
    Object.defineProperty(this, 'index', {
      get(): never {
        throw copies.gone()
      },
    })
  }
}
