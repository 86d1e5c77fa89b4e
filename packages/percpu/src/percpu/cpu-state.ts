import type { LayerContext } from '../bootmem/layer.js'
import type { LayerLock } from '../sync/layer-lock.js'
import type { Allocator } from './allocator.js'
import type { AllocatorState } from './state.js'

/** What a thread has of this layer while its CPU is online. */
export interface CpuState {
  readonly context: LayerContext
  readonly state: AllocatorState
  readonly allocator: Allocator
  /** Takes the locks of this layer, one at a time. */
  readonly layerLock: LayerLock
}
