/** Benchmarks of RCU: read sections and grace periods. */
import type { Suite } from './harness/suite.js'
import { sectionSuites } from './rcu-sections.js'

export const suites: readonly Suite[] = [...sectionSuites]
