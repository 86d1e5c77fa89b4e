/**
 * Where the copies of one allocation are, for one per-CPU object of one thread. What is found once
 * holds as long as the allocation lives (mapping.ts).
 */
import type { Memory } from '#mem'
import { NamedMemoryError, PointerError } from './errors.js'
import type { CpuState } from './cpu-state.js'

export class Place {
  readonly pointer: number
  readonly bytes: number
  readonly memory: Memory
  readonly cpus: number
  readonly cpu: number
  readonly #attached: CpuState
  readonly #name: string | undefined
  #isFreed = false

  /** `name`: by which threads find it; such memory stays. */
  constructor(attached: CpuState, pointer: number, bytes: number, name?: string) {
    const { state, context } = attached
    this.#attached = attached
    this.#name = name
    this.pointer = pointer
    this.bytes = bytes
    this.memory = state.memory
    this.cpus = state.geometry.cpus
    this.cpu = context.own.cpu
  }

  /** Byte address of a CPU's copy. @throws ArgumentError; PointerError once it is freed. */
  address(cpu: number): number {
    const checked = this.#attached.context.own.checkCpu(cpu)
    return this.#at(checked)
  }
  /** Byte address of this CPU's copy. */
  local(): number {
    return this.#at(this.cpu)
  }

  #at(cpu: number): number {
    if (this.#isFreed) throw this.gone()
    return this.#attached.allocator.translate(this.pointer, cpu)
  }

  /**
   * Frees all copies. The memory of a name stays, as the next thread to ask for the name would find
   * it freed.
   *
   * @throws PointerError the second time; NamedMemoryError; LockTimeoutError.
   */
  free(): void {
    if (this.#isFreed) throw this.gone()
    if (this.#name !== undefined)
      throw new NamedMemoryError(`'${this.#name}' is a name of this memory for good: it cannot be freed`, {
        name: this.#name,
      })
    this.#attached.allocator.free(this.pointer)
    this.#isFreed = true
  }
  /** What every use throws after the memory was freed. */
  gone(): PointerError {
    return new PointerError(`the per-CPU memory at ${this.pointer} was freed`, { pointer: this.pointer })
  }
}
