import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import type { OwnCpu } from './own-cpu.js'

/** `machine.rcu`: grace periods, of the event loop. See grace-period.ts. */
export class Rcu {
  readonly #own: OwnCpu

  /** @internal */
  constructor(own: OwnCpu) {
    this.#own = own
  }

  /**
   * A grace period: resolves when every CPU that was online has returned to its event loop, polled,
   * was parked or deaf, or left. What was unlinked before the call may be freed then.
   *
   * Cost: a doorbell round trip.
   *
   * @throws UnansweredError after `timeout` ms, naming the CPUs that are busy; the reason of
   *   `signal` when that aborts; ArgumentError; OfflineError.
   */
  async synchronize(options: WaitOptions = {}): Promise<void> {
    this.#own.assertOnline()
    checkWait(options)
    await this.#own.gracePeriods.synchronize(new Deadline(options))
  }
}
