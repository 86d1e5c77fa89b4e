/**
 * Counts the accesses to shared memory of grace periods, with the mem layer of the library replaced
 * by functions that count. All CPUs are of one thread. Run by rcu-tree.ts:
 *
 *     rcu-tree-accesses.js CPUS WHAT    prints JSON, {@link AccessCounts}; WHAT: {@link Counted}
 */
import { register } from 'node:module'

export interface AccessCounts {
  /** Of all CPUs together, each grace period. */
  readonly all: number
  /** Of the CPU with most. */
  readonly most: number
}

/** A grace period of `machine.rcu`; one of a domain of SRCU; one for which all CPUs wait. */
export type Counted = 'rcu' | 'fast' | 'normal' | 'fast, all wait' | 'normal, all wait'

declare global {
  /** Accesses by the view that they go through. */
  var percpuAccesses: Map<unknown, number>
}
globalThis.percpuAccesses = new Map()

const real = await import('percpu/mem')
// Not accesses: these pass through.
const others = new Set([
  'awaitUntil',
  'canWaitAsync',
  'createBuffer',
  'interceptWaits',
  'isSameMemory',
  'openMemory',
  'poisonMemory',
])
const counting = Object.keys(real).map((name) =>
  others.has(name)
    ? `export const ${name} = real.${name}`
    : `export const ${name} = (view, ...args) => {
         globalThis.percpuAccesses.set(view, (globalThis.percpuAccesses.get(view) ?? 0) + 1)
         return real.${name}(view, ...args)
       }`,
)
const mem = JSON.stringify(import.meta.resolve('percpu/mem'))
const source = `import * as real from ${mem}\n${counting.join('\n')}`
const target = JSON.stringify(`data:text/javascript,${encodeURIComponent(source)}`)
// Whatever the library calls its mem layer: what counts is the file. The functions that count have
// to reach it, and so has this file, above.
register(
  'data:text/javascript,' +
    encodeURIComponent(`export async function resolve(specifier, context, next) {
      const found = await next(specifier, context)
      if (found.url !== ${mem} || context.parentURL === ${target}) return found
      return { url: ${target}, shortCircuit: true }
    }`),
)
const { boot, join } = await import('percpu')

const cpus = Number(process.argv[2] ?? 1)
const [flavour, isCrowd] = (process.argv[3] ?? 'rcu').split(', ') as ['rcu' | 'fast' | 'normal', string?]
const machine = boot({ cpus, memory: '64 MiB' })
const machines = [machine]
for (let cpu = 1; cpu < cpus; cpu++) {
  const asThread = { doorbell: 'waitAsync', thread: 100 + cpu } as const
  machines.push(join(machine.handle, asThread))
}
const sources = machines.map((own) => (flavour === 'rcu' ? own.rcu : own.srcu('s', { flavour })))
const waiting = isCrowd === undefined ? sources.slice(0, 1) : sources
async function wait(): Promise<void> {
  await Promise.all(waiting.map((source) => source.synchronize()))
}

/** The CPU whose view it is: each has its own. */
const cpuOf = new Map<unknown, number>()
for (const [cpu, { memory }] of machines.entries()) {
  cpuOf.set(memory, cpu)
  for (const view of Object.values(memory)) if (ArrayBuffer.isView(view)) cpuOf.set(view, cpu)
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))
/** Accesses by CPU. All answers are given some time after the grace period. */
async function countDuring(run: () => Promise<void>): Promise<number[]> {
  await settled()
  globalThis.percpuAccesses = new Map()
  await run()
  await settled()
  const counts = machines.map(() => 0)
  for (const [view, count] of globalThis.percpuAccesses) {
    const cpu = cpuOf.get(view)
    if (cpu === undefined) throw new Error('there are accesses through a view of no CPU')
    counts[cpu] = (counts[cpu] ?? 0) + count
  }
  return counts
}
const sum = (counts: readonly number[]): number => counts.reduce((all, count) => all + count, 0)

/** So many times in a row: the tree of a domain comes with the first crowd. */
for (let round = 0; round < 3; round++) await countDuring(wait)
const without = await countDuring(() => Promise.resolve())
if (sum(without) > 0) throw new Error('there are accesses without a grace period')
const counts = await countDuring(wait)
if (sum(counts) === 0) throw new Error('no access of a grace period was counted')
console.log(JSON.stringify({ all: sum(counts), most: Math.max(...counts) } satisfies AccessCounts))
process.exit(0)
