/** percpu-lab: every interleaving, interrupt and kill of code on shared memory. */
export { explore } from './explore/explore.js'
export { ExplorationFailure } from './explore/failure.js'
export type { ExploreOptions } from './explore/options.js'
export type { ExploreReport } from './explore/outcome.js'
export { CallRecorder } from './linearizability/call-recorder.js'
export type { Call, Outcome } from './linearizability/history.js'
export {
  checkLinearizability,
  NotLinearizableError,
  type LinearizabilityOptions,
} from './linearizability/linearizable.js'
export type { Specification } from './linearizability/specification.js'
export { percpu } from './mem/library.js'
export * as mem from './mem/mem.js'
export { diagram, type DiagramOptions } from './report/diagram.js'
export { page } from './report/html.js'
export { ScenarioError } from './check.js'
export type { CallHistory } from './scenario/call-history.js'
export type { CpuContext, Ipi } from './scenario/cpu-context.js'
export { nameMachine, nameStructs } from './scenario/machine-names.js'
export {
  type Body,
  type Counts,
  type CpuSettings,
  type FilterSettings,
  type IrqSettings,
  type KillSettings,
  Scenario,
  type WordNames,
} from './scenario/scenario.js'

export { ScheduleError } from './search/schedule.js'
export type { ShardOptions } from './search/shard.js'
export type * from './trace.js'
