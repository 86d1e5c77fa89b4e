import { endUnlessOffline } from '../machine/ending.js'
import { NotOwnerError } from './errors.js'
import type { Section } from './section.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

/** The side of a mutex that its guards use. */
export interface Guarded {
  readonly address: number
  readonly name: string
  /** Whether the turn with this number lasts. */
  isTurn(turn: number): boolean
  unlock(): void
  beginSection(): Section
  runHeld<Result>(change: (section: Section) => Result): Result
  /** Unlocks it for a while. What locking it again takes is kept until {@link endSuspension}. */
  suspendTurn(): void
  /**
   * Makes the present turn the one with this number again. Returns whether the previous owner died.
   */
  resumeTurn(turn: number): boolean
  endSuspension(): void
}

/** The right to what a mutex protects, until {@link unlock} or the end of its `using` block. */
export class MutexGuard {
  static {
    showAs(this, (guard) => ({ mutex: guard.#mutex.name, isHeld: guard.isHeld }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  #predecessorDied: boolean
  readonly #mutex: Guarded
  readonly #turn: number

  /** @internal */
  constructor(mutex: Guarded, turn: number, predecessorDied: boolean) {
    this.#mutex = mutex
    this.#turn = turn
    this.#predecessorDied = predecessorDied
  }

  /**
   * Whether the previous owner died. Its changes through a section were taken back, its other
   * changes were not.
   */
  get predecessorDied(): boolean {
    return this.#predecessorDied
  }

  /** Whether it still holds the mutex. */
  get isHeld(): boolean {
    return this.#mutex.isTurn(this.#turn)
  }

  /**
   * Releases the mutex: at once, or, inside a section, when the outermost one has ended.
   *
   * @throws NotOwnerError if this guard has released it before; OfflineError.
   */
  unlock(): void {
    this.#assertHeld()
    this.#mutex.unlock()
  }

  /**
   * Begins a section, as {@link run} does; `commit` ends it. Leaving its `using` block without
   * takes it back. So does the end of the synchronous stretch, with an uncaught SectionError.
   *
   * @throws NotOwnerError if this guard has released the mutex; OfflineError.
   */
  begin(): Section {
    this.#assertHeld()
    return this.#mutex.beginSection()
  }

  /**
   * Runs `change` in a section and returns its result. The mutex stays locked. The changes made
   * through the section happen as a whole when `change` returns, or not at all when it throws or
   * its thread is killed.
   *
   * @throws what `change` throws; SectionError if `change` returns a promise; NotOwnerError if this
   *   guard has released the mutex; OfflineError.
   */
  run<Result>(change: (section: Section) => Result): Result {
    this.#assertHeld()
    return this.#mutex.runHeld(change)
  }

  /** Releases the mutex unless {@link unlock} has. Nothing once this CPU is offline. */
  [Symbol.dispose](): void {
    if (this.isHeld) endUnlessOffline(() => this.#mutex.unlock())
  }

  /**
   * @internal For conditions: lets the mutex go for a while. Returns a function for when this CPU
   *   has it again.
   */
  suspend(mutex: Guarded): () => void {
    if (mutex !== this.#mutex) {
      throw new NotOwnerError(`this guard is of ${this.#mutex.name}, not of ${mutex.name}`, {
        address: this.#mutex.address,
        mutex: mutex.address,
      })
    }
    this.#assertHeld()
    mutex.suspendTurn()
    return () => {
      this.#predecessorDied = mutex.resumeTurn(this.#turn)
    }
  }

  #assertHeld(): void {
    if (this.isHeld) return
    throw new NotOwnerError(`this guard has released ${this.#mutex.name} before`, {
      address: this.#mutex.address,
    })
  }
}
