/**
 * How many look-ups found an entry, and how many none: counted by each CPU for itself if its
 * thread has opened the map with `stats: true`. And how many entries a CPU has taken out of a
 * cache.
 *
 * Cost: a plain load and store a look-up; a compare for threads that do not count.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { MapCpu } from './map-layout.js'
import type { MapTable } from './table.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadF64, storeF64 } = mem
/** Of its words, in units of 8 bytes. */
const hits = MapCpu.offsets.hits / 8
const misses = MapCpu.offsets.misses / 8
const evictions = MapCpu.offsets.evictions / 8
const expirations = MapCpu.offsets.expirations / 8
const stride = MapCpu.stride / 8

/** Where a CPU counts: the argument of {@link countLookup}. Never 0. */
export function tallyOf({ counts }: MapTable, cpu: number): number {
  return counts / 2 + cpu * stride
}
/** Counts a look-up. */
export function countLookup({ f64 }: Memory, tally: number, isHit: boolean): void {
  const at = tally + (isHit ? hits : misses)
  storeF64(f64, at, loadF64(f64, at) + 1)
}
/** Counts an entry that was taken out: evicted, or because its time was over. */
export function countEnded(table: MapTable, cpu: number, isExpired: boolean): void {
  const { f64 } = table.memory
  const at = tallyOf(table, cpu) + (isExpired ? expirations : evictions)
  storeF64(f64, at, loadF64(f64, at) + 1)
}

/** What is counted. */
export interface MapTallies {
  /** Look-ups that have found an entry, by threads that count them: option `stats`. */
  readonly hits: number
  /** Those that have found none. */
  readonly misses: number
  /** Entries that were taken out as there were too many: option `capacity`. */
  readonly evictions: number
  /** Those that were taken out as their time was over: option `ttl`. */
  readonly expirations: number
}
/** Of all CPUs, also of threads that have ended. A snapshot. */
export function sumTallies(table: MapTable): MapTallies {
  const { f64 } = table.memory
  const sum = { hits: 0, misses: 0, evictions: 0, expirations: 0 }
  for (let cpu = 0; cpu < table.cpus; cpu++) {
    const tally = tallyOf(table, cpu)
    sum.hits += loadF64(f64, tally + hits)
    sum.misses += loadF64(f64, tally + misses)
    sum.evictions += loadF64(f64, tally + evictions)
    sum.expirations += loadF64(f64, tally + expirations)
  }
  return sum
}
