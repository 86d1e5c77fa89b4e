/** Checks of arguments that tell more than that something is wrong. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ArgumentError } from 'percpu'

const { checkChoice, checkCpus, checkObject, checkPlace } = await import('../../dist/machine/check.js')

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

describe('what is missing', () => {
  it('is said to be, and no value of a wrong kind', () => {
    const message = /^it is missing: /
    assert.throws(() => checkChoice('it', undefined, ['a', 'b']), { code: 'PERCPU_ARGUMENT', message })
    assert.throws(() => checkObject('it', undefined), { code: 'PERCPU_ARGUMENT', message })
  })
})

describe('a place for an object', () => {
  it('may end where the memory ends, and no later', () => {
    const memory = { reserved: 4096, byteLength: 8192 }
    const place = (address: number, size: number): void =>
      checkPlace('address', address, memory, { name: 'Thing', size, align: 8 })
    place(4096, 4096)
    place(8184, 8)
    for (const [address, size] of [
      [4088, 8],
      [8184, 16],
      [8192, 8],
      [8180, 8],
    ] as const)
      assert.throws(() => place(address, size), ArgumentError)
  })
})
