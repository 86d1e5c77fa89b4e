/** Programs of the system that tests need, such as a browser. */
import { existsSync } from 'node:fs'
import path from 'node:path'

/**
 * Why tests that need a program cannot run here, or false. A name is looked for in PATH. Where
 * everything must run (`PERCPU_TEST_EVERYTHING`), as in continuous integration, a missing program
 * is an error.
 */
export function missing(program: string, how: string): string | false {
  const folders = program.includes('/') ? [''] : (process.env['PATH'] ?? '').split(path.delimiter)
  if (folders.some((folder) => existsSync(path.join(folder, program)))) return false
  const reason = `there is no ${program}: ${how}`
  if (process.env['PERCPU_TEST_EVERYTHING'] !== undefined) throw new Error(reason)
  return reason
}
