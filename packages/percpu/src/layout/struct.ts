/**
 * Layouts of objects in shared memory: C structs, checked when they are defined.
 *
 *     const Route = struct('Route', {
 *       state: atomic(u32),              route.state.load()
 *       key: published(u32),             route.key
 *       hits: racy(u32),                 route.hits++
 *       name: published(array(u8, 16)),  route.name.at(3)
 *     }, { maxSize: 64 })
 *     const route = Route.at(memory, address)
 *     const HITS = Route.offsets.hits    // for hot paths
 *
 * Fields are placed by the rules of C. Each has a kind, and the accessor has only the operations
 * that the kind allows, for TypeScript and at run time. A definition may promise more about its
 * layout: that is checked at once.
 *
 * Cost: that of a bare typed array for a property of an accessor, once it is optimised, and a few
 * ns to make an accessor. See "layout" in docs/benchmarks.md. How to use it: docs/layout.md.
 */
import type { Memory } from '#mem'
import { roundUp } from '../arithmetic.js'
import { checkRange, checkWord } from '../check.js'
import { ArgumentError } from '../errors.js'
import { showAs } from '../inspect.js'
import { ofModule } from '../unsendable.js'
import { shortened, shown, visible } from '../shown.js'
import type { AccessorClasses } from './accessor.js'
import { boundClasses, draftClasses, sectionClasses, sharedClasses, valueClasses } from './accessor.js'
import type { Accessor } from './accessor-types.js'
import { brand } from './brand.js'
import type { Contracts } from './contracts.js'
import { checkContracts } from './contracts.js'
import { hashOf } from './describe.js'
import { badDefinition, defining, LayoutError } from './errors.js'
import type { Scope } from './flavours.js'
import { isAlignment } from './kinds.js'
import type { Locate } from './locate.js'
import { checkMemory, isWordBased, locator } from './locate.js'
import type { Placement } from './place.js'
import { flatten, place } from './place.js'
import { nameAt } from './read.js'
import type { Path, Struct } from './struct-type.js'
import type { FieldInfo, Fields, Kind, Member, StructType } from './types.js'
import { CACHE_LINE, MAX_SIZE, strideOf } from './types.js'

export interface StructOptions<F extends Fields = Fields, K extends Kind = Kind> extends Contracts<Path<F>> {
  /**
   * Raises the alignment of objects to so many bytes, a power of two. Unlike the alignment of a
   * field it adds no padding.
   */
  readonly align?: number
  /** The kind of fields without one. Default `'owner'`. */
  readonly kind?: K
  /** The lock of fields that are locked by `kind`. */
  readonly lock?: string
  /** Bytes of a cache line. Default 64. */
  readonly lineSize?: number
}

/**
 * Defines a struct. Errors, reports and lock files call it by its name.
 *
 * @throws LayoutError when the definition makes no sense, or breaks one of its contracts.
 */
export function struct<F extends Fields, K extends Kind = 'owner'>(
  name: string,
  fields: F,
  options: StructOptions<NoInfer<F>, K> = {},
): Struct<F, K> {
  if (typeof name !== 'string' || !/^\S+$/.test(name) || visible(name) !== name) {
    throw badDefinition(`struct() takes a name of visible characters without spaces, not ${shown(name)}`)
  }
  return defining(`struct ${shortened(name)}`, () => new Layout<F, K>(name, fields, options))
}

class Layout<F extends Fields, K extends Kind> implements Struct<F, K> {
  static {
    showAs(this, ({ name, size, align, hash }) => ({ name, size, align, hash }))
  }

  /** @internal */
  protected readonly unsendable = ofModule

  readonly form = 'struct'
  readonly size: number
  readonly align: number
  readonly stride: number
  readonly lineSize: number
  readonly isFlexible: boolean
  readonly kind: K
  readonly members: readonly Member[]
  readonly #locate: Locate
  // Made when they are first asked for: most programs use few structs, and those in few ways.
  #fields: readonly FieldInfo[] | undefined
  #offsets: Readonly<Record<Path<F>, number>> | undefined
  #words: Readonly<Record<Path<F>, number>> | undefined
  #hash: number | undefined
  #at: Struct<F, K>['at'] | undefined
  #journalled: Struct<F, K>['journalled'] | undefined
  #draft: Struct<F, K>['draft'] | undefined
  #reader: Struct<F, K>['reader'] | undefined

  constructor(
    readonly name: string,
    readonly definition: F,
    options: StructOptions<F, K>,
  ) {
    checkOptionNames(name, options)
    const { kind = 'owner' as K, lock, lineSize = CACHE_LINE } = options
    checkDefaults(name, kind, lock)
    this.kind = kind
    this.lineSize = lineSize
    if (!isAlignment(lineSize)) {
      throw badDefinition(`struct ${name}: lineSize must be a power of two, not ${shown(lineSize)}`, {
        struct: name,
        found: lineSize,
      })
    }
    const placement = place(name, definition, { kind, lock, lineSize })
    this.members = placement.members
    this.size = placement.size
    this.align = raiseAlignment(name, placement, options.align)
    this.stride = roundUp(this.size, this.align)
    this.isFlexible = this.members.at(-1)?.type?.form === 'flexible'
    checkContracts(this, options)
    this.#locate = locator(this)
    Object.freeze(this)
  }

  get [brand](): true {
    return true
  }

  get fields(): readonly FieldInfo[] {
    return (this.#fields ??= Object.freeze(flatten(this.members)))
  }
  get offsets(): Readonly<Record<Path<F>, number>> {
    return (this.#offsets ??= offsetsOf(this.fields))
  }
  get words(): Readonly<Record<Path<F>, number>> {
    return (this.#words ??= wordsOf(this))
  }
  get hash(): number {
    return (this.#hash ??= hashOf(this))
  }
  get at(): Struct<F, K>['at'] {
    return (this.#at ??= sharedMaker(this, this.#locate) as Struct<F, K>['at'])
  }
  get journalled(): Struct<F, K>['journalled'] {
    return (this.#journalled ??= scopedMaker(this, sectionClasses, this.#locate) as Struct<
      F,
      K
    >['journalled'])
  }
  get draft(): Struct<F, K>['draft'] {
    return (this.#draft ??= scopedMaker(this, draftClasses, this.#locate) as Struct<F, K>['draft'])
  }
  get reader(): Struct<F, K>['reader'] {
    return (this.#reader ??= scopedMaker(this, valueClasses, this.#locate) as Struct<F, K>['reader'])
  }

  bind(memory: Memory): (address: number) => Accessor<Struct<F, K>> {
    checkMemory(this.name, memory)
    const Class = boundClasses(memory).of(this)
    const locate = this.#locate
    const fixed = memory
    return (address) => new Class(fixed, locate(fixed, address)) as Accessor<Struct<F, K>>
  }

  sizeFor(length: number): number {
    const { members, size, align, isFlexible } = this
    const last = members.at(-1)
    if (!isFlexible || last?.type?.form !== 'flexible')
      throw new ArgumentError(
        `length: ${shown(length)} is given, but ${this.name} has no array of run-time length`,
        { length, struct: this.name },
      )
    const stride = strideOf(last.type.element)
    const first = last.offset + last.size
    checkRange('length', length, 0, Math.floor((MAX_SIZE - roundUp(first, align)) / stride))
    return Math.max(size, roundUp(first + length * stride, align))
  }

  nameAt(offset: number): string | undefined {
    checkWord('offset', offset)
    return nameAt(this, offset)
  }
}

/** A closure for each struct, for the compiler to know its class as a constant. */
function sharedMaker(struct: StructType, locate: Locate): (memory: Memory, address: number) => object {
  const Class = sharedClasses.of(struct)
  return (memory, address) => new Class(memory, locate(memory, address))
}
/** As {@link sharedMaker}, of accessors that end with a scope. */
function scopedMaker(
  struct: StructType,
  classes: AccessorClasses,
  locate: Locate,
): (scope: Scope, address: number) => object {
  const Class = classes.of(struct)
  return (scope, address) => new Class(scope, locate(scope.memory, address))
}

function raiseAlignment(name: string, { align, alignedBy }: Placement, wanted: number | undefined): number {
  if (wanted === undefined) return align
  if (!isAlignment(wanted)) {
    throw badDefinition(`struct ${name}: align must be a power of two, not ${shown(wanted)}`, {
      struct: name,
      found: wanted,
    })
  }
  if (wanted >= align) return wanted
  throw new LayoutError(
    `struct ${name}: its field ${alignedBy} needs an alignment of ${String(align)} bytes, but align is ${String(wanted)}`,
    { struct: name, field: alignedBy, rule: 'align', found: align, allowed: wanted },
  )
}

// Both tables are made by Object.fromEntries: V8 stores its result like a literal, and takes
// constants from it.

function offsetsOf<P extends string>(fields: readonly FieldInfo[]): Readonly<Record<P, number>> {
  return Object.freeze(
    Object.fromEntries(named(fields).map(({ path, offset }) => [path, offset])) as Record<P, number>,
  )
}

function wordsOf<P extends string>({ name, align, fields }: Struct): Readonly<Record<P, number>> {
  const isWord = ({ offset }: FieldInfo): boolean => isWordBased(align) && offset % 4 === 0
  const words = named(fields).filter(isWord)
  const table = Object.fromEntries(words.map(({ path, offset }) => [path, offset / 4])) as Record<P, number>
  for (const field of named(fields)) {
    if (isWord(field)) continue
    const { path, offset } = field
    Object.defineProperty(table, path, {
      get(): never {
        throw new ArgumentError(
          `${name}.words.${path}: the field is at offset ${String(offset)} of a struct aligned to ${String(align)}, not at a multiple of 4; use offsets`,
          { struct: name, field: path, offset, align },
        )
      },
    })
  }
  return Object.freeze(table)
}

/** The rows with an offset of their own: not reserved bytes, nor fields of elements of arrays. */
function named(fields: readonly FieldInfo[]): readonly FieldInfo[] {
  return fields.filter(({ path, type }) => type !== undefined && !path.includes('['))
}

const kinds: readonly Kind[] = ['atomic', 'owner', 'locked', 'published', 'racy']

function checkDefaults(struct: string, kind: Kind, lock: string | undefined): void {
  if (!kinds.includes(kind))
    throw badDefinition(`struct ${struct}: ${shown(kind)} is none of the kinds ${kinds.join(', ')}`, {
      struct,
      found: kind,
    })
  if (lock === undefined || (typeof lock === 'string' && lock !== '')) return
  throw badDefinition(`struct ${struct}: lock: ${shown(lock)} is not the name of a lock`, {
    struct,
    found: lock,
  })
}

const optionNames = [
  ...['size', 'maxSize', 'align', 'noCross', 'sameLine', 'separateLines', 'within'],
  ...['kind', 'lock', 'lineSize'],
]

/** A misspelt contract would never be checked. */
function checkOptionNames(struct: string, options: object): void {
  if (Object.prototype.toString.call(options) !== '[object Object]')
    throw badDefinition(`struct ${struct}: its options are ${shown(options)}, not an object`, { struct })
  const unknown = Object.keys(options).filter((name) => !optionNames.includes(name))
  if (unknown.length === 0) return
  throw badDefinition(
    `struct ${struct}: there is no option ${unknown.join(', ')}; there are ${optionNames.join(', ')}`,
    { struct, found: unknown, allowed: optionNames },
  )
}
