/** What calls fail with, by the codes of errors. */
import assert from 'node:assert/strict'

interface Coded extends Error {
  readonly code?: unknown
}

/**
 * The code of the library's error that `run` throws; 'none' if it throws nothing. Other errors
 * pass.
 */
export function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    const { code } = error as Coded
    if (typeof code !== 'string' || !code.startsWith('PERCPU_')) throw error
    return code
  }
}

/** Asserts that `run` throws an error of this code. */
export function throwsCode(run: () => unknown, code: string, message?: RegExp): void {
  assert.throws(run, hasCode(code, message))
}
/** Asserts that the promise is rejected with an error of this code. */
export async function rejectsCode(promise: Promise<unknown>, code: string, message?: RegExp): Promise<void> {
  await assert.rejects(promise, hasCode(code, message))
}

function hasCode(code: string, message: RegExp | undefined): (error: Coded) => true {
  return (error) => {
    assert.equal(error.code, code, `${error.stack} has code ${String(error.code)}`)
    if (message) assert.match(error.message, message)
    return true
  }
}
