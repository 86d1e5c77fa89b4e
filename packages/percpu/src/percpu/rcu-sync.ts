/**
 * The mode of an object with many users: fast, in which each CPU writes plain words of its own, or
 * slow, in which all share atomic ones. (After the kernel's rcu_sync.)
 *
 *     state   flags of the object │ passed │ entered     changed under the object's mutex
 *     mode    a plain copy of `entered`, which users look at
 *
 *     fast       neither flag    users find the fast mode, or still the slow one
 *     entering   entered         users find either mode: a grace period is under way
 *     slow       both flags      all users find the slow mode
 *
 * A user looks at the mode in the synchronous stretch in which it goes by it. So after the grace
 * period of {@link RcuSync.enter} every user finds the slow mode, and all steps in the fast mode
 * happen before. Only then does the object set `passed`, and rely on it.
 *
 * The way back from slow takes a grace period too, after the last change that fast users rely on.
 * The way back from entering takes none: nobody has relied on it, and the object counts the steps
 * of both modes together until it has passed. So an `enter` that gives up changes nothing.
 *
 * A thread that dies on its way leaves one of three states:
 *
 * - Entering: the object's next change enters anew, with a grace period of its own, or goes back.
 * - Slow, after the grace period of the way back: nothing has happened yet.
 * - Fast with mode 1: right, but slow. The object's next change, or {@link RcuSync.follow}, ends
 *   it.
 */
import { andAtomic32, load32, loadAtomic32, orAtomic32, store32, type Memory } from '#mem'
import type { Deadline } from '../machine/wait-options.js'

/** The flags in the lowest bits of `state`. */
export const ENTERED = 1
export const PASSED = 2
const BOTH = ENTERED | PASSED

export interface RcuSyncParts {
  readonly memory: Memory
  /** A grace period. @throws UnansweredError at the deadline; the reason of its signal. */
  readonly synchronize: (deadline?: Deadline) => Promise<void>
}

/**
 * All but {@link isFast} under the object's mutex. Its fields are plain: users read `mode` often.
 */
export class RcuSync {
  readonly memory: Memory
  /** Word indices. */
  readonly state: number
  readonly mode: number
  /** To wait for before {@link leave}, once the mode is slow. */
  readonly synchronize: RcuSyncParts['synchronize']

  constructor({ memory, synchronize }: RcuSyncParts, state: number, mode: number) {
    this.memory = memory
    this.state = state
    this.mode = mode
    this.synchronize = synchronize
  }

  /** The mode that a user goes by until its synchronous stretch ends. */
  get isFast(): boolean {
    return load32(this.memory.i32, this.mode) === 0
  }
  /** Whether the mode is slow, or is being entered. */
  get isEntered(): boolean {
    return (this.#flags() & ENTERED) !== 0
  }
  get isSlow(): boolean {
    return (this.#flags() & BOTH) === BOTH
  }

  /**
   * Enters the slow mode: resolves when all users find it. The caller sets {@link PASSED} then.
   *
   * @param flags those that it sets first, at once, and takes back if it fails. By default the
   *   mode's own; 0 goes on with what a dead thread began, and leaves that begun if it fails.
   * @throws UnansweredError at the deadline; the reason of its signal; OfflineError.
   */
  async enter(deadline: Deadline, flags = ENTERED): Promise<void> {
    // atomic: the grace period orders it. From here on the object's next change goes on, whoever
    // dies.
    orAtomic32(this.memory.i32, this.state, flags)
    this.follow()
    try {
      // Mutants: percpu/rwsem-write-at-once, percpu/ref-merge-at-once.
      await this.synchronize(deadline)
    } catch (error) {
      // Mutant: percpu/rcu-sync-left-entering.
      if (flags !== 0) this.leave(flags)
      throw error
    }
  }

  /** Back to the fast mode, with the other flags given. */
  leave(flags = BOTH): void {
    const { i32 } = this.memory
    // atomic: as in enter. First, so that with mode 0 it is never slow. Mutant:
    // percpu/rwsem-mode-first.
    andAtomic32(i32, this.state, ~flags)
    store32(i32, this.mode, 0)
  }

  /** Makes the mode the state's again, after somebody died between their changes. */
  follow(): void {
    const { i32 } = this.memory
    const mode = this.#flags() & ENTERED
    if (load32(i32, this.mode) !== mode) store32(i32, this.mode, mode)
  }

  #flags(): number {
    // atomic: changed under the mutex only; a snapshot for others.
    return loadAtomic32(this.memory.i32, this.state)
  }
}

/** Whether the mode is being entered, or somebody died who did; `state`: the word. */
export function isEntering(state: number): boolean {
  return (state & BOTH) === ENTERED
}
