/** Locks of the heap, held as if CPU 0 were at work under them. */
import { insideOf } from '../../support/inside.js'
import { readHeap, type Verified } from './verify.js'

const { CacheLayout } = await import('../../../dist/alloc/layouts.js')
const { tokenOf } = await import('../../../dist/machine/token.js')
const { LayerLock } = await import('../../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')

/** Levels of CPU 0 at which it does nothing else in these tests. */
const LEVELS = [3, 0]

/** Locks the zone of node 0, or the cache of this name; returns how to unlock it. */
export function hold(machine: Verified, what: { readonly cache: string } | 'zone'): () => void {
  const { zones, caches } = readHeap(machine)
  const isZone = what === 'zone'
  const cache = caches.all().find(({ name }) => !isZone && name === what.cache)
  const word = isZone ? zones.list[0]?.lock : cache && cache.at + CacheLayout.words.lock
  if (word === undefined) throw new Error('there is no such lock')
  const { objects } = insideOf(machine.memory)
  const record = SyncMap.open(machine.memory, objects).layerRecord(0, LEVELS[isZone ? 0 : 1] ?? 0)
  const level = new LayerLock(machine.memory, record, tokenOf(0, 1))
  level.lock(word)
  return level.unlock
}
