// Runs drawn mutants against the tests of their folders.

import { compileMarked, takeMarks } from './coverage-marks.mjs'
import { inLanes } from './lanes.mjs'
import { runTestFile, tellsOfFailure } from './test-process.mjs'

/** Seconds after which a test file that runs without a mutant has failed. */
const baselineSeconds = 600

/** A test file gets so many times as long with a mutant as it took without, and the slack. */
const timeFactor = 4
/** Seconds, for a busy machine. */
const defaultSlack = 10

function limitFor(milliseconds, slack) {
  return Math.ceil((timeFactor * milliseconds) / 1000) + slack
}

/**
 * Runs the test files of all `mutants` once without a mutant. Gives a map from each file to
 * `{ milliseconds, covered }`: the ids of the mutants whose places it runs. They are undefined
 * where the file passes only without marks in the code. `problems` tells of files that fail; they
 * judge no mutant.
 */
export async function runBaseline(root, mutants, { lanes, progress = () => undefined }) {
  const baseline = new Map()
  const problems = []
  const marked = compileMarked(root, mutants)
  const files = [...new Set(mutants.flatMap(({ tests }) => tests))]
  await inLanes(root, lanes, files, async (copy, file) => {
    const run = () => runTestFile(copy.path, file, { seconds: baselineSeconds })
    const removeMarks = await copy.replace(marked)
    let outcome = await run()
    removeMarks()
    let covered = takeMarks(copy)
    if (outcome.killed) {
      outcome = await run()
      covered = outcome.killed ? new Set() : undefined
    }
    const { killed, how, milliseconds, output } = outcome
    if (killed) problems.push({ file, line: 1, message: `fails without a mutant (${how})\n${output}` })
    baseline.set(file, { milliseconds, covered })
    progress({ file, milliseconds, passed: !killed, isMarked: covered !== undefined })
  })
  return { baseline, problems }
}

/**
 * Runs each of `mutants` against those of its tests that run its place, the fastest first, until
 * one fails or runs out of time. `progress` is called with each mutant's row; the rows come back in
 * the order of the draw.
 */
export async function runTrials(
  root,
  mutants,
  baseline,
  { lanes, slack = defaultSlack, progress = () => undefined },
) {
  const rows = new Map()
  await inLanes(root, lanes, mutants, async (copy, mutant) => {
    const verdict = await tryTests(copy, mutant, testsFor(mutant, baseline), slack)
    const row = { ...describe(mutant), ...verdict }
    rows.set(mutant.id, row)
    progress(row)
  })
  return mutants.map(({ id }) => rows.get(id))
}

function testsFor({ id, tests }, baseline) {
  return tests
    .map((file) => ({ file, ...baseline.get(file) }))
    .filter(({ covered }) => covered === undefined || covered.has(id))
    .sort((one, other) => one.milliseconds - other.milliseconds)
}

async function tryTests(copy, mutant, tests, slack) {
  const row = { isCovered: tests.length > 0, killed: false, how: 'passed', tests: 0, milliseconds: 0 }
  for (const { file, milliseconds } of tests) {
    const outcome = await runWith(copy, mutant, file, milliseconds, slack)
    row.tests++
    row.milliseconds += outcome.milliseconds
    if (outcome.killed) return { ...row, killed: true, killedBy: file, how: outcome.how }
  }
  return row.isCovered ? row : { ...row, how: 'not covered' }
}

/**
 * Runs one test file with a mutant. If it runs out of time, the machine may be busier than it was
 * at the baseline: the file runs without the mutant again, and if that takes longer now, the mutant
 * gets so much more time in a second run.
 */
async function runWith(copy, mutant, file, milliseconds, slack) {
  const run = async (seconds) => {
    const restore = await copy.replace([mutant])
    const outcome = await runTestFile(copy.path, file, { seconds, hasFailed: tellsOfFailure })
    restore()
    return outcome
  }
  const limit = limitFor(milliseconds, slack)
  const outcome = await run(limit)
  if (!outcome.timedOut) return outcome
  const without = await runTestFile(copy.path, file, { seconds: baselineSeconds })
  const limitNow = limitFor(without.milliseconds, slack)
  return limitNow > limit ? run(limitNow) : outcome
}

/** What a reader sees of a mutant. */
function describe({ id, folder, file, line, column, kind, before, after }) {
  return { id, folder, file, line, column, kind, before, after }
}
