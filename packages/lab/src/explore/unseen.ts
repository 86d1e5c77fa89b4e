/** Writes to a scenario's memory that did not go through the lab. They are not taken back. */
import { ScenarioError } from '../check.js'
import { shadowOf } from '../engine/views.js'
import type { Scenario } from '../scenario/scenario.js'
import { toBeSeen } from './outcome.js'

/** The memory of a scenario before its first execution. */
export class MemoryBefore {
  private readonly bytes: Uint8Array | undefined

  constructor(private readonly scenario: Scenario) {
    this.bytes = scenario.contents()?.slice()
  }

  /**
   * Refuses an exploration after which the memory is not as it was. All steps have been taken back.
   *
   * @param failure that of the exploration, which such writes may have made
   * @throws ScenarioError with the first word that differs
   */
  checkIsBack(failure: unknown): void {
    const now = this.scenario.contents()
    if (now === undefined) return
    const at = now.findIndex((byte, i) => byte !== (this.bytes?.[i] ?? 0))
    if (at < 0) return
    const address = at & ~3
    const { name } = this.scenario.names.describe(shadowOf(this.scenario.shared.buffer), address)
    throw new ScenarioError(
      `code that the lab does not see wrote to ${name}, so the executions were not independent: ${toBeSeen}`,
      { cause: failure },
    )
  }
}
