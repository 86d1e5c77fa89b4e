/**
 * What the verifier found: faults, and what is allocated. A fault is a text that begins with the
 * equation that does not hold (layouts.ts), such as 'Z2: zone 0 counts 5 free pages, and has 6'.
 */
import { loadAtomic32, load32 } from '#mem'
import { cpuOf, incarnationOf } from '../machine/token.js'
import { HeapCpu } from './layouts.js'
import type { Owner } from './owner.js'
import { isEnded, isInFlight } from './tag.js'
import { visible } from '../shown.js'

/** An allocated block of pages, slabs and the blocks of caches included. */
export interface Block {
  readonly order: number
  readonly tag: number
  readonly kind: number
}
export interface ObjectInfo {
  readonly tag: number
  readonly cache: string
}

/**
 * What was found. Unless all CPUs were quiet, what is in the stacks and magazines of others is
 * missing.
 */
export class Findings {
  readonly faults: string[] = []
  /** By the first page. */
  readonly blocks = new Map<number, Block>()
  /** First pages of the blocks of caches. */
  readonly cacheBlocks = new Set<number>()
  /** Allocated objects, by address. */
  readonly objects = new Map<number, ObjectInfo>()
  /** Pages of all zones, and those of them that are free: in lists, in stacks, or untouched. */
  pages = 0
  freePages = 0
  readonly #owner: Owner
  readonly #isQuiet: boolean

  constructor(owner: Owner, isQuiet: boolean) {
    this.#owner = owner
    this.#isQuiet = isQuiet
  }

  get isQuiet(): boolean {
    return this.#isQuiet
  }

  fault(text: string): void {
    this.faults.push(visible(text))
  }

  /** Whether a CPU writes nothing meanwhile. */
  isStill(cpu: number): boolean {
    return this.#isQuiet || cpu === this.#owner.cpu
  }
  /** The CPUs that write nothing meanwhile. */
  still(): number[] {
    return Array.from({ length: this.#owner.map.cpus }, (_, cpu) => cpu).filter((cpu) => this.isStill(cpu))
  }

  /** D3. `what`: text for the one that has the tag. */
  checkTag(what: string, tag: number): void {
    const { table, map, memory } = this.#owner
    const cpu = cpuOf(tag)
    if (!isInFlight(tag) || (cpu < map.cpus && !this.isStill(cpu))) return
    const incarnation = incarnationOf(tag)
    // A CPU that is stopping still uses the heap.
    const isOnline =
      cpu < map.cpus &&
      ['online', 'stopping'].includes(table.state(cpu)) &&
      table.incarnation(cpu) === incarnation
    const whose = `in flight with incarnation ${incarnation} of CPU ${cpu}`
    if (!isOnline) {
      this.fault(`D3: ${what} is ${whose}, which is not online`)
      return
    }
    const record = map.heapCpu(cpu)
    // atomic: nothing is freed by it here.
    const ended = loadAtomic32(memory.i32, record + HeapCpu.words.ended)
    if (load32(memory.i32, record + HeapCpu.words.used) !== 1)
      this.fault(`D3: ${what} is ${whose}, which has not announced that it uses the heap`)
    if (isEnded(tag, ended)) this.fault(`D3: ${what} is ${whose}, which is said to have ended`)
  }
}
