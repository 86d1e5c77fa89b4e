/** What a map is made for, and opened as. */
import { load32, loadF64, loadU32, store32, storeF64, storeU32, type Memory } from '#mem'
import { ArgumentError } from '../../errors.js'
import {
  checkChoice,
  checkFlag,
  checkInt32,
  checkGivenOptions,
  checkOptions,
  checkRange,
  refused,
  shown,
  type OptionNames,
} from '../../machine/check.js'
import { isStruct } from '../../layout/index.js'
import { MAX_MEMORY } from '../../machine/limits.js'
import { parseSize } from '../../machine/size.js'
import { MapMismatchError } from '../errors.js'
import { keyCodecs, type MapKeyKind } from '../keys.js'
import { joined, kindDifference, STRUCTS, valueDifference } from '../mismatch.js'
import { checkCreate, type OpenOptions } from '../opening.js'
import { MapRoot } from './map-layout.js'
import { checkValueStruct, structCodec } from '../struct-values.js'
import { valueCodecs, type MapValueKind, type MapValueType, type ValueCodec } from '../values.js'
import { structViews, viewBytes, type MakeView } from '../view.js'

/** How much a map holds at most. */
export interface MapCapacity {
  /** Entries, 1 to 2^31 - 1. Default: any number. */
  readonly entries?: number
  /** Bytes of memory, 64 to 8 GiB, as a number or as text such as '64 MiB'. Default: any number. */
  readonly bytes?: number | string
}

/** What `machine.map` takes. */
export interface MapOptions<
  K extends MapKeyKind = MapKeyKind,
  V extends MapValueType = MapValueType,
> extends OpenOptions {
  /** What its keys are. */
  readonly key: K
  /** What its values are: a kind, or what `struct()` returned. */
  readonly value: V
  /**
   * How many values this thread keeps decoded, 0 to 2^24. `get` of a key gives the same object then
   * until it is set again, which must not be changed. Not for keys of kind `bytes`. Each thread
   * chooses its own, when it opens the map for the first time. Default: as it has chosen, or 0.
   */
  readonly cache?: number
  /**
   * True: this thread counts its calls of `get`, `has`, `view`, `hold` and `getOrInsert` that find
   * an entry, and those that find none, for {@link MapReport.hits}. Each thread chooses, when it
   * opens the map for the first time. Default: as it has chosen, or false.
   */
  readonly stats?: boolean
  /**
   * True: entries can be held across awaits, by `map.hold`. What is replaced is freed when those
   * who may hold it are done: sections of an SRCU domain of the map's own. All threads must say the
   * same. Default false.
   */
  readonly hold?: boolean
  /**
   * How many entries the map has at most, 1 to 2^31 - 1: a new one takes the place of one that
   * nobody has looked up for long. While several threads set at once there may be some more. With
   * memory full, `set` throws before there are so many. `{ bytes: '64 MiB' }` says how much memory
   * the entries have, with their keys and what the heap adds: as many make room for a new one as it
   * takes. `{ entries, bytes }` says both. All threads must say the same. Default: no limit.
   */
  readonly capacity?: number | MapCapacity
  /**
   * Milliseconds for which an entry is there since it was set, 1 to 2^52. Its memory is freed
   * when others are set later on; until then `size` counts it. All threads must say the same.
   * Default: no limit.
   */
  readonly ttl?: number
  /** @internal Of the hash, for explorations: other seeds, other buckets. */
  readonly seed?: number
}

/** As they were checked. */
export interface MapSpec extends Omit<MapOptions, 'capacity'> {
  readonly capacity: Capacity
}
/** 0: no limit. Bytes are a multiple of 8. */
interface Capacity {
  readonly entries: number
  readonly bytes: number
}

/** Of one entry. */
export interface SetOptions {
  /** Milliseconds for which it is there, 1 to 2^52. Default: as the map says. */
  readonly ttl?: number
}
const MAX_TTL = 2 ** 52

const { words } = MapRoot
const keyKinds = Object.keys(keyCodecs) as MapKeyKind[]
const valueKinds = Object.keys(valueCodecs) as MapValueKind[]

const optionNames: OptionNames<MapOptions> = {
  ...({ key: true, value: true, cache: true, stats: true, hold: true, capacity: true, ttl: true } as const),
  ...({ create: true, seed: true } as const),
}

/** Reads them, once: they may be getters. @throws ArgumentError. */
export function readMapOptions(given: MapOptions): MapSpec {
  checkGivenOptions('map', given, optionNames, ['key', 'value'], ['seed'])
  const { key, value, cache, stats, hold, capacity: limits, ttl, create, seed } = given
  const capacity = readCapacity(limits)
  const options = { key, value, cache, stats, hold, capacity, ttl, create, seed } as MapSpec
  checkChoice('key', options.key, keyKinds)
  if (isStruct(options.value)) checkValueStruct(options.value)
  else checkChoice('value', options.value, valueKinds)
  if (options.cache !== undefined) checkRange('cache', options.cache, 0, 2 ** 24)
  if (options.key === 'bytes' && options.cache !== undefined && options.cache > 0)
    throw new ArgumentError("cache: values of keys of kind 'bytes' cannot be kept", { cache: options.cache })
  checkFlag('hold', options.hold)
  if (options.ttl !== undefined) checkRange('ttl', options.ttl, 1, MAX_TTL)
  checkFlag('stats', options.stats)
  checkCreate(options.create)
  if (options.seed !== undefined) checkInt32('seed', options.seed)
  return options
}

function readCapacity(capacity: MapOptions['capacity']): Capacity {
  if (capacity === undefined) return { entries: 0, bytes: 0 }
  if (typeof capacity !== 'object') {
    checkRange('capacity', capacity, 1, 2 ** 31 - 1)
    return { entries: capacity, bytes: 0 }
  }
  checkOptions('capacity of map', capacity, { entries: true, bytes: true })
  const { entries, bytes: size } = capacity
  if (entries !== undefined) checkRange('capacity.entries', entries, 1, 2 ** 31 - 1)
  const bytes = size === undefined ? 0 : parseSize(size, 'capacity.bytes')
  if (size !== undefined) checkRange('capacity.bytes', bytes, 64, MAX_MEMORY)
  if (entries === undefined && size === undefined)
    throw refused('capacity', capacity, 'no limit: say `entries`, or `bytes`')
  return { entries: entries ?? 0, bytes: Math.floor(bytes / 8) * 8 }
}

/**
 * For how long an entry is there, in ms. `usual`: of its map, or 0.
 *
 * @throws ArgumentError, also for a map without limit.
 */
export function checkTtl(options: SetOptions, usual: number): number {
  checkOptions('set', options, { ttl: true })
  const { ttl } = options
  if (ttl === undefined) return usual
  checkRange('ttl', ttl, 1, MAX_TTL)
  if (usual === 0) throw new ArgumentError('ttl: the map was made without', { ttl })
  return ttl
}

/** Of a new map. `root`: word index. */
export function writeOptions({ i32, u32, f64 }: Memory, root: number, options: MapSpec): void {
  const { key, value, hold = false, capacity, ttl = 0, seed } = options
  store32(i32, root + words.keys, keyKinds.indexOf(key))
  store32(i32, root + words.values, numberOf(value))
  storeU32(u32, root + words.valueHash, hashOf(value))
  storeU32(u32, root + words.hold, hold ? 1 : 0)
  storeU32(u32, root + words.capacity, capacity.entries)
  storeU32(u32, root + words.capacityUnits, capacity.bytes / 8)
  storeF64(f64, root / 2 + MapRoot.offsets.ttl / 8, ttl)
  for (let i = 0; i < 2; i++) store32(i32, root + words.seed + i, seed ?? Math.random() * 2 ** 32)
}

/** @throws MapMismatchError if the map was made with other options. */
export function compareOptions(memory: Memory, root: number, name: string, options: MapSpec): void {
  const { i32, u32 } = memory
  const { key, value } = options
  const foundKey = keyKinds[load32(i32, root + words.keys)]
  const number = load32(i32, root + words.values)
  const isSame = number === numberOf(value) && loadU32(u32, root + words.valueHash) === hashOf(value)
  if (foundKey === key && isSame) {
    compareLimits(memory, root, name, options)
    return
  }
  const foundValue = number === STRUCT ? STRUCTS : String(valueKinds[number])
  const differences = [
    kindDifference('keys', String(foundKey), key),
    isSame ? undefined : valueDifference('values', foundValue, value),
  ]
  throw new MapMismatchError(`the map ${shown(name)} has ${joined(differences)}`, {
    name,
    expected: { key, value },
    found: { key: foundKey, value: foundValue },
  })
}

/** What else all threads must say alike. */
function compareLimits(
  { u32, f64 }: Memory,
  root: number,
  name: string,
  { hold = false, capacity, ttl, create }: MapSpec,
): void {
  const found = {
    hold: loadU32(u32, root + words.hold) === 1,
    capacity: orNone(loadU32(u32, root + words.capacity)),
    'capacity.bytes': orNone(loadU32(u32, root + words.capacityUnits) * 8),
    ttl: orNone(loadF64(f64, root / 2 + MapRoot.offsets.ttl / 8)),
  }
  const { entries, bytes } = capacity
  const expected = { hold, capacity: orNone(entries), 'capacity.bytes': orNone(bytes), ttl }
  for (const option of ['hold', 'capacity', 'capacity.bytes', 'ttl'] as const) {
    if (found[option] === expected[option]) continue
    // Who only opens takes limits as they are.
    if (create === false && option !== 'hold' && expected[option] === undefined) continue
    const difference = `${withOption(option, found[option])}, not ${withOption(option, expected[option])}`
    throw new MapMismatchError(`the map ${shown(name)} was made ${difference}`, {
      name,
      expected: { [option]: expected[option] },
      found: { [option]: found[option] },
    })
  }
}
/** What each thread may choose for itself. */
export type OwnOptions = Required<Pick<MapOptions, 'cache' | 'stats'>>

/**
 * @throws ArgumentError if this thread has opened the map before, with other ones: all that it has
 *   opened is one handle.
 */
export function compareOwnOptions(name: string, found: OwnOptions, options: Partial<OwnOptions>): void {
  for (const option of ['cache', 'stats'] as const) {
    const wanted = options[option] ?? found[option]
    if (wanted === found[option]) continue
    throw new ArgumentError(
      `${option}: this thread has opened the map ${shown(name)} with ${found[option]}, not ${wanted}`,
      { [option]: wanted, found: found[option] },
    )
  }
}

function withOption(name: string, value: number | boolean | undefined): string {
  return value === undefined ? `without ${name}` : `with ${name}: ${value}`
}
function orNone(limit: number): number | undefined {
  return limit === 0 ? undefined : limit
}

/** Stands for any struct among the numbers of kinds. */
const STRUCT = 255
function numberOf(value: MapValueType): number {
  return isStruct(value) ? STRUCT : valueKinds.indexOf(value)
}
function hashOf(value: MapValueType): number {
  return isStruct(value) ? value.hash >>> 0 : 0
}

/** How values are encoded, aligned (MapTable.pad), and seen in place; undefined: decoded. */
export function valuesOf(value: MapValueType): {
  readonly codec: ValueCodec<unknown>
  readonly view: MakeView | undefined
  readonly pad: number
} {
  if (isStruct(value))
    return { codec: structCodec(value), view: structViews(value), pad: value.align > 4 ? 1 : 0 }
  const view = value === 'bytes' ? viewBytes : undefined
  return { codec: valueCodecs[value] as ValueCodec<unknown>, view, pad: 0 }
}
