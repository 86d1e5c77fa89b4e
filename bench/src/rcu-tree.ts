/** What grace periods of large machines cost, counted. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Row, Suite } from './harness/suite.js'
import type { AccessCounts, Counted } from './rcu-tree-accesses.js'

const program = fileURLToPath(new URL('./rcu-tree-accesses.js', import.meta.url))
const TRIES = 5
const known = new Map<string, Promise<AccessCounts>>()
/** Counted for the first round only: it takes a process. */
function countsOf(what: Counted, cpus: number): Promise<AccessCounts> {
  const key = `${what} ${cpus}`
  const counts = known.get(key) ?? count(what, cpus)
  known.set(key, counts)
  return counts
}
/** The least of some: on a busy machine a crowd looks more often, as time passes. */
async function count(what: Counted, cpus: number): Promise<AccessCounts> {
  let least: AccessCounts | undefined
  for (let i = 0; i < TRIES; i++) {
    const { stdout } = await promisify(execFile)(process.execPath, [program, String(cpus), what])
    const counts = JSON.parse(stdout) as AccessCounts
    if (!least || counts.all < least.all) least = counts
  }
  return least ?? { all: NaN, most: NaN }
}

const sizes = [1, 16, 64, 256]
const LEAF = 16
function rows(name: string, what: Counted, value: (counts: AccessCounts, cpus: number) => number): Row[] {
  const nameOf = (cpus: number): string => `${name}, ${cpus} ${cpus === 1 ? 'CPU' : 'CPUs'}`
  return sizes.map((cpus): Row => ({
    name: nameOf(cpus),
    role: 'ours',
    ...(cpus > LEAF ? { goal: { against: nameOf(LEAF), atMost: 1.25 } } : {}),
    measure: async () => value(await countsOf(what, cpus), cpus),
  }))
}
const perCpu = ({ all }: AccessCounts, cpus: number): number => all / cpus
const tree: Suite = {
  title: 'accesses of one grace period to shared memory',
  unit: 'accesses',
  note: `Counted, with all CPUs in their event loops, bells and answers included. The fan-out is ${LEAF}: from there on the number for each CPU should stay. Where all wait, they all call \`synchronize\` at once.`,
  rows: [
    ...rows('rcu, each CPU', 'rcu', perCpu),
    ...rows('rcu, the CPU with most', 'rcu', ({ most }) => most),
    ...rows('fast SRCU, each CPU', 'fast', perCpu),
    ...rows('normal SRCU, each CPU', 'normal', perCpu),
    ...rows('fast SRCU, all wait, each CPU', 'fast, all wait', perCpu),
    ...rows('normal SRCU, all wait, each CPU', 'normal, all wait', perCpu),
  ],
}

export const treeSuites: readonly Suite[] = [tree]
