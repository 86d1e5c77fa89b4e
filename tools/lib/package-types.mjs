// Compiles a strict program against an installed percpu: with the oldest TypeScript that can and
// with today's, as bundlers and as Node find modules, and with and without the types of Node. The
// declarations of the packages are checked as well.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
const compilers = { 5.4: 'typescript-5.4', 'of today': 'typescript' }
/** Each compiler meets both ways to find modules, with and without the types of Node. */
const settings = [
  { version: '5.4', resolution: 'nodenext', node: false },
  { version: '5.4', resolution: 'bundler', node: true },
  { version: 'of today', resolution: 'nodenext', node: true },
  { version: 'of today', resolution: 'bundler', node: false },
]

const program = `
import { address, atomic, boot, join, published, struct, u32, PercpuError } from 'percpu'
import type { Machine, MachineHandle } from 'percpu'
import 'percpu/mem'
import { ArgumentError, PercpuError as Base, type PercpuErrorCode } from 'percpu/errors'

const code: PercpuErrorCode = new ArgumentError('wrong').code
export const isSame: typeof PercpuError = Base

const Price = struct('Price', { cents: published(u32) })
const Root = struct('Root', { current: atomic(address(Price)) })

export function main(): MachineHandle {
  const machine: Machine = boot({ memory: '16 MiB', cpus: 3 })
  const prices = machine.heap.cache('price', Price)
  const root = machine.objects.create('root', Root)
  root.current.store(prices.create((price) => (price.cents = 100)).address)
  const map = machine.map('settings', { key: 'string', value: 'u32' })
  map.set('limit', 60)
  const limit: number | undefined = map.get('limit')
  // @ts-expect-error a value of this map is a number
  map.set('limit', 'sixty')
  // @ts-expect-error there is no such field
  root.previous
  return limit === 60 ? machine.handle : machine.handle
}
export async function worker(handle: MachineHandle): Promise<number> {
  const machine = join(handle)
  const root = machine.objects.open('root', Root)
  try {
    return root.follow.current?.cents ?? 0
  } catch (error) {
    if (error instanceof PercpuError) return error.code.length
    throw error
  } finally {
    await machine.offline()
  }
}
`
const withNode = `
import { Worker, parentPort, workerData } from 'node:worker_threads'
import { boot, join, type MachineHandle } from 'percpu'
import { serveInspection } from 'percpu-console'
import { explore, percpu, type ExploreReport } from 'percpu-lab'

const Words = percpu.struct('Words', { flag: percpu.atomic(percpu.i32) })
const report: Promise<ExploreReport> = explore('a flag', (t) => {
  const words = t.memory(Words)
  t.cpu(0, () => words.flag.store(1))
  // @ts-expect-error there is no such field
  t.finally(() => words.flags)
})
void report.then(({ executions }) => executions.toFixed())

const machine = boot({ cpus: 2 })
machine.supervise(new Worker(new URL('worker.js', import.meta.url), { workerData: machine.handle }))
parentPort?.postMessage(join(workerData as MachineHandle).online)
`

/** What the compilers say of programs in `project`, which has percpu and @types/node. */
export function typeProblems(project) {
  writeFileSync(path.join(project, 'program.ts'), program)
  writeFileSync(path.join(project, 'with-node.ts'), withNode)
  return settings.flatMap(({ version, resolution, node }) => {
    const what = `TypeScript ${version}, ${resolution}${node ? ', with @types/node' : ''}`
    const found = compile(project, compilers[version], options(resolution, node))
    return found.map((problem) => `${what}: ${problem}`)
  })
}

function options(resolution, node) {
  return {
    compilerOptions: {
      strict: true,
      noEmit: true,
      skipLibCheck: node,
      target: 'es2022',
      lib: ['es2022'],
      module: resolution === 'bundler' ? 'esnext' : 'nodenext',
      moduleResolution: resolution,
      types: node ? ['node'] : [],
    },
    files: node ? ['program.ts', 'with-node.ts'] : ['program.ts'],
  }
}

function compile(project, compiler, config) {
  const file = path.join(project, 'tsconfig.json')
  writeFileSync(file, JSON.stringify(config))
  const { stdout, status, error } = spawnSync(
    process.execPath,
    [require.resolve(`${compiler}/bin/tsc`), '-p', file],
    { encoding: 'utf8' },
  )
  if (error) return [error.message]
  return status === 0 ? [] : [stdout]
}
