/**
 * The reserve of a version: objects of the heap with which ranges can be taken away when memory is
 * full. Path copying makes new nodes also for what is to be less.
 *
 *     version ──reserve──▶ link │ count │ bytes │ references ──▶ objects, all of the same size
 *
 * A version hands it on to the next one. A change that uses some of it frees the others, and its
 * version has none; who writes later takes a new one, as soon as there is memory. Until that
 * change is noted (notes.ts), all of it is the present version's. What lies in the objects means
 * nothing.
 */
import { load32, store32, type Memory } from '#mem'
import { powerOfTwoAbove } from '../../arithmetic.js'
import type { Fresh, Reserve } from './fresh.js'
import { KEYS } from './keys.js'
import { countOf, type Shape } from './node.js'
import { RangeReserve, RangeVersion } from './range-layout.js'

const { count, bytes } = RangeReserve.words
const FIRST = RangeReserve.stride / 4

const none: Reserve = { objects: [], bytes: 0 }

/** What a reserve has, by its reference, or 0. */
export function reserveAt({ i32 }: Memory, reserve: number): Reserve {
  if (reserve === 0) return none
  const at = reserve * 2
  const objects: number[] = []
  for (let i = 0, all = load32(i32, at + count); i < all; i++) objects.push(load32(i32, at + FIRST + i))
  return { objects, bytes: load32(i32, at + bytes) }
}
/** All that is freed with it. */
export function partsOf(memory: Memory, reserve: number): readonly number[] {
  return reserve === 0 ? [] : [reserve, ...reserveAt(memory, reserve).objects]
}

/**
 * What it takes to delete a part of a tree with this topmost node: nodes of the paths to both ends,
 * with a boundary more in each, so that those may have to be split; a version; and, for values that
 * lie in blocks, one, of a range that is cut in two.
 */
function wantedFor<K, V>(
  { memory, keys, values }: Shape<K, V>,
  root: number,
  level: number,
): { readonly count: number; readonly bytes: number } {
  const { capacity } = keys
  const wanted = level === 0 ? countOf(memory, root * 2) + 2 : capacity
  const nodes = level > 0 ? 4 * (level + 1) - 1 : wanted <= capacity ? 1 : 3
  const most = Math.min(powerOfTwoAbove(wanted), capacity)
  const node = (KEYS + most * (keys.words + values.words)) * 4 + most * keys.usualExtra
  const blocks = values.readBlock === undefined ? 0 : 1
  return { count: nodes + 1 + blocks, bytes: Math.max(node, RangeVersion.stride) }
}

/** Whether a reserve is enough for a tree. */
export function isEnough<K, V>(shape: Shape<K, V>, reserve: number, root: number, level: number): boolean {
  const wanted = wantedFor(shape, root, level)
  const found = reserveAt(shape.memory, reserve)
  return found.objects.length >= wanted.count && found.bytes >= wanted.bytes
}
/** Takes one for a tree. Returns its reference. @throws OutOfMemoryError; LockTimeoutError. */
export function takeReserve<K, V>(
  shape: Shape<K, V>,
  fresh: Fresh<K, V>,
  root: number,
  level: number,
): number {
  const { i32 } = shape.memory
  const wanted = wantedFor(shape, root, level)
  const objects = Array.from({ length: wanted.count }, () => fresh.takeNew(wanted.bytes, { align: 64 }))
  const reserve = fresh.takeNew(RangeReserve.stride + wanted.count * 4)
  store32(i32, reserve * 2 + count, wanted.count)
  store32(i32, reserve * 2 + bytes, wanted.bytes)
  for (const [i, object] of objects.entries()) store32(i32, reserve * 2 + FIRST + i, object)
  return reserve
}
