/**
 * Waiting for all callbacks that were queued before, by all CPUs. It notes how far the tail of each
 * list is, and waits until the head has come there. It queues nothing, and begins no grace period.
 */
import { loadAtomic32, type Memory } from '#mem'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { Doorbell } from '../cpus/doorbell.js'
import { UnansweredError } from '../machine/errors.js'
import type { Deadline } from '../machine/wait-options.js'
import { passedOf, tailOf } from './callback-list.js'
import { CallbackList } from './layouts.js'
import { visible } from '../shown.js'

const { words } = CallbackList

export interface BarrierParts {
  readonly memory: Memory
  readonly table: CpuTable
  readonly doorbell: Doorbell
  readonly cpu: number
}

interface Target {
  readonly cpu: number
  readonly list: number
  readonly tail: number
  readonly functions: number
}

export class Barrier {
  readonly #parts: BarrierParts
  readonly #lists: readonly number[]
  readonly #kick: () => void
  readonly #domain: string | undefined
  readonly #lost: (functions: number) => Error | undefined

  /**
   * `kick`: sees to it that lists of CPUs which are away are looked at. `lost`: what to throw if
   * functions of this thread, up to the count, end with its stay. `domain`: for errors.
   */
  constructor(
    parts: BarrierParts,
    lists: readonly number[],
    kick: () => void,
    lost: (functions: number) => Error | undefined,
    domain?: string,
  ) {
    this.#parts = parts
    this.#lists = lists
    this.#kick = kick
    this.#lost = lost
    this.#domain = domain
  }

  /**
   * `onlyOwn`: waits for those of this CPU.
   *
   * @throws UnansweredError at the deadline; the reason of its signal; OfflineError if functions of
   *   this thread are lost, as its CPU goes offline.
   */
  async wait(deadline: Deadline, onlyOwn = false): Promise<void> {
    const targets = this.#lists.map((list, cpu) => this.#target(cpu, list))
    const wanted = targets.filter(({ cpu }) => !onlyOwn || cpu === this.#parts.cpu)
    const open = wanted.filter((target) => !this.#isOver(target)).map(({ cpu }) => cpu)
    await this.#until(open, (cpu) => this.#isOver(targets[cpu]), deadline)
    const own = targets[this.#parts.cpu]
    // Mutant: rcu/own-functions-lost.
    const lost = own && this.#lost(own.functions)
    if (lost) throw lost
  }

  async #until(cpus: readonly number[], isOver: (cpu: number) => boolean, deadline: Deadline): Promise<void> {
    if (cpus.length === 0) return
    this.#kick()
    const { doorbell, table } = this.#parts
    const masks = cpus.map((cpu) => table.waiters(cpu))
    if (await doorbell.until(masks, () => cpus.every(isOver), deadline)) return
    const late = cpus.filter((cpu) => !isOver(cpu))
    if (late.length === 0) return
    const whose = this.#domain === undefined ? '' : `${visible(this.#domain)}: `
    throw new UnansweredError(
      `${whose}callbacks of CPU ${late.join(', ')} have not run: they wait for a grace period, or their thread does not return to its ` +
        `event loop`,
      { cpus: late, timeout: deadline.timeout },
    )
  }

  #target(cpu: number, list: number): Target {
    // CJ(list.functionsTail) pairs with CI in FunctionQueue: what was queued before is counted.
    // Mutant: rcu/functions-uncounted.
    const functions = loadAtomic32(this.#parts.memory.i32, list + words.functionsTail)
    return { cpu, list, tail: tailOf(this.#parts.memory.i32, list), functions }
  }

  #isOver(target: Target | undefined): boolean {
    if (!target) return true
    const { list, tail, functions } = target
    const { i32 } = this.#parts.memory
    // CL(list.functionsHead) pairs with CK in FunctionQueue: they have returned, or are lost, as
    // their CPU's reaper says. Mutant: rcu/functions-not-awaited.
    const head = loadAtomic32(i32, list + words.functionsHead)
    return ((head - functions) | 0) >= 0 && ((passedOf(i32, list) - tail) | 0) >= 0
  }
}
