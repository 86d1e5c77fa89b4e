// Measures how much the tests notice: draws small mutations of the sources at random
// (lib/mutant-draw.mjs), and runs each against the tests of its folder (lib/mutant-trials.mjs).
//
//     npm run mutants:random -- --seed 1 --count 100
//
//     --seed S             the same mutants for the same seed and sources; 1 unless told
//     --count N            how many; 100 unless told
//     --folder F           only sources in F: percpu/sync, packages/lab/src/engine; may be repeated
//     --lanes L            how many at a time; as many as there are processors unless told
//     --list               prints the draw, and runs nothing
//     --json FILE          writes all results to a file
//     --minimum P          fails if less than P percent of all mutants are killed
//     --minimum-folder P   the same for each folder
//
// A mutant that survives is no failure by itself. The run fails if a test does not pass without a
// mutant; that test judges none, and all others do. Mutants that no test can kill are listed in
// mutants/equivalent.json, and are not drawn (lib/mutant-equivalents.mjs).

import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { isMain, reportProblems, repositoryRoot } from './lib/cli.mjs'
import { drawMutants } from './lib/mutant-draw.mjs'
import { readEquivalents } from './lib/mutant-equivalents.mjs'
import { formatScores, scoreByFolder, scoreOf } from './lib/mutant-score.mjs'
import { runBaseline, runTrials } from './lib/mutant-trials.mjs'
import { isBelow, readSourceFolders } from './lib/source-folders.mjs'

/** The command line asks for something that there is not. */
export class UsageError extends TypeError {
  code = 'ERR_USAGE'
}

/** Reads the command line. @throws UsageError, or parseArgs' TypeError for an unknown option. */
export function readOptions(args) {
  const text = { type: 'string' }
  const { values } = parseArgs({
    args,
    options: {
      seed: { ...text, default: '1' },
      count: { ...text, default: '100' },
      folder: { ...text, multiple: true, default: [] },
      lanes: { ...text, default: String(availableParallelism()) },
      list: { type: 'boolean', default: false },
      json: text,
      minimum: text,
      'minimum-folder': text,
    },
  })
  return {
    seed: wholeNumber('--seed', values.seed, 0),
    count: wholeNumber('--count', values.count, 1),
    folders: values.folder,
    lanes: wholeNumber('--lanes', values.lanes, 1),
    list: values.list,
    json: values.json,
    minimum: percentage('--minimum', values.minimum),
    minimumOfFolder: percentage('--minimum-folder', values['minimum-folder']),
  }
}

function wholeNumber(name, text, from) {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= from) return value
  throw new UsageError(`${name} must be a whole number from ${from} on, not "${text}"`)
}

function percentage(name, text) {
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && value <= 100) return value
  throw new UsageError(`${name} must be a percentage from 0 to 100, not "${text}"`)
}

/**
 * Draws `count` mutants of the workspace below `root`. Gives `{ mutants, discarded, problems }`.
 *
 * @throws UsageError for a folder without sources.
 */
export function draw(root, { seed, count, folders }) {
  const { sources, problems } = readSourceFolders(root)
  for (const folder of folders) {
    if (!sources.some((source) => isBelow(source, folder)))
      throw new UsageError(`--folder ${folder}: there are no sources`)
  }
  const selected = sources.filter(
    (source) => folders.length === 0 || folders.some((folder) => isBelow(source, folder)),
  )
  const equivalents = readEquivalents(root)
  return {
    ...drawMutants(root, selected, { seed, count, equivalents }),
    problems: [...problems, ...equivalents.problems],
  }
}

/** Runs drawn mutants. Gives `{ rows, problems }`; tests that fail without one are problems. */
export async function judge(root, mutants, { lanes, slack, onTest, onMutant }) {
  const { baseline, problems } = await runBaseline(root, mutants, { lanes, progress: onTest })
  return { rows: await runTrials(root, mutants, baseline, { lanes, slack, progress: onMutant }), problems }
}

/** Says which scores are below the minimum. */
export function shortfalls(rows, { minimum, minimumOfFolder }) {
  const wanted = [
    ...(minimum === undefined ? [] : [[scoreOf('all', rows), minimum]]),
    ...(minimumOfFolder === undefined ? [] : scoreByFolder(rows).map((score) => [score, minimumOfFolder])),
  ]
  return wanted
    .filter(([{ percent }, least]) => percent < least)
    .map(([{ folder, percent }, least]) => `${folder}: ${percent.toFixed(1)} % killed, less than ${least} %`)
}

function formatPlace({ file, line, column, kind, before, after }) {
  return `${file}:${line}:${column} ${kind}: ${before} → ${after}`
}

function formatRow(row) {
  const { killed, milliseconds, how, killedBy } = row
  const verdict = killed ? 'killed  ' : 'SURVIVED'
  const by = killedBy === undefined ? how : `${how}: ${killedBy}`
  return `${verdict}  ${String(milliseconds).padStart(7)} ms  ${formatPlace(row)}  [${by}]`
}

function formatTest({ file, milliseconds, passed, isMarked }) {
  const note = isMarked ? '' : '  (with marks it fails: it counts as running everything)'
  return `${passed ? 'passed  ' : 'FAILED  '}  ${String(milliseconds).padStart(7)} ms  ${file}${passed ? note : ''}`
}

async function main(args) {
  const options = readOptions(args)
  const { mutants, discarded, problems } = draw(repositoryRoot, options)
  console.log(
    `${mutants.length} mutants; discarded: ${discarded.notCompiled} that do not compile, ` +
      `${discarded.same} that change nothing, ${discarded.equivalent} that nobody can see`,
  )
  if (options.list) for (const mutant of mutants) console.log(formatPlace(mutant))
  if (options.list || problems.length > 0) return reportProblems('mutants:random', problems, 'drawn')

  const { rows, problems: failures } = await judge(repositoryRoot, mutants, {
    lanes: options.lanes,
    onTest: (test) => console.log(formatTest(test)),
    onMutant: (row) => console.log(formatRow(row)),
  })
  const survivors = rows.filter(({ killed }) => !killed)
  console.log(`\n${survivors.length} survivors`)
  for (const row of survivors) console.log(`${formatPlace(row)}${row.isCovered ? '' : '  (not covered)'}`)
  console.log(`\n${formatScores(rows)}`)
  if (options.json !== undefined) {
    const { seed, count } = options
    const folders = scoreByFolder(rows)
    const results = { seed, count, discarded, all: scoreOf('all', rows), folders, mutants: rows }
    writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`)
  }
  for (const message of shortfalls(rows, options)) {
    console.error(message)
    process.exitCode = 1
  }
  if (failures.length > 0) reportProblems('mutants:random', failures)
}

if (isMain(import.meta.url)) {
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    if (!/^ERR_(USAGE|PARSE_ARGS)/.test(error.code)) throw error
    console.error(`mutants:random: ${error.message}`)
    process.exitCode = 1
  }
}
