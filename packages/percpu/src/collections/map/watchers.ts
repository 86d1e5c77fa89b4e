/**
 * Those of this thread who want to hear of changes of a map. Writers count their changes, each CPU
 * for itself, and ring whoever is in the map's mask (cpus/ringer.ts). Several changes in a row are
 * told as one. A change of a killed thread is counted by its reaper, which rings everybody.
 *
 * Cost: a writer looks at the mask. A watcher sums the counts whenever its thread is rung; if they
 * have changed, each watched key is looked up.
 */
import { loadAtomic32 } from '#mem'
import type { OwnCpu } from '../../cpus/own-cpu.js'
import { reportError } from '../../machine/platform.js'
import type { ListenOptions } from '../../machine/events.js'
import type { Life } from '../life.js'
import { MapCpu } from './map-layout.js'
import type { MapTable } from './table.js'

const changesWord = MapCpu.words.changes
const stride = MapCpu.stride / 4

/** Looks whether what it is about has changed, and tells its listener. */
export type Look = () => void
interface Watcher {
  look: Look
  /** The sum of the counts when it has looked last. */
  seen: number
}

export class MapWatchers {
  readonly #table: MapTable
  readonly #own: OwnCpu
  readonly #watchers = new Set<Watcher>()
  readonly #life: Life
  /** Ends the wait that is under way; undefined if there is none. */
  #stop: (() => void) | undefined

  constructor(table: MapTable, own: OwnCpu, life: Life) {
    this.#table = table
    this.#own = own
    this.#life = life
  }

  /**
   * From now on, until what is returned is called, or the signal aborts. `begin`: looks for the
   * first time, when changes are counted already.
   */
  add(begin: () => Look, { signal }: ListenOptions): () => void {
    const watcher: Watcher = { look: () => undefined, seen: this.#count() }
    const off = (): void => {
      signal?.removeEventListener('abort', off)
      if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#stop?.()
    }
    if (signal?.aborted) return off
    watcher.look = begin()
    signal?.addEventListener('abort', off, { once: true })
    this.#watchers.add(watcher)
    if (this.#stop !== undefined) return off
    this.#run().catch((error: unknown) => {
      // Nobody is told any more.
      if (!this.#life.isRemoved) reportError(error)
    })
    return off
  }

  /** Until nobody listens any more, the map is removed, or the CPU goes offline. */
  async #run(): Promise<void> {
    const { doorbell } = this.#own
    while (this.#watchers.size > 0) {
      let isStopped = false
      this.#stop = () => {
        isStopped = true
        doorbell.recheck()
      }
      const done = (): boolean => {
        const count = this.#count()
        return isStopped || [...this.#watchers].some(({ seen }) => seen !== count)
      }
      const { watchers } = this.#table
      if (!(await doorbell.sleepUntil([watchers], done, this.#life.deadline()))) break
      this.#tell()
    }
    this.#stop = undefined
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) {
      // First: a change that comes while it is told is told again.
      const count = this.#count()
      if (watcher.seen === count || !this.#watchers.has(watcher)) continue
      watcher.seen = count
      try {
        watcher.look()
      } catch (error) {
        reportError(error)
      }
    }
  }

  /** How many changes there were, modulo 2^32. */
  #count(): number {
    const { memory, counts, cpus } = this.#table
    let sum = 0
    for (let cpu = 0; cpu < cpus; cpu++) {
      // atomic: as the progress that M(cpu.waiters) is about. Mutant: collections/change-uncounted.
      sum = (sum + loadAtomic32(memory.i32, counts + cpu * stride + changesWord)) | 0
    }
    return sum
  }
}
