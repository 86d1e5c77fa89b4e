/** Memory of threads that all need the same map: a suite of map-threads.ts. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Measure, Row, Suite } from './harness/suite.js'
import { NAMES, type MapKind } from './map-memory-worker.js'

/** Resident set of a process with so many workers, in MiB. Measured once: it hardly changes. */
function residentSet(kind: MapKind, workers: number): Measure {
  let result: Promise<number> | undefined
  return () => (result ??= runChild(kind, workers))
}

async function runChild(kind: MapKind, workers: number): Promise<number> {
  const file = fileURLToPath(new URL('./map-memory-child.js', import.meta.url))
  const child = fork(file, [kind, String(workers)], { execArgv: ['--expose-gc'] })
  const exit = once(child, 'exit')
  const [value] = (await once(child, 'message')) as [number]
  await exit
  return value
}

const kinds = { shared: 'one SharedMap', private: 'a Map each', none: 'no map' } as const
export const memorySuite: Suite = {
  title: `memory of a process, ${NAMES.toLocaleString('en')} names and a number each`,
  unit: 'MiB',
  take: 'median',
  note:
    'Resident set with workers that have looked up all names, and have collected their garbage. The process of ' +
    'the SharedMap has loaded it itself.',
  rows: [1, 2, 4].flatMap((workers) =>
    (['shared', 'private', 'none'] as const).map((kind): Row => {
      const name = (which: MapKind) => `${kinds[which]}, ${workers} worker${workers === 1 ? '' : 's'}`
      return {
        name: name(kind),
        role: kind === 'shared' ? 'ours' : kind === 'private' ? 'peer' : 'floor',
        ...(kind === 'shared' ? { compareWith: name('private') } : {}),
        measure: residentSet(kind, workers),
      }
    }),
  ),
}
