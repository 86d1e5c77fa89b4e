/** What a thread writes maps with. */
import * as mem from '#mem'
import type { Heap } from '../../alloc/heap.js'
import type { Ringer } from '../../cpus/ringer.js'
import { OutOfMemoryError } from '../../machine/errors.js'
import type { Queueing } from '../../rcu/queueing.js'
import type { Srcu } from '../../rcu/srcu.js'
import { LockTimeoutError } from '../../sync/errors.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import { MapBucket } from './map-layout.js'

const bucketWords = MapBucket.stride / 4

export interface WriterParts {
  readonly heap: Heap
  /** For one bucket, and for those that are taken beside it: next, and last, in merge.ts. */
  readonly lock: LayerLock
  readonly nextLock: LayerLock
  readonly childLock: LayerLock
  readonly queueing: Queueing
  readonly cpu: number
  readonly ringer: Ringer
  /** Word indices: of the CPU's note, and of its list of what is to be freed. */
  readonly note: number
  readonly list: number
  /** Whose sections hold entries; undefined if they cannot be held. */
  readonly domain: Srcu | undefined
}

/** Makes memory that only this thread knows an overflow block, or a bucket. */
export function clearBlock({ i32 }: mem.Memory, block: number): void {
  // atomic: nobody finds it yet.
  for (let word = 0; word < bucketWords; word++) mem.storeAtomic32(i32, block + word, 0)
}

/** An overflow block that nobody finds yet, by its reference; 0 if there is no memory now. */
export function tryBlock(memory: mem.Memory, heap: Heap): number {
  try {
    const address = heap.alloc(MapBucket.stride, { align: 64 })
    clearBlock(memory, address / 4)
    return address / 8
  } catch (error) {
    if (error instanceof OutOfMemoryError || error instanceof LockTimeoutError) return 0
    throw error
  }
}
