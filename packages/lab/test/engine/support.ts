/**
 * What the tests of the engine share: an exploration compared with brute force, and one that must
 * fail.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import {
  ExplorationFailure,
  explore,
  mem,
  type ExploreOptions,
  type ExploreReport,
  type Scenario,
  type Trace,
} from '../../dist/index.js'
import type { FailureKind } from '../../dist/index.js'
import { explorer, type NamedTest } from '../../dist/testing/index.js'
import { classOf } from './random-scenarios.js'

/** Where the pages of failures go. */
export const reports = mkdtempSync(path.join(tmpdir(), 'percpu-lab-test-'))
after(() => rmSync(reports, { recursive: true, force: true }))

/** Explores with stored counts: `npm run lab:counts` stores them. */
export const explored = explorer(
  new URL('../../test/counts.json', import.meta.url),
  new URL('..', import.meta.url),
)

type Describe = (t: Scenario) => void

/**
 * Explores a scenario that must not fail, completely and by enumeration. Both must find the same
 * classes, the search each of them once, with the stored counts. `results` are the different
 * results of the bodies that there must be, as JSON, sorted.
 */
export async function proves(
  test: NamedTest,
  describe: Describe,
  results?: readonly string[],
): Promise<void> {
  const outcomes = new Set<string>()
  const searched = new Set<string>()
  const enumerated = new Set<string>()
  const observe =
    (classes: Set<string>): NonNullable<ExploreOptions['observe']> =>
    (found, _, world) => {
      classes.add(classOf(world))
      outcomes.add(JSON.stringify(found))
    }
  const one = await explored(test, describe, { observe: observe(searched) })
  await explored(test, describe, {
    variant: 'every interleaving',
    mode: 'enumerate',
    observe: observe(enumerated),
  })
  assert.deepEqual([...searched].sort(), [...enumerated].sort())
  assert.equal(one.executions, enumerated.size)
  assert.equal(one.redundant, 0)
  if (results !== undefined) assert.deepEqual([...outcomes].sort(), results)
}

/** A body that does nothing, but for the access without which an exploration fails. */
export function idle(t: Scenario): () => void {
  const w = wordsOf(t, 1)
  return () => void w.load(0)
}

/** Explores a scenario that must fail; gives the failure. */
export async function fails(
  kind: FailureKind,
  name: string,
  describe: Describe,
  options: ExploreOptions = {},
): Promise<ExplorationFailure & { readonly trace: Trace }> {
  let report: ExploreReport | undefined
  try {
    report = await explore(name, describe, { report: reports, ...options })
  } catch (error) {
    assert.ok(error instanceof ExplorationFailure, String(error))
    assert.equal(error.kind, kind, error.message)
    assert.ok(error.trace)
    return error as ExplorationFailure & { readonly trace: Trace }
  }
  return assert.fail(`no failure in ${report.executions} executions`)
}

/** Words without a layout; `at(k)` is the index of the k-th for the functions of `mem`. */
export function wordsOf(t: Scenario, count: number) {
  const { memory, base } = t.words(count)
  const view = memory.i32
  return {
    memory,
    view,
    at: (k: number) => base + k,
    load: (k: number) => mem.loadAtomic32(view, base + k),
    store: (k: number, value: number) => mem.storeAtomic32(view, base + k, value),
    add: (k: number, value: number) => mem.addAtomic32(view, base + k, value),
    cas: (k: number, expected: number, value: number) =>
      mem.compareExchangeAtomic32(view, base + k, expected, value),
    wait: (k: number, value: number, timeout?: number) => mem.wait32(view, base + k, value, timeout),
    notify: (k: number, count?: number) => mem.notify32(view, base + k, count),
    plainLoad: (k: number) => mem.load32(view, base + k),
    plainStore: (k: number, value: number) => mem.store32(view, base + k, value),
  }
}
export type Words = ReturnType<typeof wordsOf>
