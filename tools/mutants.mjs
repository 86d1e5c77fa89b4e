// Proves that the tests notice what the comments claim: applies each mutant of mutants/
// (lib/mutant-registry.mjs describes an entry) to a private copy of the built workspace and runs
// the test that is said to kill it.
//
//     npm run mutants [-- --only <part of a name>]
//
// A mutant is killed when its test fails or runs out of time; one with "executions" only when an
// exploration fails by that execution. The run fails if a mutant survives, does not apply, does not
// compile (so that no mutant dies of a typing error), or if a test does not pass without a mutant.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { createCompiler } from './lib/compile.mjs'
import { isMain, reportProblems, repositoryRoot } from './lib/cli.mjs'
import { inLanes } from './lib/lanes.mjs'
import { mutatedText, readRegistry } from './lib/mutant-registry.mjs'
import { runTestFile } from './lib/test-process.mjs'
import { compiledTest } from './run-tests.mjs'

/**
 * Runs the mutants of the registry below `root` whose names contain `only`, `lanes` at a time.
 * Gives the kill table and the problems; `progress` is called with each row.
 */
export async function runMutants(
  root,
  { only = '', lanes = availableParallelism(), progress = () => undefined } = {},
) {
  const { entries, problems } = readRegistry(root)
  const selected = entries.filter((entry) => entry.name.includes(only))
  if (only !== '' && selected.length === 0)
    problems.push({ file: 'mutants', line: 1, message: `no mutant is named like ${only}` })
  const jobs = prepare(root, selected, problems)
  const baselines = new Map(jobs.map(({ entry }) => [testKey(entry), entry]))
  const broken = new Set()
  const table = []
  await inLanes(root, lanes, [...baselines], async (copy, [key, entry]) => {
    const { killed, how, output } = await runTest(copy.path, entry)
    const message = killed ? `fails without a mutant (${how})\n${output}` : noTestFault(entry, output)
    if (message === undefined) return
    broken.add(key)
    problems.push({ file: entry.killedBy, line: 1, message })
  })
  const runnable = jobs.filter(({ entry }) => !broken.has(testKey(entry)))
  await inLanes(root, lanes, runnable, async (copy, { entry, output, js }) => {
    const restore = copy.replace(output, js)
    const { killed, how, milliseconds } = judge(entry, await runTest(copy.path, entry))
    restore()
    const row = { name: entry.name, killedBy: entry.killedBy, killed, how, milliseconds }
    table.push(row)
    progress(row)
    if (!killed)
      problems.push({
        file: entry.entryFile,
        line: 1,
        message: `${entry.name} survives ${entry.killedBy} (${how}): ${entry.because}`,
      })
  })
  return { table: table.sort((a, b) => (a.name < b.name ? -1 : 1)), problems }
}

function prepare(root, entries, problems) {
  const compile = createCompiler(root)
  const jobs = []
  for (const entry of entries) {
    const { errors, output, js } = compile(entry.file, mutatedText(root, entry))
    if (errors)
      problems.push({ file: entry.entryFile, line: 1, message: `does not compile: ${errors.join('; ')}` })
    else jobs.push({ entry, output, js })
  }
  return jobs
}

/** What the outcome of a test says of a mutant. */
function judge({ executions: limit }, { execution, ...outcome }) {
  if (!outcome.killed || limit === undefined) return outcome
  const isInTime = execution !== undefined && execution <= limit
  const found = execution === undefined ? `${outcome.how}, no exploration` : `execution ${execution}`
  return { ...outcome, killed: isInTime, how: isInTime ? found : `${found}; at most ${limit}` }
}

/** A name that no test has would let every mutant survive. */
function noTestFault({ testName }, output) {
  const passed = /^\S+ pass (\d+)$/m.exec(output)?.[1]
  return testName !== undefined && passed === '0' ? `has no test named like "${testName}"` : undefined
}

function testKey({ killedBy, testName }) {
  return `${killedBy} ${testName ?? ''}`
}

async function runTest(directory, { killedBy, testName, seconds }) {
  let execution
  const outcome = await runTestFile(directory, compiledTest(killedBy), {
    seconds,
    nodeOptions: testName === undefined ? [] : [`--test-name-pattern=${testName}`],
    onOutput: (text) => {
      execution = firstExecution(text, execution)
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
  })
  reportProblems('mutants', problems, `${table.length} of ${table.length} killed`)
}
