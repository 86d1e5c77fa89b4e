/** Checks of arguments that tell more than that something is wrong. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ArgumentError } from 'percpu'

const { checkCpus } = await import('../../dist/machine/check.js')

describe('a list of CPUs', () => {
  it('that cannot be gone through is refused, with what it threw as the cause', () => {
    const cause = new Error('no list')
    const list: Iterable<number> = {
      [Symbol.iterator]() {
        throw cause
      },
    }
    assert.throws(
      () => checkCpus(list, 4),
      (error) =>
        error instanceof ArgumentError && /cannot be listed/.test(error.message) && error.cause === cause,
    )
  })
})
