/** Benchmarks of RCU: read sections and grace periods. */
import type { Suite } from './harness/suite.js'
import { callbackSuites } from './rcu-callbacks.js'
import { gracePeriodSuites } from './rcu-grace-periods.js'
import { sectionSuites } from './rcu-sections.js'
import { treeSuites } from './rcu-tree.js'

export const suites: readonly Suite[] = [
  ...sectionSuites,
  ...gracePeriodSuites,
  ...callbackSuites,
  ...treeSuites,
]
