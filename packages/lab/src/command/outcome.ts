/**
 * Outcomes on their way between processes, and the one that the outcomes of shards make together.
 */
import { ExplorationFailure } from '../explore/failure.js'
import type { ExploreReport, Outcome } from '../explore/outcome.js'
import type { FailureKind } from '../trace.js'

/**
 * A failure without the parts that cannot be sent. Its page has been written, or its message says
 * why not.
 */
interface SentFailure {
  readonly kind: FailureKind
  readonly message: string
  readonly execution: number
  readonly report: string | undefined
}

export type Sent = { readonly report: ExploreReport } | { readonly failure: SentFailure }

export function toSent(outcome: Outcome): Sent {
  if ('report' in outcome) return outcome
  const { kind, message, execution, report } = outcome.failure
  return { failure: { kind, message, execution, report } }
}

export function fromSent(sent: Sent): Outcome {
  if ('report' in sent) return sent
  const { kind, message, execution, report } = sent.failure
  return { failure: new ExplorationFailure(kind, message, undefined, execution, report) }
}

/** The first failure, or else the sums. The time is that of the slowest shard. */
export function together(outcomes: readonly Sent[]): Sent {
  const failed = outcomes.find((outcome) => 'failure' in outcome)
  if (failed !== undefined) return failed
  const reports = outcomes.flatMap((outcome) => ('report' in outcome ? [outcome.report] : []))
  return { report: reports.reduce(add) }
}

function add(one: ExploreReport, other: ExploreReport): ExploreReport {
  return {
    name: one.name,
    executions: one.executions + other.executions,
    blocked: one.blocked + other.blocked,
    redundant: one.redundant + other.redundant,
    leftOut: one.leftOut + other.leftOut,
    checked: one.checked + other.checked,
    truncated: one.truncated || other.truncated,
    operations: one.operations + other.operations,
    touchesMemory: one.touchesMemory || other.touchesMemory,
    milliseconds: Math.max(one.milliseconds, other.milliseconds),
  }
}
