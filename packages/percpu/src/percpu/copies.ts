/**
 * The copies of one allocation, for one per-CPU object of one thread. Where a copy lies is true as
 * long as the allocation lives (mapping.ts), so objects keep what they found once.
 */
import type { Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../shown.js'
import type { CpuState } from './cpu-state.js'
import { NamedMemoryError, PointerError } from './errors.js'

export class Copies {
  readonly pointer: number
  readonly memory: Memory
  /** Possible CPUs: 0 to `cpus - 1` have a copy each. */
  readonly cpus: number
  readonly #cpuState: CpuState
  readonly #name: string | undefined
  /** Byte addresses of the CPUs' copies, as far as they were looked up. */
  readonly #addresses: number[] = []
  #isFreed = false

  /** `name`: the one by which threads find the allocation. It is freed by its name only. */
  constructor(cpuState: CpuState, pointer: number, name?: string) {
    this.#cpuState = cpuState
    this.#name = name
    this.pointer = pointer
    this.memory = cpuState.state.memory
    this.cpus = cpuState.state.geometry.cpus
  }

  /** Byte address of a CPU's copy. @throws ArgumentError; PointerError once they are freed. */
  address(cpu: number): number {
    return this.#at(this.#cpuState.context.own.checkCpu(cpu))
  }
  /** Byte address of this CPU's copy. @throws PointerError once they are freed. */
  local(): number {
    return this.#at(this.#cpuState.context.own.cpu)
  }

  #at(cpu: number): number {
    if (this.#isFreed) throw this.gone()
    return (this.#addresses[cpu] ??= this.#cpuState.allocator.translate(this.pointer, cpu))
  }

  /**
   * Frees all copies.
   *
   * @throws PointerError the second time; LockTimeoutError; NamedMemoryError if they have a name:
   *   the next thread to ask for it would find them freed.
   */
  free(): void {
    this.#checkFree()
    this.#cpuState.allocator.free(this.pointer)
    this.#isFreed = true
  }
  /**
   * As {@link free}, and somebody else does free them, later, in the machine with this number.
   *
   * @throws as {@link free}; ArgumentError if they lie in another machine's.
   */
  giveUp(machine: number): void {
    this.#checkFree()
    if (this.#cpuState.context.own.map.id !== machine)
      throw new ArgumentError(`the per-CPU memory at pointer ${this.pointer} is another machine's`, {
        pointer: this.pointer,
      })
    this.#isFreed = true
  }

  #checkFree(): void {
    if (this.#isFreed) throw this.gone()
    if (this.#name !== undefined)
      throw new NamedMemoryError(
        `this memory has the name ${shown(this.#name)}: free it by percpu.remove('object', name)`,
        {
          name: this.#name,
        },
      )
  }

  /** The error of every use after they were freed. */
  gone(): PointerError {
    return new PointerError(`the per-CPU memory at pointer ${this.pointer} was freed`, {
      pointer: this.pointer,
    })
  }
}
