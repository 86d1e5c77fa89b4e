/**
 * Runs the benchmarks: `npm run bench [-- --only mem,layout] [--quick] [--out file.md]`.
 *
 * A full run of all layers writes docs/benchmarks.md; others write only with `--out`. Goals that
 * are not met are listed, and do not make the run fail.
 *
 * `--against DIRECTORY [--rounds 7]` compares another checkout, which must be built, with this one,
 * and writes the last part of docs/benchmarks.md, or of the file of `--out`. With `--quick` it
 * writes only with `--out`.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { goalSummary, markdownReport, terminalReport, type LayerResult } from './harness/report.js'
import { summary } from './harness/summary.js'
import { compareVersions, type Round, type SuiteChange } from './harness/versions.js'
import {
  markdownVersions,
  splitPage,
  terminalVersions,
  worseRows,
  type LayerChange,
} from './harness/versions-report.js'
import { runLayer, runSuiteOf, titlesOf, withSuitesOf } from './layer-process.js'
import { layers, type LayerName } from './layers.js'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    out: { type: 'string' },
    against: { type: 'string' },
    rounds: { type: 'string', default: '7' },
  },
})
const page = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url))

function selectLayers(only: string | undefined): readonly LayerName[] {
  if (only === undefined) return layers
  const wanted = only.split(',')
  const unknown = wanted.filter((name) => !layers.some((layer) => layer === name))
  if (unknown.length > 0)
    throw new Error(`there is no layer ${unknown.join(', ')}; there are ${layers.join(', ')}`)
  return layers.filter((layer) => wanted.includes(layer))
}

function countRounds(text: string): number {
  const rounds = Number(text)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${text} is no whole number above 0`)
  return rounds
}

async function runAll(): Promise<void> {
  const results: LayerResult[] = []
  for (const layer of selectLayers(values.only)) {
    const result = { layer, suites: await runLayer(layer, values.quick ? 'quick' : 'full') }
    console.log(terminalReport(result))
    results.push(result)
  }
  const { total, missed } = goalSummary(results)
  console.log(`${total - missed.length} of ${total} goals met`)
  for (const name of missed) console.log(`  not met: ${name}`)

  const isComplete = values.only === undefined && !values.quick
  const out = values.out ?? (isComplete ? page : undefined)
  if (out === undefined) return
  const [, versions] = splitPage(await pageOrNothing(out))
  await write(out, markdownReport(results, summary(results)), versions)
}

async function compareWith(checkout: string): Promise<void> {
  const rounds = countRounds(values.rounds)
  const changes: LayerChange[] = []
  await withSuitesOf(checkout, async (earlier) => {
    for (const layer of selectLayers(values.only)) {
      const titles = new Set([...(await titlesOf(layer)), ...(await titlesOf(layer, earlier))])
      const suites: SuiteChange[] = []
      for (const title of titles) suites.push(await compareSuite(earlier, layer, title, rounds))
      console.log(terminalVersions({ layer, suites }))
      changes.push({ layer, suites })
    }
  })
  for (const name of worseRows(changes)) console.log(`  worse: ${name}`)

  const out = values.out ?? (values.quick ? undefined : page)
  if (out === undefined) return
  const [benchmarks] = splitPage(await pageOrNothing(out))
  await write(out, benchmarks, markdownVersions(changes, rounds))
}

/** Both versions in turns, so that what slows the machine for a while slows both. */
async function compareSuite(
  earlier: string,
  layer: LayerName,
  title: string,
  rounds: number,
): Promise<SuiteChange> {
  const effort = values.quick ? 'quick' : 'part'
  const measured: Round[] = []
  for (let round = 0; round < rounds; round++) {
    const before = await runSuiteOf(layer, title, effort, earlier)
    measured.push({ before, after: await runSuiteOf(layer, title, effort) })
  }
  return compareVersions(measured)
}

async function pageOrNothing(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
async function write(file: string, benchmarks: string, versions: string): Promise<void> {
  const parts = [benchmarks, versions].map((part) => part.trimEnd()).filter((part) => part !== '')
  await writeFile(file, `${parts.join('\n\n')}\n`)
  console.log(`wrote ${file}`)
}

await (values.against === undefined ? runAll() : compareWith(values.against))
