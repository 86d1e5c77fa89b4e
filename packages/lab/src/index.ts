/** percpu-lab: every interleaving, interrupt and kill of code on shared memory. */
import './register.js'

export { explore, type ExploreOptions, type ExploreReport } from './explore.js'
export { ExplorationFailure } from './failure.js'
export { diagram, type DiagramOptions } from './report/diagram.js'
export { page } from './report/html.js'
export {
  type Body,
  type CpuContext,
  type Ipi,
  type IrqSettings,
  type KillSettings,
  Scenario,
  ScenarioError,
} from './scenario.js'
export { nameMachine, nameStructs } from './machine-names.js'
export { ScheduleError } from './search/schedule.js'
export type { ShardOptions } from './search/shard.js'
export type * from './trace.js'
export * as mem from './mem.js'

/** The library, loaded with the lab's `#mem`: what it does in a body is explored. */
export const percpu: typeof import('percpu') = await import('percpu')
