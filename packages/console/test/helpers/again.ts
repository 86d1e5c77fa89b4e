/** Runs test files once more, in another Node or with something preloaded. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** A Node in which several threads can listen on one port, if it is installed. */
export const NEWER_NODE = fileURLToPath(
  new URL('../../../../runtimes/node_modules/node24/bin/node', import.meta.url),
)
/** How to install it. */
export const NEWER_NODE_FROM = 'npm ci --prefix runtimes'

const sabotage = new URL('./sabotage.js', import.meta.url).href
const preload = ['--import', sabotage]

/** Whether threads of this process can be sabotaged: see sabotage.ts. */
export const isSabotaged = process.execArgv.includes(sabotage)

export interface Outcome {
  readonly passed: number
  /** The tests that failed, and those in them: the name of each, and what it says about it. */
  readonly failed: readonly string[]
}

/**
 * Runs a compiled test file in a process of its own, in which threads can be sabotaged.
 *
 * @param file URL of the file
 * @param only pattern of the names of the tests
 */
export async function runAgain(node: string, file: string, only?: string): Promise<Outcome> {
  const chosen = only === undefined ? [] : [`--test-name-pattern=${only}`]
  const args = [...preload, '--test-reporter=tap', ...chosen, fileURLToPath(file)]
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env
  const stdout = await promisify(execFile)(node, args, { env, maxBuffer: 2 ** 26 }).then(
    (finished) => finished.stdout,
    // It tells of failures by its exit code as well.
    (error: unknown) => (error as { readonly stdout: string }).stdout,
  )
  const count = (what: string) => Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(stdout)?.[1])
  const failures = stdout.matchAll(/^( *)not ok \d+ - (.*)\n(?:\1 {2}---\n([^]*?)\n\1 {2}\.\.\.$)?/gm)
  const failed = [...failures].map(([, , name, said = '']) => `${name}\n${said}`)
  return { passed: count('pass'), failed }
}
