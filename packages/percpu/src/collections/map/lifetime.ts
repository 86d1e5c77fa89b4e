/**
 * What entries of a cache have behind their values: until when they live, and whether anybody has
 * looked them up since the clock's hand came by (evict.ts). Only maps with `capacity` or `ttl` have
 * it; in others no entry ends by itself.
 *
 * A look-up stores one plain word at most, and only if the word is not set: entries that are looked
 * up often stay in the caches of all readers.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { behindValue } from './entry.js'
import { MapLife } from './map-layout.js'
import type { MapTable } from './table.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { loadU32, storeU32 } = mem
const { used: usedField, endLow, endHigh } = MapLife.words
/** Words of it. */
export const LIFE_WORDS = MapLife.stride / 4
const HIGH = 2 ** 32

/** Writes that of an entry that nobody finds yet. `end`: machine time in ms, or 0 for never. */
export function writeLife({ u32 }: Memory, at: number, end: number): void {
  storeU32(u32, at + usedField, 0)
  storeU32(u32, at + endLow, end % HIGH)
  storeU32(u32, at + endHigh, Math.floor(end / HIGH))
}
/** Machine time at which an entry that begins now ends; 0: never. `ttl` in ms, 0 for no limit. */
export function endAfter({ clock }: MapTable, ttl: number): number {
  return ttl === 0 ? 0 : Math.ceil(clock.now() + ttl)
}

/** Whether an entry, by its word index, has not ended. */
export function isLive(table: MapTable, entry: number): boolean {
  if (!table.isCache) return true
  const { u32, i32 } = table.memory
  const life = behindValue(i32, entry, table.pad)
  const low = loadU32(u32, life + endLow)
  const high = loadU32(u32, life + endHigh)
  return (low === 0 && high === 0) || high * HIGH + low > table.clock.now()
}
/** As {@link isLive}, and the entry is known to be used. */
export function use(table: MapTable, entry: number): boolean {
  if (!table.isCache) return true
  // Mutant: collections/ended-found.
  if (!isLive(table, entry)) return false
  const { u32, i32 } = table.memory
  const used = behindValue(i32, entry, table.pad) + usedField
  if (loadU32(u32, used) === 0) storeU32(u32, used, 1)
  return true
}
/** Whether an entry was used; it is as if it had not been from now on. Its bucket is locked. */
export function wasUsed(table: MapTable, entry: number): boolean {
  const { u32, i32 } = table.memory
  const used = behindValue(i32, entry, table.pad) + usedField
  if (loadU32(u32, used) === 0) return false
  storeU32(u32, used, 0)
  return true
}
