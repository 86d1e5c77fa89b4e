/** Processes that run the suites of a layer, of this checkout or of another one. */
import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { access, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SuiteResult } from './harness/run.js'
import type { EffortName } from './harness/suite.js'
import type { LayerName } from './layers.js'

/** Where the suites of this checkout are. */
export const ownSuites = fileURLToPath(new URL('.', import.meta.url))

/**
 * Runs a layer's suites in a process of their own: the type feedback that the engine gathers in one
 * layer may slow the next.
 */
export function runLayer(layer: LayerName, effort: EffortName, suites = ownSuites): Promise<SuiteResult[]> {
  return answerOf<SuiteResult[]>(suites, [layer, effort])
}

/** Runs the suite of this title in a process of its own; undefined if `suites` has none. */
export async function runSuiteOf(
  layer: LayerName,
  title: string,
  effort: EffortName,
  suites = ownSuites,
): Promise<SuiteResult | undefined> {
  const [result] = await answerOf<SuiteResult[]>(suites, [layer, effort, title])
  return result
}

/** The titles of a layer's suites, in their order. */
export function titlesOf(layer: LayerName, suites = ownSuites): Promise<string[]> {
  return answerOf<string[]>(suites, [layer])
}

/** What run-layer.js sends. */
async function answerOf<Answer>(suites: string, args: readonly string[]): Promise<Answer> {
  // As JSON an infinite ratio would become null.
  const child = fork(join(suites, 'run-layer.js'), args, { serialization: 'advanced' })
  return new Promise((resolve, reject) => {
    let answer: Answer | undefined
    child.once('message', (message) => (answer = message as Answer))
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      if (code === 0 && answer !== undefined) resolve(answer)
      else reject(new Error(`the benchmark of ${args.join(', ')} ended with ${signal ?? String(code)}`))
    })
  })
}

/**
 * Calls `use` with the directory of the suites of another checkout, which must be built. Its suites
 * use its library, and the harness of this checkout: they are copied to a directory for the time of
 * the call, beside the harness.
 */
export async function withSuitesOf<T>(checkout: string, use: (suites: string) => Promise<T>): Promise<T> {
  const built = resolve(checkout, 'bench/dist')
  await access(join(built, 'run-layer.js')).catch(() => {
    throw new Error(`${checkout} is no checkout that is built: there is no ${built}/run-layer.js`)
  })
  const root = await mkdtemp(join(tmpdir(), 'percpu-bench-'))
  try {
    const suites = join(root, 'bench')
    await mkdir(suites)
    await writeFile(join(root, 'package.json'), '{ "type": "module" }')
    await symlink(resolve(checkout, 'node_modules'), join(root, 'node_modules'), 'dir')
    await cp(built, suites, { recursive: true })
    const native = resolve(checkout, 'bench/native')
    if (existsSync(native)) await cp(native, join(root, 'native'), { recursive: true })
    await rm(join(suites, 'harness'), { recursive: true })
    await cp(join(ownSuites, 'harness'), join(suites, 'harness'), { recursive: true })
    await cp(join(ownSuites, 'run-layer.js'), join(suites, 'run-layer.js'))
    return await use(suites)
  } finally {
    await rm(root, { recursive: true })
  }
}
