/**
 * A struct with one copy for each possible CPU.
 *
 *     const hits = machine.percpu(Hits)
 *     hits.local.count++     this CPU's copy: plain, as nothing else runs on this thread meanwhile
 *     hits.of(3).count       another CPU's: a look; that CPU may be changing it
 *     hits.sum('count')      of all copies, with those of CPUs that have no thread
 *
 * Cost of `local`: none beside the access itself; see "percpu" in docs/benchmarks.md.
 */
import type { Accessor, Infer, KindOf, TypeOf } from '../layout/accessor-types.js'
import { revokeAccessor } from '../layout/revoke.js'
import type { Struct } from '../layout/struct-type.js'
import type { Fields, Kind, Scalar } from '../layout/types.js'
import { refused } from '../machine/check.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import type { Copies } from './copies.js'

/** Fields that can be added up: plain numbers. */
export type NumericField<F extends Fields, K extends Kind> = {
  [P in keyof Infer<Struct<F, K>> & keyof F & string]: TypeOf<F[P]> extends Scalar
    ? KindOf<F[P], K> extends 'atomic'
      ? never
      : P
    : never
}[keyof Infer<Struct<F, K>> & keyof F & string]

/** A struct with one copy for each possible CPU: `machine.percpu(Struct)`. */
export class PercpuStruct<F extends Fields, K extends Kind> implements Iterable<
  [number, Accessor<Struct<F, K>>]
> {
  static {
    showAs(this, ({ type, pointer }) => ({ type: type.name, pointer }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly type: Struct<F, K>
  /**
   * This CPU's copy. After {@link free} its fields throw a PointerError. Once another thread has
   * freed the object, it must not be used any more.
   */
  // A field, and only declared: the compiler takes a field that is stored once for a constant.
  declare readonly local: Accessor<Struct<F, K>>
  readonly #copies: Copies
  readonly #at: (address: number) => Accessor<Struct<F, K>>

  /** @internal `at` makes accessors of the memory of the copies. */
  constructor(type: Struct<F, K>, copies: Copies, at: (address: number) => Accessor<Struct<F, K>>) {
    this.type = type
    this.local = at(copies.local())
    this.#copies = copies
    this.#at = at
  }

  /** Other threads open the object with it: `machine.percpu.at(pointer, type)`. */
  get pointer(): number {
    return this.#copies.pointer
  }

  /**
   * The copy of a CPU, whether or not it has a thread. What its owner stores meanwhile is seen at
   * any time, or later.
   *
   * @throws ArgumentError unless `cpu` is a possible CPU; PointerError after {@link free}.
   */
  of(cpu: number): Accessor<Struct<F, K>> {
    return this.#at(this.#copies.address(cpu))
  }

  /** Each possible CPU and its copy. @throws PointerError after {@link free}. */
  *[Symbol.iterator](): Generator<[number, Accessor<Struct<F, K>>]> {
    for (let cpu = 0; cpu < this.#copies.cpus; cpu++) yield [cpu, this.of(cpu)]
  }

  /**
   * The sum of a plain field over all copies. It is exact once no CPU adds any more. Cost: in
   * proportion to the possible CPUs.
   *
   * @throws ArgumentError unless `field` is the name of a plain number; PointerError after
   *   {@link free}.
   */
  sum<P extends NumericField<F, K>>(field: P): Infer<Struct<F, K>>[P] {
    const member = this.type.members.find(({ name }) => name === field)
    if (member?.type?.form !== 'scalar' || member.kind === 'atomic')
      throw refused('field', field, `no plain number of ${this.type.name}`)
    let total: number | bigint | undefined
    for (const [, copy] of this) {
      const value = (copy as Record<string, number | bigint>)[field]
      if (total === undefined) total = value
      else if (typeof total === 'bigint') total += BigInt(value ?? 0)
      else total += Number(value)
    }
    return total as Infer<Struct<F, K>>[P]
  }

  /**
   * Frees all copies, for all threads.
   *
   * @throws PointerError if they are freed already; NamedMemoryError if the object has a name;
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
    revokeAccessor(this.local, () => this.#copies.gone())
  }
}
