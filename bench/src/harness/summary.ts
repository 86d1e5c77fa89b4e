/** The first lines of docs/benchmarks.md: what a reader would use instead, and how it compares. */
import { markdownTable } from 'markdown-table'
import { formatValue, type LayerResult } from './report.js'
import type { SuiteResult } from './run.js'

interface Pick {
  readonly instead: string
  readonly what: string
  readonly layer: string
  /** How the title of the suite begins. */
  readonly suite: string
  readonly ours: string
  readonly theirs: string
}

const picks: readonly Pick[] = [
  {
    ...{ instead: 'a Map in each worker', what: 'memory, 4 workers', layer: 'map-threads' },
    ...{ suite: 'memory of a process', ours: 'one SharedMap, 4 workers', theirs: 'a Map each, 4 workers' },
  },
  {
    ...{ instead: 'a Map in each worker', what: 'a lookup, of a million names', layer: 'map' },
    ...{ suite: 'look up, 1', ours: 'SharedMap.get', theirs: 'Map.get' },
  },
  {
    ...{ instead: '`postMessage`', what: 'until 2 workers have an update', layer: 'map-threads' },
    ...{ suite: 'time until 2 workers', ours: 'SharedMap.set, others watch', theirs: 'postMessage to each' },
  },
  {
    ...{ instead: 'lmdb', what: 'a lookup, of a million names', layer: 'map' },
    ...{ suite: 'look up, 1', ours: 'SharedMap.get', theirs: 'lmdb, get' },
  },
  {
    ...{ instead: 'redis', what: 'a lookup, of 10,000 names', layer: 'map' },
    ...{ suite: 'look up a name', ours: 'SharedMap.get', theirs: 'redis, GET, one after another' },
  },
]

/** A table of five lines; empty if what it needs was not measured. */
export function summary(layers: readonly LayerResult[]): string {
  const lines = picks.map((pick) => {
    const suite = layers
      .find(({ layer }) => layer === pick.layer)
      ?.suites.find(({ title }) => title.startsWith(pick.suite))
    const [ours, theirs] = [pick.ours, pick.theirs].map((name) => valueOf(suite, name))
    if (suite === undefined || ours === undefined || theirs === undefined) return undefined
    const values = [ours, theirs].map((value) => `${formatValue(value)} ${suite.unit}`)
    return [pick.instead, pick.what, ...values, `${formatValue(ours / theirs)}×`]
  })
  if (lines.includes(undefined)) return ''
  const table = markdownTable(
    [['instead of', 'what', 'percpu', 'the other', 'by'], ...(lines as string[][])],
    {
      align: ['l', 'l', 'r', 'r', 'r'],
    },
  )
  return `## In five lines\n\n${table}\n`
}

function valueOf(suite: SuiteResult | undefined, name: string): number | undefined {
  const row = suite?.rows.find((each) => each.name === name)
  return row?.absent === undefined ? row?.value : undefined
}
