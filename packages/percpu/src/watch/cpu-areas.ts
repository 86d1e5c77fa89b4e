/**
 * Handles of CPUs: where a CPU's own data is. (After the kernel's paca, and the static copy of it that the crash path uses.)
 *
 * As long as the stay that the handle was taken for lasts, it gives the addresses in shared memory. Once that stay is over, whether
 * the thread died, left, or is the calling one that went offline, the handle reads from one static copy for good: the
 * offset is poison, an address at which every accessor throws, and the VPA is null.
 */
import type { CpuTable } from '../cpus/cpu-table.js'
import { incarnationOf, stateOf } from '../cpus/cpu-table.js'
import { UNIT } from '../machine/limits.js'
import { VpaRegistry } from './vpa-registry.js'

/** What the offset of a CPU that is gone reads as: no address of any memory. */
export const POISON_OFFSET = Number(0xedeaddeadeeeeeeen)

interface Copy {
  readonly dataOffset: number
  readonly vpa: number | null
}
/** Private to this thread, so that it can be read when the shared memory can not. */
const crashCopy: Copy = Object.freeze({ dataOffset: POISON_OFFSET, vpa: null })

export class CpuHandle {
  readonly cpu: number
  readonly incarnation: number
  readonly #table: CpuTable
  readonly #registry: VpaRegistry
  #copy: Copy | undefined

  /** @internal */
  constructor(table: CpuTable, cpu: number) {
    this.cpu = cpu
    this.incarnation = table.incarnation(cpu)
    this.#table = table
    this.#registry = new VpaRegistry(table)
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
    return { dataOffset: Math.floor((this.#table.watch(this.cpu) * 4) / UNIT) * UNIT, vpa }
  }
}
