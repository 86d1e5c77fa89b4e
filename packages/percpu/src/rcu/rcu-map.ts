/** Where the words of the layer lie: the named object 'percpu.rcu'. */
import { loadU32, type Memory } from '#mem'
import { hashNumbers } from '../arithmetic.js'
import type { Directory } from '../bootmem/directory.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { initialiseList } from './callback-list.js'
import { CallbackList, RcuCpu, RcuRoot } from './layouts.js'
import type { Marks } from './pressure.js'

const NAME = 'percpu.rcu'
const type = RcuRoot.name
const hash = hashNumbers([RcuRoot, RcuCpu, CallbackList].map((layout) => layout.hash))

export class RcuMap {
  readonly cpus: number
  /** Word index of `leftOver`. */
  readonly leftOver: number
  /** Word index of the list of each CPU. */
  readonly lists: readonly number[]
  readonly #address: number

  private constructor(address: number, cpus: number) {
    this.cpus = cpus
    this.#address = address
    this.leftOver = address / 4 + RcuRoot.words.leftOver
    const first = this.#cpuAt(cpus)
    this.lists = Array.from({ length: cpus }, (_, cpu) => (first + cpu * CallbackList.stride) / 4)
  }

  /** At boot. */
  static create(memory: Memory, objects: Directory, cpus: number, { high, full }: Marks): void {
    const size = RcuRoot.stride + cpus * (RcuCpu.stride + CallbackList.stride)
    const init = (address: number): void => {
      const map = new RcuMap(address, cpus)
      for (const list of map.lists) initialiseList(memory, list)
      const root = RcuRoot.at(memory, address)
      root.highCallbacks = high.callbacks
      root.highUnits = high.bytes / 8
      root.fullCallbacks = full.callbacks
      root.fullUnits = full.bytes / 8
    }
    objects.create(NAME, { type, layout: { name: RcuRoot.name, size, align: RcuRoot.align, hash }, init })
  }

  static open(objects: Directory, cpus: number): RcuMap {
    const layout = { name: RcuRoot.name, size: RcuRoot.size, align: RcuRoot.align, hash }
    return new RcuMap(objects.open(NAME, { type, layout }), cpus)
  }

  /** Word index of what a CPU tells its reaper. */
  used(cpu: number): number {
    return this.#cpuAt(cpu) / 4 + RcuCpu.words.used
  }

  /** How much a CPU may have pending. */
  marks({ u32 }: Memory): Marks {
    const word = (name: keyof typeof RcuRoot.words): number =>
      loadU32(u32, this.#address / 4 + RcuRoot.words[name])
    return {
      high: { callbacks: word('highCallbacks'), bytes: word('highUnits') * 8 },
      full: { callbacks: word('fullCallbacks'), bytes: word('fullUnits') * 8 },
    }
  }

  structs(): PlacedStruct[] {
    const placed: PlacedStruct[] = [{ name: 'rcu', address: this.#address, struct: RcuRoot }]
    for (const [cpu, list] of this.lists.entries()) {
      placed.push({ name: `cpu[${cpu}].rcu`, address: this.#cpuAt(cpu), struct: RcuCpu })
      placed.push({ name: `cpu[${cpu}].callbacks`, address: list * 4, struct: CallbackList })
    }
    return placed
  }

  #cpuAt(cpu: number): number {
    return this.#address + RcuRoot.stride + cpu * RcuCpu.stride
  }
}
