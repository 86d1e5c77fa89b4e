/** What the tests share that run litmus files with the library's own RCU and SRCU. */
import assert from 'node:assert/strict'
import path from 'node:path'
import {
  allowedStates,
  judge,
  runImplementation,
  type Implementation,
  type JudgedFile,
  type JudgeOptions,
  type LitmusTest,
  type RunOptions,
} from 'percpu-lab/litmus'
import { litmusFiles, litmusTest } from './files.js'

const graces = (test: LitmusTest): number =>
  [...JSON.stringify(test.processes).matchAll(/"does":"s?rcu synchronize"/g)].length

/** Files of a folder, by the number of their processes and of the grace periods in them. */
export function select(
  folder: string,
  condition: (processes: number, gracePeriods: number, name: string) => boolean,
): string[] {
  return litmusFiles(folder).filter((file) => {
    const name = path.basename(file, '.litmus')
    const test = litmusTest(folder, name)
    return condition(test.processes.length, graces(test), name)
  })
}

/** Judges files, none of which may have a problem; by name. */
export async function judged(
  files: readonly string[],
  options: JudgeOptions,
): Promise<Map<string, JudgedFile>> {
  assert.ok(files.length > 0)
  const found = await judge(files, options)
  const problems = found.filter(({ problem }) => problem !== undefined)
  assert.deepEqual(
    problems.map(({ name, problem }) => `${name}: ${problem}`),
    [],
  )
  return new Map(found.map((one) => [one.name, one]))
}

export function answers(found: Map<string, JudgedFile>): Record<string, string> {
  return Object.fromEntries([...found].map(([name, { implementation }]) => [name, implementation]))
}

/**
 * Explores over plain data that may be stale: no state is found that the axioms do not allow.
 * Returns the verdicts by name.
 */
export async function plainly(
  folder: string,
  files: readonly string[],
  options: RunOptions,
): Promise<Record<string, string>> {
  assert.ok(files.length > 0)
  const verdicts: Record<string, string> = {}
  for (const file of files) {
    const name = path.basename(file, '.litmus')
    const test = litmusTest(folder, name)
    const allowed = new Set(allowedStates(test, { once: 'plain' }).states.map(({ values }) => values.join()))
    const { states, verdict, stuck } = await runImplementation(test, { ...options, once: 'plain' })
    const found = states.map(({ values }) => values.join())
    assert.deepEqual(
      found.filter((state) => !allowed.has(state)),
      [],
      name,
    )
    assert.equal(stuck, 0, name)
    verdicts[name] = verdict
  }
  return verdicts
}

/** The same with grace periods that wait for nobody. */
export function withoutGracePeriods(implementation: Implementation): Implementation {
  const synchronize = () => Promise.resolve()
  return {
    name: 'no grace periods',
    boot: async (cpus, uses) => {
      const booted = await implementation.boot(cpus, uses)
      return {
        ...booted,
        join: (...from) => {
          const own = booted.join(...from)
          return {
            rcu: { ...own.rcu, synchronize },
            srcu: (domain) => ({ ...own.srcu(domain), synchronize }),
          }
        },
      }
    },
  }
}
