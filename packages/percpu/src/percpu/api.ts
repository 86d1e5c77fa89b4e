/** `machine.percpu`: what users have of per-CPU memory. */
import type { Memory } from '#mem'
import { hashText } from '../arithmetic.js'
import { ArgumentError } from '../errors.js'
import { checkFlag, checkOptions } from '../machine/check.js'
import { isStruct } from '../layout/struct.js'
import type { Accessor, Struct } from '../layout/struct-type.js'
import { typeName, type Fields, type Kind, type Scalar, type ScalarName } from '../layout/types.js'
import * as scalars from '../layout/types.js'
import type { PercpuRequest } from './allocator.js'
import { balance } from './balance.js'
import { PercpuCorruptionError } from './errors.js'
import type { Attached, PercpuLayer } from './layer.js'
import { PercpuName } from './layouts.js'
import type { PercpuCounter } from './counter.js'
import type { PercpuRef } from './ref.js'
import type { PercpuRwSemaphore } from './rwsem.js'
import type { CounterOptions } from './shared-objects.js'
import { openNamed } from './named.js'
import { checkOnePiece, Place } from './place.js'
import { formatReport, makeReport, type PercpuReport } from './report.js'
import { makeScalar, type ScalarValue } from './scalar-classes.js'
import type { PercpuScalar } from './scalar-handle.js'
import { PercpuObject } from './struct-handle.js'
import { findFaults } from './verify.js'

export interface PercpuObjectOptions extends Pick<PercpuRequest, 'reserved'> {
  /** Shared by all threads that ask for this name and type; for good. Without: a new one. */
  readonly name?: string
}

type AnyScalar = Scalar<ScalarName, false>
type HandleOf<T> =
  T extends Scalar<infer Name>
    ? PercpuScalar<ScalarValue<Name>>
    : T extends Struct<infer F, infer K>
      ? PercpuObject<F, K>
      : never
type ScalarMakers = {
  readonly [Name in ScalarName]: (options?: PercpuObjectOptions) => PercpuScalar<ScalarValue<Name>>
}

export interface Percpu extends ScalarMakers {
  /**
   * Memory for a struct or number with one copy for each possible CPU, all zero. Where units are mapped page by page it has at most a
   * page.
   *
   * @throws ArgumentError; PercpuMemoryError; ObjectMismatchError for a name of something else.
   */
  <T extends AnyScalar | Struct>(type: T, options?: PercpuObjectOptions): HandleOf<T>
  <F extends Fields, K extends Kind>(type: Struct<F, K>, options?: PercpuObjectOptions): PercpuObject<F, K>

  /** What another thread allocated, by its pointer. @throws PointerError. */
  at<T extends AnyScalar | Struct>(pointer: number, type: T): HandleOf<T>
  at<F extends Fields, K extends Kind>(pointer: number, type: Struct<F, K>): PercpuObject<F, K>

  /**
   * Bare memory, 1 byte to a unit for each CPU, all zero.
   *
   * @returns a pointer below 2^31, the same for all threads; undefined only for an atomic request.
   * @throws ArgumentError; PercpuMemoryError; LockTimeoutError.
   */
  alloc(bytes: number, request?: PercpuRequest & { readonly atomic?: false }): number
  alloc(bytes: number, request: PercpuRequest): number | undefined
  /** Frees all copies; any thread may. @throws PointerError unless an allocation begins there. */
  free(pointer: number): void
  /** Bytes of an allocation, in granules of 4. @throws PointerError. */
  sizeOf(pointer: number): number
  /**
   * Byte address of a CPU's copy, or of a byte of it. What lies in one page stays together; where units are mapped, ask again for each
   * page of a larger allocation.
   *
   * @throws PointerError; ArgumentError.
   */
  address(pointer: number, cpu: number, offset?: number): number

  /** The counter of this name, for all threads. Look it up once, not in loops. */
  counter(name: string, options?: CounterOptions): PercpuCounter
  /** The reference count of this name; who creates it has one reference. */
  ref(name: string): PercpuRef
  /** The lock for many readers of this name. */
  rwSemaphore(name: string): PercpuRwSemaphore

  /** Gives back what is not needed, and makes some pages ready; runs by itself, too. */
  balance(): void
  /** Works out all metadata the slow way. @throws PercpuCorruptionError. */
  verify(): void
  /** Chunks, slots, pages and fragmentation. A consistent snapshot. */
  report(): PercpuReport
  /** The same as text. */
  reportText(): string
}

export function makePercpu(layer: PercpuLayer): Percpu {
  const makers = new Makers(layer)
  const make = (type: AnyScalar | Struct, options?: PercpuObjectOptions): unknown =>
    makers.make(type, options)
  return Object.assign(make, scalarMakers(makers), bare(layer), {
    at: (pointer: number, type: AnyScalar | Struct) => makers.at(pointer, type),
  }) as unknown as Percpu
}

function bare(layer: PercpuLayer): Omit<Percpu, keyof ScalarMakers | 'at'> & object {
  return {
    alloc: ((bytes: number, request?: PercpuRequest) => {
      if (request !== undefined) checkRequest(request)
      return layer.use().allocator.allocate(bytes, request)
    }) as Percpu['alloc'],
    free: (pointer: number) => layer.use().allocator.free(pointer),
    sizeOf: (pointer: number) => layer.use().allocator.sizeOf(pointer),
    address: (pointer: number, cpu: number, offset = 0) => {
      const { allocator, context } = layer.use()
      return allocator.translate(pointer, context.own.checkCpu(cpu), offset)
    },
    counter: (name: string, options: CounterOptions = {}) => {
      checkOptions('counter', options, { batch: true })
      return layer.objects.counter(name, options)
    },
    ref: (name: string) => layer.objects.ref(name),
    rwSemaphore: (name: string) => layer.objects.rwSemaphore(name),
    balance: () => void balance(layer.use().core),
    verify: () => {
      const faults = findFaults(layer.use().core)
      if (faults.length > 0) throw new PercpuCorruptionError(faults.join('; '), { faults })
    },
    report: () => makeReport(layer.use()),
    reportText: () => formatReport(makeReport(layer.use())),
  }
}

function checkRequest(request: PercpuRequest): void {
  checkOptions('percpu.alloc', request, { align: true, atomic: true, reserved: true, into: true })
  checkFlag('atomic', request.atomic)
  checkFlag('reserved', request.reserved)
}

const scalarNames = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'u64', 'f32', 'f64'] as const

function scalarMakers(makers: Makers): ScalarMakers {
  const made: Record<string, (options?: PercpuObjectOptions) => unknown> = {}
  for (const name of scalarNames) made[name] = (options) => makers.make(scalars[name], options)
  return made as ScalarMakers
}

class Makers {
  readonly #layer: PercpuLayer
  /** Accessors of a struct for this memory: made once. */
  readonly #bound = new WeakMap<Struct, (address: number) => Accessor<Fields>>()

  constructor(layer: PercpuLayer) {
    this.#layer = layer
  }

  make(type: AnyScalar | Struct, options: PercpuObjectOptions = {}): unknown {
    const attached = this.#layer.use()
    checkOptions('percpu', options, { name: true, reserved: true })
    checkFlag('reserved', options.reserved)
    const { name, reserved = false } = options
    const { size: bytes, align } = checkType(type)
    checkOnePiece(attached, bytes, nameOf(type))
    if (name === undefined) {
      const pointer = attached.allocator.allocate(bytes, { align: Math.max(4, align), reserved })
      return this.#handle(attached, pointer ?? 0, type)
    }
    const kind = `percpu ${nameOf(type)}`
    const layout = { name: kind, size: PercpuName.size, align: PercpuName.align, hash: hashOf(type) }
    const spec = { type: kind.slice(0, 40), layout, bytes, align: Math.max(4, align) }
    return this.#handle(attached, openNamed(attached, name, spec).pointer, type, name)
  }

  at(pointer: number, type: AnyScalar | Struct): unknown {
    const attached = this.#layer.use()
    checkOnePiece(attached, checkType(type).size, nameOf(type))
    const bytes = attached.allocator.sizeOf(pointer)
    if (bytes < type.size)
      throw new ArgumentError(`at pointer ${pointer} lie ${bytes} bytes, too few for ${nameOf(type)}`, {
        pointer,
        bytes,
      })
    return this.#handle(attached, pointer, type)
  }

  #handle(attached: Attached, pointer: number, type: AnyScalar | Struct, name?: string): unknown {
    const place = new Place(attached, pointer, type.size, name)
    if (type.form === 'scalar') return makeScalar(type.name, place)
    return new PercpuObject(type, place, this.#accessors(type, place.memory))
  }

  #accessors(type: Struct, memory: Memory): (address: number) => Accessor<Fields> {
    const known = this.#bound.get(type)
    if (known) return known
    const made = type.bind(memory) as (address: number) => Accessor<Fields>
    this.#bound.set(type, made)
    return made
  }
}

function checkType(type: AnyScalar | Struct): AnyScalar | Struct {
  const given = type as Partial<Scalar> | undefined
  if (isStruct(type) || (given?.form === 'scalar' && given.big === false)) return type
  throw new ArgumentError('percpu takes a struct, or a number in the order of the machine, such as i32', {
    type,
  })
}
function nameOf(type: AnyScalar | Struct): string {
  return type.form === 'struct' ? type.name : typeName(type)
}
/** Numbers are known by their names. */
function hashOf(type: AnyScalar | Struct): number {
  return type.form === 'struct' ? type.hash : hashText(type.name)
}
