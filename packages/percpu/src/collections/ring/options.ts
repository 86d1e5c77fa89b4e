/** What a ring is made for, and opened as. */
import { load32, store32, type Memory } from '#mem'
import { powerOfTwoAbove } from '../../arithmetic.js'
import { isStruct } from '../../layout/index.js'
import { checkOneOf, checkOptions, checkRange, shown } from '../../machine/check.js'
import { parseSize } from '../../machine/size.js'
import { RingMismatchError } from '../errors.js'
import { STRUCTS, valueDifference } from '../mismatch.js'
import { checkCreate, type OpenOptions } from '../opening.js'
import { checkValueStruct, structCodec } from '../struct-values.js'
import { valueCodecs, type MapValueKind, type MapValueType, type ValueCodec } from '../values.js'
import { MAX_BYTES, RingRoot } from './ring-layout.js'

/** What `machine.ring` takes. */
export interface RingOptions<V extends MapValueType = MapValueType> extends OpenOptions {
  /**
   * What its messages are: a kind, or what `struct()` returned, without atomic fields. Then they
   * are plain objects with its fields. Default `'bytes'`.
   */
  readonly value?: V
  /**
   * Bytes for messages, 16 to 1 GiB, as a number or as text such as '1 MiB'. Each message takes 4
   * beside its own, and whole words. A ring of a power of two from 2 KiB to 4 MiB takes just so
   * much memory: 512 bytes of it are for itself. The heap rounds others up to the next one.
   * Default: those of the ring if there is one, else 64 KiB.
   */
  readonly bytes?: number | string
}

const DEFAULT_BYTES = 64 * 1024
const MIN_BYTES = 16
/** Bytes before the buffer at most: the ring's own, and those of its name. */
const BEFORE = RingRoot.stride + 128
/** The largest block of the heap. A larger ring takes as much of boot memory as it needs. */
const MAX_BLOCK = 2 ** 22
/** In place of the number of a kind. */
const STRUCT = 0xffff
const { words } = RingRoot
const kinds = Object.keys(valueCodecs) as MapValueKind[]

/** As they were checked. */
export interface RingSpec {
  readonly value: MapValueType
  readonly create: OpenOptions['create']
  /** Words; undefined if it was not said. */
  readonly capacity: number | undefined
  /** Whether all messages have the same size. */
  readonly isFixed: boolean
  readonly codec: ValueCodec<unknown>
}

/** @throws ArgumentError. */
export function readRingOptions(options: RingOptions): RingSpec {
  checkOptions('ring', options, { value: true, bytes: true, create: true })
  const { value = 'bytes', bytes, create } = options
  if (isStruct(value)) checkValueStruct(value)
  else checkOneOf('value', value, kinds)
  checkCreate(create)
  return {
    value,
    create,
    capacity: bytes === undefined ? undefined : capacityOf(bytes),
    isFixed: isStruct(value) || !['string', 'bytes', 'json'].includes(value),
    codec: isStruct(value) ? structCodec(value) : (valueCodecs[value] as ValueCodec<unknown>),
  }
}
function capacityOf(size: number | string): number {
  const bytes = parseSize(size, 'bytes')
  checkRange('bytes', bytes, MIN_BYTES, MAX_BYTES)
  const words = Math.ceil(bytes / 4)
  // With the bytes before them, most of a block twice as large would be unused.
  const block = powerOfTwoAbove(bytes)
  return bytes === block && bytes > 1024 && bytes <= MAX_BLOCK ? (block - BEFORE) / 4 : words
}

/** Words of a new ring's buffer. */
export function newCapacity({ capacity = capacityOf(DEFAULT_BYTES) }: RingSpec): number {
  return capacity
}

/** Of a new ring. `root`: word index. */
export function writeSpec({ i32 }: Memory, root: number, { value }: RingSpec): void {
  store32(i32, root + words.kind, isStruct(value) ? STRUCT : kinds.indexOf(value))
  store32(i32, root + words.structHash, isStruct(value) ? value.hash : 0)
}

/** @throws RingMismatchError if the ring was made with other options. */
export function compareSpec({ i32 }: Memory, root: number, name: string, spec: RingSpec): void {
  const { value, capacity } = spec
  const kind = load32(i32, root + words.kind)
  const hash = load32(i32, root + words.structHash)
  const isSame = isStruct(value) ? kind === STRUCT && hash === (value.hash | 0) : kinds[kind] === value
  if (!isSame) {
    const [expected, found] = [isStruct(value) ? value.name : value, kinds[kind] ?? STRUCTS]
    throw new RingMismatchError(`the ring ${shown(name)} has ${valueDifference('messages', found, value)}`, {
      name,
      expected,
      found,
    })
  }
  const bytes = load32(i32, root + words.capacity) * 4
  if (capacity === undefined || capacity * 4 === bytes) return
  throw new RingMismatchError(`the ring ${shown(name)} holds ${bytes} bytes, not ${capacity * 4}`, {
    name,
    expected: capacity * 4,
    found: bytes,
  })
}
