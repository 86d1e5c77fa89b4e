// Runs programs, within a bound of time.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'

/** ms after which a program is ended. The suite takes some 5 s, 30 s on a busy machine. */
export const BOUND = 300_000

/** Resolves with what a program printed. Rejects if it is not there, failed, or took too long. */
export function runProgram(file, args, { cwd, env = process.env, bound = BOUND }) {
  if (file.includes('/') && !existsSync(file))
    return Promise.reject(new Error(`not installed: ${file} (npm ci --prefix runtimes)`))
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, timeout: bound, killSignal: 'SIGKILL' })
    let [output, errors] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (errors += text))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output)
      else reject(new Error(`${args.at(-1)} ended with ${signal ?? code}\n${output}${errors}`))
    })
  })
}

/** What is between the outcomes of several programs and the columns of a row. */
export async function attempt(run) {
  try {
    return (await run()) ?? 'yes'
  } catch (error) {
    return { failure: error.message }
  }
}

/** `yes`, or the checks of the suite that failed. */
export function judge({ outcomes }) {
  const wrong = outcomes.filter(({ outcome }) => outcome !== 'yes')
  if (outcomes.length === 0) throw new Error('the suite checked nothing')
  if (wrong.length > 0) throw new Error(wrong.map(({ name, outcome }) => `${name}: ${outcome}`).join('\n'))
  return 'yes'
}
