/**
 * The verifier: checks the equations of layouts.ts.
 *
 * While other threads work, everything that a lock protects is checked under its lock. Of the words
 * that a CPU writes without a lock, only the calling CPU's are checked. Other CPUs may be in the
 * middle of a change at any time. So an object that could be in another CPU's magazine is no fault,
 * and neither is a page that could be in its stack. When all are quiet, all words are checked.
 *
 * No word is trusted before it is checked: a wrong one is reported, and never followed out of the
 * memory or in a circle.
 */
import { loadAtomic32 } from '#mem'
import { Findings } from './findings.js'
import { HeapRoot, MAX_ALLOC_LABELS } from './layouts.js'
import type { HeapParts } from './report.js'
import { checkCaches } from './verify-caches.js'
import { checkZones } from './verify-zones.js'

/**
 * Looks at everything. `isQuiet`: no other thread uses the heap meanwhile.
 *
 * @throws LockTimeoutError.
 */
export function examine(parts: HeapParts, isQuiet: boolean): Findings {
  const { memory, map } = parts.owner
  const findings = new Findings(parts.owner, isQuiet)
  // atomic: a snapshot; no label is read.
  const labels = loadAtomic32(memory.i32, map.root + HeapRoot.words.labels)
  if (labels < 0 || labels > MAX_ALLOC_LABELS) findings.fault(`R1: there are ${labels} labels`)
  checkZones(parts, findings)
  checkCaches(parts, findings)
  return findings
}
