import { checkOptions, checkTimeout } from '../machine/check.js'
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
   * @throws UnansweredError after `timeout` ms (default: none), naming the CPUs that are busy;
   *   ArgumentError; OfflineError.
   */
  async synchronize(options: { readonly timeout?: number } = {}): Promise<void> {
    this.#own.assertOnline()
    checkOptions('synchronize', options, { timeout: true })
    checkTimeout(options.timeout)
    await this.#own.gracePeriods.synchronize(options.timeout)
  }
}
