/**
 * Histograms of durations in shared memory: each CPU counts in its own, watchers read whenever they
 * like.
 *
 * A bucket is a quarter of an octave of microseconds, so a percentile is at most 25 % too high.
 * Counts are racy: a watcher may miss the latest. (Log-linear buckets, as in HdrHistogram.)
 */
import { loadU32, storeU32, type U32View } from '#mem'
import { BUCKETS } from './vpa-layout.js'

/** Milliseconds. */
export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

/** The bucket of a duration in ms; negative ones count as 0. */
export function bucketOf(milliseconds: number): number {
  const microseconds = Math.min(2 ** 31 - 1, Math.max(0, milliseconds * 1000)) | 0
  if (microseconds < 4) return microseconds
  const octave = 31 - Math.clz32(microseconds)
  return (octave - 1) * 4 + ((microseconds >>> (octave - 2)) & 3)
}

/** The largest duration, in ms, that falls into the bucket. */
export function upperBound(bucket: number): number {
  if (bucket < 4) return (bucket + 1) / 1000
  const octave = (bucket >> 2) + 1
  return ((4 + (bucket & 3) + 1) * 2 ** (octave - 2)) / 1000
}

export function count(view: U32View, word: number, milliseconds: number): void {
  const at = word + bucketOf(milliseconds)
  storeU32(view, at, loadU32(view, at) + 1)
}

export function clear(view: U32View, word: number): void {
  for (let bucket = 0; bucket < BUCKETS; bucket++) storeU32(view, word + bucket, 0)
}

/** Of one or several histograms together; undefined if nothing was counted. */
export function percentiles(view: U32View, ...words: readonly number[]): Percentiles | undefined {
  const sum = (bucket: number): number =>
    words.reduce((total, word) => total + loadU32(view, word + bucket), 0)
  const counts = Array.from({ length: BUCKETS }, (_, bucket) => sum(bucket))
  const total = counts.reduce((sum, n) => sum + n, 0)
  if (total === 0) return undefined
  const at = (share: number) => {
    let seen = 0
    return upperBound(counts.findIndex((n) => (seen += n) >= share * total))
  }
  return { count: total, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }
}
