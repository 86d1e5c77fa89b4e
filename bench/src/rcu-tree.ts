/** What grace periods of large machines cost, counted. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Measure, Row, Suite } from './harness/suite.js'
import type { AccessCounts } from './rcu-tree-accesses.js'

const program = fileURLToPath(new URL('./rcu-tree-accesses.js', import.meta.url))
const known = new Map<number, Promise<AccessCounts>>()
/** The same each time, so counted once. */
function countsOf(cpus: number): Promise<AccessCounts> {
  const counts = known.get(cpus) ?? count(cpus)
  known.set(cpus, counts)
  return counts
}
async function count(cpus: number): Promise<AccessCounts> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, String(cpus)])
  return JSON.parse(stdout) as AccessCounts
}

const sizes = [1, 16, 64, 256]
const LEAF = 16
function rows(what: string, measure: (cpus: number) => Measure): Row[] {
  const name = (cpus: number): string => `${what}, ${cpus} ${cpus === 1 ? 'CPU' : 'CPUs'}`
  return sizes.map((cpus): Row => ({
    name: name(cpus),
    role: 'ours',
    ...(cpus > LEAF ? { goal: { against: name(LEAF), atMost: 1.25 } } : {}),
    measure: measure(cpus),
  }))
}
const tree: Suite = {
  title: 'accesses of one grace period to shared memory',
  unit: 'accesses',
  note: `Counted, of \`rcu.synchronize\` with all CPUs in their event loops, bells and answers included. The fan-out is ${LEAF}: from there on the number should stay.`,
  rows: [
    ...rows('each CPU', (cpus) => async () => (await countsOf(cpus)).all / cpus),
    ...rows('the CPU with most', (cpus) => async () => (await countsOf(cpus)).most),
  ],
}

export const treeSuites: readonly Suite[] = [tree]
