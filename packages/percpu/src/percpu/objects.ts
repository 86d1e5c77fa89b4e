/**
 * Per-CPU objects: a struct or a number with one copy for each possible CPU, made anew, found by
 * its name, or opened by its pointer.
 */
import { PAGE_BYTES } from '../arithmetic.js'
import { ArgumentError } from '../errors.js'
import { isStruct } from '../layout/brand.js'
import { checkFixed } from '../layout/flexible.js'
import type { Struct } from '../layout/struct-type.js'
import * as scalars from '../layout/types.js'
import { typeName, type Scalar, type ScalarName } from '../layout/types.js'
import { checkFlag, checkOptions, isSafely, refused } from '../machine/check.js'
import { TYPE_BYTES } from '../machine/limits.js'
import { encodeText } from '../text.js'
import type { PercpuRequest } from './allocator.js'
import type { CpuState } from './cpu-state.js'
import { GRANULE, type Geometry } from './geometry.js'
import { PercpuName } from './layouts.js'
import { openNamed, type NamedSpec } from './named.js'
import { Copies } from './copies.js'
import { makeScalar, type ScalarValue } from './scalar-classes.js'
import type { PercpuScalar } from './scalar-object.js'
import { PercpuStruct } from './struct-object.js'

/** What `machine.percpu(type, …)` takes. */
export interface PercpuObjectOptions extends Pick<PercpuRequest, 'reserved'> {
  /**
   * All threads that ask for this name get the same object, until it is removed
   * (`percpu.remove('object', name)`). Without a name each call makes an object of its own.
   */
  readonly name?: string
}

/** What a per-CPU object can be made of: a struct, or a number in the order of the machine. */
export type PercpuType = Scalar<ScalarName, false> | Struct

/** The per-CPU object of a number or of a struct. */
export type PercpuObjectOf<T> =
  T extends Scalar<infer Name>
    ? PercpuScalar<ScalarValue<Name>>
    : T extends Struct<infer F, infer K>
      ? PercpuStruct<F, K>
      : never

/** Makes the per-CPU objects of one thread. */
export class PercpuObjects {
  readonly #use: () => CpuState
  /** How the accessors of a struct are made for this memory: prepared once for each struct. */
  readonly #accessors = new WeakMap<Struct, ReturnType<Struct['bind']>>()

  /** `use` throws once the CPU is offline. */
  constructor(use: () => CpuState) {
    this.#use = use
  }

  /** A new object, or the one of `options.name`. */
  make(type: PercpuType, options?: PercpuObjectOptions): unknown {
    const checked = checkType(type)
    return this.#object(checked, this.#copies(checked, options))
  }
  /** As {@link make}, for a number. */
  scalar<Name extends ScalarName>(
    name: Name,
    options?: PercpuObjectOptions,
  ): PercpuScalar<ScalarValue<Name>> {
    return makeScalar(name, this.#copies(scalars[name], options))
  }

  /** The object that another thread allocated. */
  at(pointer: number, wanted: PercpuType): unknown {
    const cpuState = this.#use()
    const type = checkType(wanted)
    checkOnePiece(cpuState.state.geometry, type)
    const bytes = cpuState.allocator.sizeOf(pointer)
    if (bytes < type.size)
      throw new ArgumentError(`at pointer ${pointer} lie ${bytes} bytes, too few for ${nameOf(type)}`, {
        pointer,
        bytes,
      })
    const address = cpuState.allocator.translate(pointer, cpuState.context.own.cpu)
    if (address % type.align !== 0)
      throw new ArgumentError(
        `pointer ${pointer} is not aligned to ${type.align} bytes, as ${nameOf(type)} must be`,
        {
          pointer,
          align: type.align,
        },
      )
    return this.#object(type, new Copies(cpuState, pointer))
  }

  #copies(type: PercpuType, options: PercpuObjectOptions = {}): Copies {
    const cpuState = this.#use()
    checkOptions('percpu', options, { name: true, reserved: true })
    checkFlag('reserved', options.reserved)
    checkOnePiece(cpuState.state.geometry, type)
    const { name, reserved = false } = options
    const request = { align: Math.max(GRANULE, type.align), reserved }
    const pointer =
      name === undefined
        ? cpuState.allocator.allocate(type.size, request)
        : openNamed(cpuState, name, { space: 'percpu', ...entryOf(type), bytes: type.size, ...request })
            .pointer
    return new Copies(cpuState, pointer, name)
  }

  #object(type: PercpuType, copies: Copies): unknown {
    if (type.form === 'scalar') return makeScalar(type.name, copies)
    let accessor = this.#accessors.get(type)
    if (!accessor) this.#accessors.set(type, (accessor = type.bind(copies.memory)))
    return new PercpuStruct(type, copies, accessor)
  }
}

const numberNames: readonly string[] = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'u64', 'f32', 'f64']

function checkType(type: PercpuType): PercpuType {
  if (isSafely(() => isStruct(type))) {
    checkFixed(type as Struct)
    return type
  }
  // By its name: a number of another copy of the library is one, too.
  if (isSafely(() => isNumber(type))) return scalars[(type as Scalar<ScalarName, false>).name]
  throw refused('type', type, 'neither a struct nor a number in the order of the machine, such as i32')
}

function isNumber(type: unknown): boolean {
  const { form, name, big } = Object(type) as Partial<Scalar>
  return form === 'scalar' && big === false && numberNames.includes(String(name))
}

/** Accessors reach one piece of memory; mapped units are in one piece only up to a page. */
function checkOnePiece({ isMapped, unitBytes }: Geometry, type: PercpuType): void {
  const largest = isMapped ? PAGE_BYTES : unitBytes
  if (type.size <= largest) return
  throw new ArgumentError(
    isMapped
      ? `${nameOf(type)} of ${type.size} bytes does not fit in a page of ${largest} bytes: take larger memory with percpu.alloc`
      : `${nameOf(type)} of ${type.size} bytes does not fit in a unit of ${largest} bytes: boot with a larger \`percpu.unit\``,
    { bytes: type.size, largest },
  )
}

function nameOf(type: PercpuType): string {
  return type.form === 'struct' ? type.name : typeName(type)
}

/**
 * What the directory says of a named object. Numbers are told apart by `type`, structs by their
 * hash.
 */
function entryOf(type: PercpuType): Pick<NamedSpec, 'type' | 'layout'> {
  const { size, align, hash } = PercpuName
  const name = `percpu ${nameOf(type)}`
  return { type: cut(name), layout: { name, size, align, hash: type.form === 'struct' ? type.hash : hash } }
}

/** As many whole characters as a directory entry holds. */
function cut(text: string): string {
  let kept = ''
  for (const character of text) {
    if (encodeText(kept + character).length > TYPE_BYTES) break
    kept += character
  }
  return kept
}
