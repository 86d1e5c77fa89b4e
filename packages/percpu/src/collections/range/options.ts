/** What a map of ranges is made for, and opened as. */
import { load32, store32, type Memory } from '#mem'
import { checkChoice, checkGivenOptions, shown } from '../../machine/check.js'
import { MapMismatchError } from '../errors.js'
import { joined, kindDifference } from '../mismatch.js'
import { checkCreate, type OpenOptions } from '../opening.js'
import { valueCodecs, type MapValueKind } from '../values.js'
import { keyKinds, type RangeKeyKind } from './keys.js'
import { RangeRoot } from './range-layout.js'

/** What `machine.rangeMap` takes. */
export interface RangeMapOptions<
  K extends RangeKeyKind = RangeKeyKind,
  V extends MapValueKind = MapValueKind,
> extends OpenOptions {
  /** What its keys are. */
  readonly key: K
  /** What its values are. */
  readonly value: V
}

const { words } = RangeRoot
const allKeys = Object.keys(keyKinds) as RangeKeyKind[]
const allValues = Object.keys(valueCodecs) as MapValueKind[]

/** Reads them, once: they may be getters. @throws ArgumentError. */
export function readRangeOptions<K extends RangeKeyKind, V extends MapValueKind>(
  options: RangeMapOptions<K, V>,
): RangeMapOptions<K, V> {
  checkGivenOptions('rangeMap', options, { key: true, value: true, create: true }, ['key', 'value'])
  const { key, value, create } = options
  checkChoice('key', key, allKeys)
  checkChoice('value', value, allValues)
  checkCreate(create)
  return { key, value, ...(create === undefined ? {} : { create }) }
}

/** Of a new map. `root`: word index. */
export function writeRangeOptions({ i32 }: Memory, root: number, { key, value }: RangeMapOptions): void {
  store32(i32, root + words.keys, allKeys.indexOf(key))
  store32(i32, root + words.values, allValues.indexOf(value))
}

/** @throws MapMismatchError if the map was made with other options. */
export function compareRangeOptions(
  memory: Memory,
  root: number,
  name: string,
  { key, value }: RangeMapOptions,
): void {
  const found = rangeOptionsAt(memory, root)
  if (found.key === key && found.value === value) return
  const differences = [kindDifference('keys', found.key, key), kindDifference('values', found.value, value)]
  throw new MapMismatchError(`the map of ranges ${shown(name)} has ${joined(differences)}`, {
    name,
    expected: { key, value },
    found,
  })
}
/** What the map at a word index was made with. */
export function rangeOptionsAt({ i32 }: Memory, root: number): RangeMapOptions {
  const key = allKeys[load32(i32, root + words.keys)] ?? 'bytes'
  const value = allValues[load32(i32, root + words.values)] ?? 'bytes'
  return { key, value }
}
