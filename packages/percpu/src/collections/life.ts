/** How a handle hears that its collection was removed. */
import type { I32View, Memory } from '#mem'
import { Deadline, type WaitOptions } from '../machine/wait-options.js'
import type { RemovedError } from './errors.js'

/** Throws if the views were taken away: the collection was removed, or the CPU is offline. */
export function assertOpen({ i32 }: Memory): I32View {
  return i32
}

export class Life {
  #removed: RemovedError | undefined
  readonly #listeners = new Set<(error: RemovedError) => void>()
  /** Sections of this thread that are under way. */
  #holds = 0
  /** Set by who has opened it: lets go what the handle used, once this handle uses it no more. */
  letGo: () => void = () => undefined

  /** The collection was removed: the views of the handle throw from now on. */
  get isRemoved(): boolean {
    return this.#removed !== undefined
  }

  /** @throws RemovedError. */
  throwIfEnded(): void {
    if (this.#removed !== undefined) throw this.#removed
  }

  /**
   * In a quiescent state, before the views are taken away. Whoever listens writes nothing more to
   * the memory of the collection.
   */
  end(error: RemovedError): void {
    this.#removed = error
    for (const listener of [...this.#listeners]) listener(error)
    this.#leave()
  }

  /** A `hold` begins. */
  hold(): void {
    this.#holds++
  }
  /** It has ended. */
  endHold(): void {
    this.#holds--
    this.#leave()
  }
  #leave(): void {
    // Mutant: collections/domain-let-go-early.
    if (this.isRemoved && this.#holds === 0) this.letGo()
  }

  /** Returns what ends it. */
  onEnd(listener: (error: RemovedError) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** Of a wait that also ends with the collection, by a RemovedError. */
  deadline(options: WaitOptions = {}): Deadline {
    return new LifeDeadline(this, options)
  }
}

class LifeDeadline extends Deadline {
  readonly #life: Life

  constructor(life: Life, options: WaitOptions) {
    super(options)
    this.#life = life
  }

  /** Also once it is removed: a wait that is begun then writes nothing to its memory. */
  override throwIfAborted(): void {
    this.#life.throwIfEnded()
    super.throwIfAborted()
  }
  override watch(late: () => void, aborted: (reason: Error) => void): () => void {
    const stop = super.watch(late, aborted)
    const ignore = this.#life.onEnd(aborted)
    return () => {
      stop()
      ignore()
    }
  }
}
