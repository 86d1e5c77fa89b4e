/**
 * For whom the allocators work: one incarnation of a CPU, by its own thread; or in its place, by its reaper.
 */
import { addAtomic32, load32, loadAtomic32, storeAtomic32, store32, type Memory } from '#mem'
import type { Memblock } from '../bootmem/memblock.js'
import { cpuOf, incarnationOf, previousIncarnation } from '../machine/token.js'
import { type LayerLock } from '../sync/layer-lock.js'
import { HeapCpu, HeapRoot } from './layouts.js'
import { isAllocated, isEnded, isPersistent } from './tag.js'
import type { HeapMap } from './page-map.js'

export interface OwnerParts {
  readonly memory: Memory
  readonly map: HeapMap
  readonly memblock: Memblock
  readonly cpu: number
  readonly node: number
  readonly incarnation: number
  /** Names the incarnation: machine/token.ts. */
  readonly token: number
  readonly pageLock: LayerLock
  readonly objectLock: LayerLock
  /** True for a reaper, which must not wait for locks: their owners may be dead, too, and wait for the same reaper. */
  readonly isReaper: boolean
}

export class Owner {
  readonly memory: Memory
  readonly map: HeapMap
  readonly memblock: Memblock
  readonly cpu: number
  readonly node: number
  readonly token: number
  readonly pageLock: LayerLock
  readonly objectLock: LayerLock
  readonly isReaper: boolean
  /** Word index of the CPU's HeapCpu. */
  readonly record: number
  #leavesSomething = false

  constructor(parts: OwnerParts) {
    this.memory = parts.memory
    this.map = parts.map
    this.memblock = parts.memblock
    this.cpu = parts.cpu
    this.node = parts.node
    this.token = parts.token
    this.pageLock = parts.pageLock
    this.objectLock = parts.objectLock
    this.isReaper = parts.isReaper
    this.record = parts.map.heapCpu(parts.cpu)
  }

  /**
   * Takes a spinlock through a layer lock, and lets `sweep` free what the dead had in flight there; not for a reaper, which looks for that once, when it
   * has nothing in flight itself. False for a reaper that does not get the lock in a moment. @throws LockTimeoutError.
   */
  lock(layerLock: LayerLock, word: number, sweep: () => void): boolean {
    if (this.isReaper) {
      const isLocked = layerLock.trySpin(word)
      if (!isLocked) this.#leavesSomething = true
      return isLocked
    }
    layerLock.lock(word)
    try {
      sweep()
    } catch (error) {
      layerLock.unlock()
      throw error
    }
    return true
  }

  /** To be said before the CPU has anything in flight: only then is there something to look for after its death. */
  use(): void {
    if (this.hasUsed) return
    // atomic: as C. The incarnations before this one are over, those too that did not use the heap: however many, this one is not among them.
    const ended = previousIncarnation(incarnationOf(this.token))
    storeAtomic32(this.memory.i32, this.record + HeapCpu.words.ended, ended)
    // Mutant: alloc/use-unannounced.
    store32(this.memory.i32, this.record + HeapCpu.words.used, 1)
  }
  get hasUsed(): boolean {
    return load32(this.memory.i32, this.record + HeapCpu.words.used) === 1
  }

  /** How often something was left to be freed by whoever takes a lock next. */
  get deaths(): number {
    // B(heap.deaths) pairs with A in announceEnd: `ended` of each death that is counted is seen afterwards. Mutant:
    // alloc/deaths-first.
    return loadAtomic32(this.memory.i32, this.map.root + HeapRoot.words.deaths)
  }

  /** For the reaper, at last: what the incarnation had in flight, and could not be freed for locks of others, is theirs to free. */
  announceEnd(): void {
    const { i32 } = this.memory
    // C(heap.ended) gives up what the incarnation had in flight; pairs with D in orphanTest: its stacks and magazines hold nothing that looks in
    // flight, and its reaper frees nothing any more. Mutant: alloc/deaths-first.
    storeAtomic32(i32, this.record + HeapCpu.words.ended, incarnationOf(this.token))
    // A(heap.deaths) pairs with B in deaths: whoever counts this death finds its `ended`. Mutant: alloc/deaths-first.
    if (this.#leavesSomething) addAtomic32(i32, this.map.root + HeapRoot.words.deaths, 1)
    store32(i32, this.record + HeapCpu.words.used, 0)
  }

  /** Tells tags of what was in flight with a incarnation that has ended, for a reaper the one that it cleans up after among them. */
  orphanTest(): (tag: number) => boolean {
    const own = this.isReaper ? this.token : 0
    const ended = new Int32Array(this.map.cpus)
    for (let cpu = 0; cpu < this.map.cpus; cpu++) {
      // D(heap.ended) pairs with C in announceEnd: what those incarnations had in flight may be freed. Mutant: alloc/deaths-first.
      ended[cpu] = loadAtomic32(this.memory.i32, this.map.heapCpu(cpu) + HeapCpu.words.ended)
    }
    return (tag) =>
      isAllocated(tag) && !isPersistent(tag) && (tag === own || isEnded(tag, ended[cpuOf(tag)] ?? 0))
  }
}
