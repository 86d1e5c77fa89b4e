/**
 * Where the areas of a CPU are that watchers read. (After the kernel's paca, and the static copy of
 * it that the crash path uses.)
 *
 * The object gives the addresses as long as the incarnation lasts that it was made for. Afterwards,
 * whether the thread died, left, or is the calling one that went offline, it reads from one static
 * copy for good: the offset is poison, at which every accessor throws, and the VPA is null.
 */
import type { CpuTable } from '../cpus/cpu-table.js'
import { incarnationOf, stateOf } from '../cpus/cpu-table.js'
import { UNIT } from '../machine/limits.js'
import { VpaRegistry } from './vpa-registry.js'
import type { WatchMap } from './watch-map.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

/** What the offset of a CPU that is gone reads as: no address of any memory. */
export const POISON_OFFSET = Number(0xedeaddeadeeeeeeen)

interface Copy {
  readonly dataOffset: number
  readonly vpa: number | null
}
/** Private to this thread, so that it can be read when the shared memory can not. */
const crashCopy: Copy = Object.freeze({ dataOffset: POISON_OFFSET, vpa: null })

/** Where the areas of one CPU lie: its per-CPU memory, and what others see of it. */
export class CpuAreas {
  static {
    showAs(this, ({ cpu, incarnation, dataOffset, vpa }) => ({ cpu, incarnation, dataOffset, vpa }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly cpu: number
  readonly incarnation: number
  readonly #table: CpuTable
  readonly #map: WatchMap
  readonly #registry: VpaRegistry
  #copy: Copy | undefined

  /** @internal */
  constructor(table: CpuTable, map: WatchMap, cpu: number) {
    this.cpu = cpu
    this.incarnation = table.incarnation(cpu)
    this.#table = table
    this.#map = map
    this.#registry = new VpaRegistry(table, map)
  }

  /** Byte address of what watchers know of the CPU; poison once it is gone. */
  get dataOffset(): number {
    return this.#now().dataOffset
  }
  /** Byte address of its VPA; null once it is gone, or while none is registered. */
  get vpa(): number | null {
    return this.#now().vpa
  }

  /** @internal From now on only the static copy is read. */
  poison(): void {
    this.#copy = crashCopy
  }

  #now(): Copy {
    if (this.#copy) return this.#copy
    const word = this.#table.stateWord(this.cpu)
    const state = stateOf(word)
    if (incarnationOf(word) !== this.incarnation || state === 'offline' || state === 'dead') {
      this.poison()
      return crashCopy
    }
    const registered = this.#registry.find(this.cpu)
    const vpa = registered?.incarnation === this.incarnation ? registered.vpa : null
    return { dataOffset: Math.floor((this.#map.record(this.cpu) * 4) / UNIT) * UNIT, vpa }
  }
}
