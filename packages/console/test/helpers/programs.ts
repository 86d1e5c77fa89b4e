/** Programs of the system that tests need, such as a browser. */
import { existsSync } from 'node:fs'

/**
 * Why tests that need a program cannot run here, or false. Where everything must run
 * (`PERCPU_TEST_EVERYTHING`), as in continuous integration, a missing program is an error.
 */
export function missing(path: string, how: string): string | false {
  if (existsSync(path)) return false
  const reason = `there is no ${path}: ${how}`
  if (process.env['PERCPU_TEST_EVERYTHING'] !== undefined) throw new Error(reason)
  return reason
}
