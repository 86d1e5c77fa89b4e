/**
 * An owner: one incarnation of a CPU, whose token the tags of what it has in flight carry. The
 * allocators act for an owner, on its own thread or, after its death, on its reaper's.
 *
 * What an owner leaves in flight is an orphan. The reaper frees orphans where it gets the lock. It
 * does not wait for locks: their owners may be dead, too, and wait for the same reaper. Where it
 * does not get one, it counts the end in `HeapRoot.deaths`, and whoever takes that lock next frees
 * the orphans there.
 *
 *     reaper              frees orphans ──▶ C: ended = incarnation ──▶ A: deaths + 1
 *     the next locker     B: deaths ≠ swept? ──▶ D: ended of each CPU ──▶ frees orphans
 *                           ──▶ swept = deaths
 *
 * Why `deaths` may wrap around. It is compared with `swept` for equality only, and each lock has a
 * `swept` of its own. A lock that is not taken while exactly 2^32 ends leave something would not be
 * swept for them. Each such end takes a thread that was started, died, and was reaped while
 * somebody held a lock. With `ended`, only its distance to a tag counts: machine/token.ts.
 */
import { addAtomic32, load32, loadAtomic32, storeAtomic32, store32, type Memory } from '#mem'
import type { Memblock } from '../bootmem/memblock.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { cpuOf, incarnationOf, previousIncarnation } from '../machine/token.js'
import type { LayerLock } from '../sync/layer-lock.js'
import type { HeapMap } from './heap-map.js'
import { HeapCpu, HeapRoot } from './layouts.js'
import { PageMap } from './page-map.js'
import { isEnded, isInFlight } from './tag.js'

export interface OwnerParts {
  readonly table: CpuTable
  readonly map: HeapMap
  readonly memblock: Memblock
  readonly cpu: number
  /** The CPU and its incarnation: machine/token.ts. */
  readonly token: number
  /** Locks zones. */
  readonly pageLock: LayerLock
  /** Locks caches, and the list of them; the lock of a zone may be taken while one is held. */
  readonly objectLock: LayerLock
  readonly isReaper: boolean
  /** Frees what is due after grace periods. Called without a lock. False if nothing was. */
  readonly relieve?: () => boolean
}

export class Owner {
  readonly table: CpuTable
  readonly memory: Memory
  readonly map: HeapMap
  readonly pageMap: PageMap
  readonly memblock: Memblock
  readonly cpu: number
  readonly node: number
  readonly token: number
  readonly pageLock: LayerLock
  readonly objectLock: LayerLock
  readonly isReaper: boolean
  readonly relieve: () => boolean
  /** Word index of the CPU's HeapCpu. */
  readonly record: number
  /** Whether this object has seen to it; plain, for hot paths. */
  isAnnounced = false
  #leavesOrphans = false

  constructor(parts: OwnerParts) {
    this.table = parts.table
    this.memory = parts.table.memory
    this.map = parts.map
    this.pageMap = new PageMap(this.memory, parts.map)
    this.memblock = parts.memblock
    this.cpu = parts.cpu
    this.node = parts.table.node(parts.cpu)
    this.token = parts.token
    this.pageLock = parts.pageLock
    this.objectLock = parts.objectLock
    this.isReaper = parts.isReaper
    this.relieve = parts.relieve ?? (() => false)
    this.record = parts.map.heapCpu(parts.cpu)
  }

  /**
   * Takes a lock, and lets `sweep` free the orphans there. A reaper does not sweep here: it does so
   * once, when it has nothing in flight itself. Returns whether it got the lock; only a reaper may
   * get false, when the lock does not become free in a moment.
   *
   * @throws LockTimeoutError, unless it is a reaper.
   */
  lock(lock: LayerLock, word: number, sweep: () => void): boolean {
    if (this.isReaper) {
      const isLocked = lock.trySpin(word)
      if (!isLocked) this.#leavesOrphans = true
      return isLocked
    }
    lock.lock(word)
    try {
      sweep()
    } catch (error) {
      lock.unlock()
      throw error
    }
    return true
  }

  /** To be called before the CPU has anything in flight: its reaper looks for that only then. */
  use(): void {
    if (!this.isAnnounced) this.#announceUse()
  }
  /** Whether the incarnation has announced so. */
  get hasUsed(): boolean {
    return load32(this.memory.i32, this.record + HeapCpu.words.used) === 1
  }

  #announceUse(): void {
    this.isAnnounced = true
    if (this.hasUsed) return
    // atomic: as C. All incarnations before this one are over, also those that did not use the
    // heap. Said anew each time, it is never half a round of incarnations old.
    const ended = previousIncarnation(incarnationOf(this.token))
    storeAtomic32(this.memory.i32, this.record + HeapCpu.words.ended, ended)
    // Mutant: alloc/use-unannounced.
    store32(this.memory.i32, this.record + HeapCpu.words.used, 1)
  }

  /** How many ends have left orphans, modulo 2^32. */
  get deaths(): number {
    // B(heap.deaths) pairs with A in announceEnd: the `ended` of each end that is counted is seen
    // afterwards. Mutant: alloc/deaths-first.
    return loadAtomic32(this.memory.i32, this.map.root + HeapRoot.words.deaths)
  }

  /** For the reaper, at last: the orphans that it could not free are for others to free. */
  announceEnd(): void {
    const { i32 } = this.memory
    // C(heap.ended) gives the orphans up; pairs with D in orphanTest: nothing in the stack or the
    // magazines of the incarnation looks in flight any more, and its reaper frees nothing any more.
    // Mutant: alloc/deaths-first.
    storeAtomic32(i32, this.record + HeapCpu.words.ended, incarnationOf(this.token))
    // A(heap.deaths) pairs with B in deaths: whoever counts this end finds its `ended`. Mutant:
    // alloc/deaths-first.
    if (this.#leavesOrphans) addAtomic32(i32, this.map.root + HeapRoot.words.deaths, 1)
    store32(i32, this.record + HeapCpu.words.used, 0)
  }

  /** Makes a test for the tags of orphans. A reaper's also passes those of its own owner. */
  orphanTest(): (tag: number) => boolean {
    const own = this.isReaper ? this.token : 0
    const ended = new Int32Array(this.map.cpus)
    for (let cpu = 0; cpu < this.map.cpus; cpu++) {
      // D(heap.ended) pairs with C in announceEnd: what those incarnations had in flight may be
      // freed. Mutant: alloc/deaths-first.
      ended[cpu] = loadAtomic32(this.memory.i32, this.map.heapCpu(cpu) + HeapCpu.words.ended)
    }
    return (tag) => isInFlight(tag) && (tag === own || isEnded(tag, ended[cpuOf(tag)] ?? 0))
  }
}
