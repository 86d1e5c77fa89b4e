/**
 * Home nodes: a supervisor tells a CPU that its memory is nearer to another node now. (After PAPR's
 * VPHN.)
 *
 *     watch.home              changes × 256 + node: decides
 *     vpa.vphn_assoc_counts   eight plain counters of one byte; the first one follows the changes
 *
 * The CPU compares the counters with its copy, which costs a plain load. Only when one differs does
 * it ask for the node. A counter that lags is set right when the CPU answers its doorbell.
 */
import { compareExchangeAtomic32, loadAtomic32, loadU8, storeU8 } from '#mem'
import type { CpuTable } from '../cpus/cpu-table.js'
import { CpuWatch, Vpa } from './vpa-layout.js'
import type { WatchMap } from './watch-map.js'

const { words } = CpuWatch

/** The first counter; the others are for finer domains, which this machine does not have. */
const counter = Vpa.offsets.vphn_assoc_counts

/** By a supervisor: the CPU's home is `node` from now on. Returns whether that is a change. */
export function setHomeNode(
  table: CpuTable,
  map: WatchMap,
  cpu: number,
  vpa: number | undefined,
  node: number,
): boolean {
  const word = map.record(cpu) + words.home
  for (;;) {
    // atomic: checked by the exchange below.
    const found = loadAtomic32(table.memory.i32, word)
    if ((found & 0xff) === node) return false
    const next = (((found >> 8) + 1) << 8) | node
    // atomic: one word; of two supervisors the later one counts.
    if (compareExchangeAtomic32(table.memory.i32, word, found, next) !== found) continue
    if (vpa !== undefined) storeU8(table.memory.bytes, vpa + counter, (next >> 8) & 0xff)
    return true
  }
}

/** The node, as supervisors last said. */
export function homeNodeOf(table: CpuTable, map: WatchMap, cpu: number): number {
  // atomic: a snapshot.
  return loadAtomic32(table.memory.i32, map.record(cpu) + words.home) & 0xff
}

/** The CPU's own end. */
export class HomeNode {
  readonly #table: CpuTable
  /** Word index of the CPU's CpuWatch. */
  readonly #watch: number
  readonly #vpa: number
  #seen = -1
  #node = 0

  constructor(table: CpuTable, watch: number, vpa: number) {
    this.#table = table
    this.#watch = watch
    this.#vpa = vpa
  }

  get node(): number {
    if (loadU8(this.#table.memory.bytes, this.#vpa + counter) !== this.#seen) this.refresh()
    return this.#node
  }

  /** Asks for the node, and sets the counter to what it should be. */
  refresh(): void {
    // atomic: node and number of changes in one word.
    const home = loadAtomic32(this.#table.memory.i32, this.#watch + words.home)
    this.#node = home & 0xff
    this.#seen = (home >> 8) & 0xff
    storeU8(this.#table.memory.bytes, this.#vpa + counter, this.#seen)
  }
}
