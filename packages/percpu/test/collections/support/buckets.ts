/** Keys that fall into a given bucket of a map with a given seed. */
const { hashWords } = await import('../../../dist/collections/map/hash.js')
const { bucketOf } = await import('../../../dist/collections/map/table.js')

export const SEED = 7
/** What maps of these tests are made with: whole numbers, and the same buckets in each run. */
export const options = { key: 'i32', value: 'i32', seed: SEED } as const

function hashOf(key: number): number {
  return hashWords(Int32Array.of(key), 4, SEED, SEED)
}

/** The first `count` whole numbers that have this bucket among `buckets`. */
export function keysOf(bucket: number, count: number, buckets = 8): number[] {
  const keys: number[] = []
  for (let key = 0; keys.length < count; key++) if (bucketOf(buckets, hashOf(key)) === bucket) keys.push(key)
  return keys
}

interface Numbers {
  set(key: number, value: number): unknown
  delete(key: number): unknown
}
/** The next `delete` of this thread merges buckets, if there are few entries for them. */
export function aboutToMerge(map: Numbers, key: number): void {
  for (let i = 0; i < 32; i++) {
    map.set(key, i)
    map.delete(key)
  }
  map.set(key, 0)
}
