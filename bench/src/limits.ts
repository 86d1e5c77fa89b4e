/**
 * What single operations cost at the limits: on the largest machines, with full nodes, and with
 * very many of what one usually has a few. docs/limits.md says what bounds each.
 */
import { limitsMachineSuites } from './limits-machine.js'
import { limitsManySuites } from './limits-many.js'
import type { Suite } from './harness/suite.js'

export const suites: readonly Suite[] = [...limitsMachineSuites, ...limitsManySuites]
