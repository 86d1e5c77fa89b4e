/**
 * Runs the benchmarks: `npm run bench [-- --only mem,layout] [--quick] [--out file.md]`.
 *
 * A full run of all layers writes docs/benchmarks.md; others write only with `--out`. Goals that are not met are listed, and
 * do not make the run fail.
 */
import { fork } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { goalSummary, markdownReport, terminalReport, type LayerResult } from './harness/report.js'
import type { SuiteResult } from './harness/run.js'
import { layers, type LayerName } from './layers.js'

const { values } = parseArgs({
  options: { only: { type: 'string' }, quick: { type: 'boolean', default: false }, out: { type: 'string' } },
})

function selectLayers(only: string | undefined): readonly LayerName[] {
  if (only === undefined) return layers
  const wanted = only.split(',')
  const unknown = wanted.filter((name) => !layers.some((layer) => layer === name))
  if (unknown.length > 0)
    throw new Error(`there is no layer ${unknown.join(', ')}; there are ${layers.join(', ')}`)
  return layers.filter((layer) => wanted.includes(layer))
}

/** Runs a layer in a process of its own, so that what one does to the engine's feedback does not slow the next. */
async function runLayer(layer: LayerName, quick: boolean): Promise<LayerResult> {
  const child = fork(fileURLToPath(new URL('./run-layer.js', import.meta.url)), [
    layer,
    quick ? 'quick' : 'full',
  ])
  return new Promise((resolve, reject) => {
    let suites: SuiteResult[] | undefined
    child.once('message', (message) => (suites = message as SuiteResult[]))
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (code === 0 && suites !== undefined) resolve({ layer, suites })
      else reject(new Error(`the benchmark of ${layer} ended with ${signal ?? String(code)}`))
    })
  })
}

const results: LayerResult[] = []
for (const layer of selectLayers(values.only)) {
  const result = await runLayer(layer, values.quick)
  console.log(terminalReport(result))
  results.push(result)
}
const { total, missed } = goalSummary(results)
console.log(`${total - missed.length} of ${total} goals met`)
for (const name of missed) console.log(`  not met: ${name}`)

const isComplete = values.only === undefined && !values.quick
const out =
  values.out ?? (isComplete ? fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url)) : undefined)
if (out !== undefined) {
  await writeFile(out, markdownReport(results))
  console.log(`wrote ${out}`)
}
