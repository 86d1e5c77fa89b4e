/**
 * Where the copies of one allocation are, for the handles of one thread. What is found once holds as long as the allocation lives
 * (mapping.ts).
 */
import type { Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { PercpuUseError, PointerError } from './errors.js'
import { BLOCK, GRANULE } from './geometry.js'
import type { Attached } from './layer.js'

export class Place {
  readonly pointer: number
  readonly bytes: number
  readonly memory: Memory
  readonly cpus: number
  readonly cpu: number
  readonly #attached: Attached
  readonly #name: string | undefined
  #isFreed = false

  /** `name`: by which threads find it; such memory stays. */
  constructor(attached: Attached, pointer: number, bytes: number, name?: string) {
    const { core, context } = attached
    this.#attached = attached
    this.#name = name
    this.pointer = pointer
    this.bytes = bytes
    this.memory = core.memory
    this.cpus = core.geometry.cpus
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
    if (this.#isFreed) throw this.#gone()
    return this.#attached.allocator.translate(this.pointer, cpu)
  }

  /** @throws PointerError the second time; PercpuUseError for the memory of a name, where the next one to ask would find it freed. */
  free(): void {
    if (this.#isFreed) throw this.#gone()
    if (this.#name !== undefined)
      throw new PercpuUseError(`'${this.#name}' is a name of this memory for good: it cannot be freed`, {
        name: this.#name,
      })
    this.#attached.allocator.free(this.pointer)
    this.#isFreed = true
  }
  /** In place of an accessor: every use throws. */
  poison(): object {
    const refuse = (): never => {
      throw this.#gone()
    }
    return new Proxy({}, { get: refuse, set: refuse })
  }
  #gone(): PointerError {
    return new PointerError(`the per-CPU memory at ${this.pointer} was freed`, { pointer: this.pointer })
  }
}

/** An object that views shall reach is one piece of memory. @throws ArgumentError if its pages would be anywhere. */
export function checkOnePiece({ core }: Attached, bytes: number, what: string): void {
  const largest = core.geometry.isMapped ? BLOCK * GRANULE : core.geometry.unitBytes
  if (bytes <= largest) return
  throw new ArgumentError(
    `${what} of ${bytes} bytes does not fit in ${largest} bytes: larger per-CPU memory ` +
      (core.geometry.isMapped
        ? 'lies in several pages; take it with percpu.alloc'
        : 'than a unit does not exist'),
    { bytes, largest },
  )
}
