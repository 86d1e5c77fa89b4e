/**
 * Explorations in tests of `node:test`. An exploration is named by the titles of its test, and its
 * counts are stored: a search that has silently become smaller finds less.
 */
import path from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { explore } from '../explore/explore.js'
import { ExplorationFailure } from '../explore/failure.js'
import type { ExploreOptions } from '../explore/options.js'
import type { ExploreReport } from '../explore/outcome.js'
import type { Scenario } from '../scenario/scenario.js'
import { StoredCounts } from './stored-counts.js'

/** A test's context, which tells its titles. */
export interface NamedTest {
  readonly fullName: string
}

export interface TestExploreOptions extends Omit<ExploreOptions, 'expect'> {
  /** Tells explorations of one test from each other. It follows the titles in the name. */
  readonly variant?: string
}

/** Explores a scenario in the test with that context, as `explore` does. */
export type TestExplore = (
  test: NamedTest,
  describe: (t: Scenario) => void,
  options?: TestExploreOptions,
) => Promise<ExploreReport>

/** The environment variable that has counts written instead of compared. */
const UPDATE = 'PERCPU_LAB_UPDATE_COUNTS'

/**
 * Makes the function that the tests of one folder explore with. To be called once in each process,
 * at the top level of a module.
 *
 * A complete exploration fails if its counts are not the stored ones, or if it has none stored.
 * Counts without an exploration fail, too, when all tests of a file have run. With
 * PERCPU_LAB_UPDATE_COUNTS=1 in the environment, the counts are stored instead.
 *
 * @param counts the JSON file of the counts
 * @param tests the folder of the compiled test files
 */
export function explorer(counts: URL, tests: URL): TestExplore {
  const stored = new StoredCounts(counts, testFile(tests))
  const isUpdate = process.env[UPDATE] === '1'
  let hasFailed = false
  after(() => {
    const isComplete = !hasFailed && runsAllTests()
    if (isUpdate) stored.write(isComplete)
    else if (isComplete) checkUnused(stored.unused())
  })
  return async (test, describe, { variant, ...options } = {}) => {
    const titles = test.fullName.replaceAll(' > ', ' ')
    const name = variant === undefined ? titles : `${titles}, ${variant}`
    const expect = stored.begin(name)
    try {
      const report = await explore(
        name,
        describe,
        expect === undefined || isUpdate ? options : { ...options, expect },
      )
      if (report.truncated) return report
      if (isUpdate) stored.note(name, report)
      else if (expect === undefined) throw noCount(report)
      return report
    } catch (error) {
      hasFailed = true
      throw error
    }
  }
}

/**
 * The test file of this process, as the counts name it: `locks/mutex` for `locks/mutex.test.js` in
 * `tests`.
 */
function testFile(tests: URL): string {
  const relative = path.relative(fileURLToPath(tests), path.resolve(process.argv[1] ?? ''))
  return relative
    .split(path.sep)
    .join('/')
    .replace(/\.test\.[cm]?js$/, '')
}

function runsAllTests(): boolean {
  return !process.execArgv.some((argument) => /^--test-(?:name-pattern|skip-pattern|only)/.test(argument))
}

function noCount({ name, executions, blocked }: ExploreReport): ExplorationFailure {
  const message = `${name}: ${executions} executions and ${blocked} blocked, but no count is stored; ${UPDATE}=1 stores it`
  return new ExplorationFailure('execution count', message, undefined, executions, undefined)
}

function checkUnused(names: readonly string[]): void {
  if (names.length === 0) return
  throw new Error(
    `counts are stored of explorations that did not run: ${names.join('; ')}; ${UPDATE}=1 removes them`,
  )
}
