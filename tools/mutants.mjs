// Proves that the tests notice what the comments claim: applies each mutant of mutants/
// (lib/mutant-registry.mjs describes an entry) to a private copy of the built workspace and runs
// the test that is said to kill it.
//
//     npm run mutants [-- --only <part of a name>]
//
// A mutant is killed when its test fails or runs out of time; one with "executions" only when an
// exploration fails by that execution. The run fails if a mutant survives, does not apply, does not
// compile (so that no mutant dies of a typing error), or if a test does not pass without a mutant.
// The last is looked at first, unless `npm test` has just found it (lib/passed-tests.mjs). The list
// of equivalent mutants is read as well: an entry that fits none fails the run.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { createCompiler } from './lib/compile.mjs'
import { isMain, reportProblems, repositoryRoot } from './lib/cli.mjs'
import { inLanes } from './lib/lanes.mjs'
import { readEquivalents } from './lib/mutant-equivalents.mjs'
import { mutatedText, readRegistry } from './lib/mutant-registry.mjs'
import { havePassed } from './lib/passed-tests.mjs'
import { runTestFile, tellsOfFailure } from './lib/test-process.mjs'
import { compiledTest } from './run-tests.mjs'

/**
 * Runs the mutants of the registry below `root` whose names contain `only`, `lanes` at a time.
 * Gives the kill table and the problems. `progress` is called with each row, `onTrust` if no test
 * runs without a mutant.
 */
export async function runMutants(
  root,
  { only = '', lanes = availableParallelism(), progress = () => undefined, onTrust = () => undefined } = {},
) {
  const { entries, problems } = readRegistry(root)
  const selected = entries.filter((entry) => entry.name.includes(only))
  if (only !== '' && selected.length === 0)
    problems.push({ file: 'mutants', line: 1, message: `no mutant is named like ${only}` })
  problems.push(...readEquivalents(root).problems)
  const trusted = havePassed(root)
  if (trusted) onTrust()
  const broken = trusted ? new Set() : await findBroken(root, lanes, selected, problems)
  const runnable = selected.filter((entry) => !broken.has(testKey(entry)))
  const compile = createCompiler(root)
  const table = []
  await inLanes(root, lanes, runnable, async (copy, entry) => {
    // While this is compiled, the tests of the other lanes run.
    const { errors, output, js } = compile(entry.file, mutatedText(root, entry))
    const report = (message) => problems.push({ file: entry.entryFile, line: 1, message })
    if (errors) return report(`does not compile: ${errors.join('; ')}`)
    const restore = await copy.replace([{ output, js }])
    const outcome = await runTest(copy.path, entry, { stopsEarly: true })
    restore()
    const fault = noTestFault(entry, outcome)
    if (fault !== undefined) return report(fault)
    const { killed, how, milliseconds } = judge(entry, outcome)
    const row = { name: entry.name, killedBy: entry.killedBy, killed, how, milliseconds }
    table.push(row)
    progress(row)
    if (!killed) report(`${entry.name} survives ${entry.killedBy} (${how}): ${entry.because}`)
  })
  return { table: table.sort((a, b) => (a.name < b.name ? -1 : 1)), problems }
}

/** Runs the tests without a mutant. Gives the keys of those that fail. */
async function findBroken(root, lanes, entries, problems) {
  const baselines = new Map(entries.map((entry) => [testKey(entry), entry]))
  const broken = new Set()
  await inLanes(root, lanes, [...baselines], async (copy, [key, entry]) => {
    const outcome = await runTest(copy.path, entry)
    const message = outcome.killed
      ? `fails without a mutant (${outcome.how})\n${outcome.output}`
      : noTestFault(entry, outcome)
    if (message === undefined) return
    broken.add(key)
    problems.push({ file: entry.killedBy, line: 1, message })
  })
  return broken
}

/** What the outcome of a test says of a mutant. */
function judge({ executions: limit }, { execution, ...outcome }) {
  if (!outcome.killed || limit === undefined) return outcome
  const isInTime = execution !== undefined && execution <= limit
  const found = execution === undefined ? `${outcome.how}, no exploration` : `execution ${execution}`
  return { ...outcome, killed: isInTime, how: isInTime ? found : `${found}; at most ${limit}` }
}

/** A name that no test has would let every mutant survive. */
function noTestFault({ testName }, { killed, output }) {
  if (killed) return undefined
  const passed = /^\S+ pass (\d+)$/m.exec(output)?.[1]
  return testName !== undefined && passed === '0' ? `has no test named like "${testName}"` : undefined
}

function testKey({ killedBy, testName }) {
  return `${killedBy} ${testName ?? ''}`
}

/** One that `stopsEarly` ends as soon as it has failed. */
async function runTest(directory, { killedBy, testName, seconds, executions }, { stopsEarly = false } = {}) {
  let execution
  const outcome = await runTestFile(directory, compiledTest(killedBy), {
    seconds,
    nodeOptions: testName === undefined ? [] : [`--test-name-pattern=${testName}`],
    hasFailed: (text) => {
      execution = firstExecution(text, execution)
      return stopsEarly && (executions === undefined ? tellsOfFailure(text) : execution <= executions)
    },
  })
  return { ...outcome, execution }
}

/**
 * The number of the execution in which an exploration failed, as the lab says it: the lowest in
 * `text`, or `known`.
 */
function firstExecution(text, known) {
  const found = [...text.matchAll(/: [a-z -]+ in execution (\d+): /g)].map(([, number]) => Number(number))
  return known === undefined && found.length === 0 ? undefined : Math.min(known ?? Infinity, ...found)
}

function formatRow({ name, killedBy, killed, how, milliseconds }) {
  return `${killed ? 'killed  ' : 'SURVIVED'}  ${name.padEnd(40)} ${String(milliseconds).padStart(6)} ms  ${how.padEnd(18)} ${killedBy}`
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({ options: { only: { type: 'string' } } })
  const { table, problems } = await runMutants(repositoryRoot, {
    ...values,
    progress: (row) => console.log(formatRow(row)),
    onTrust: () =>
      console.log('mutants: all tests have passed with these files, and are not run without a mutant'),
  })
  reportProblems('mutants', problems, `${table.length} of ${table.length} killed`)
}
