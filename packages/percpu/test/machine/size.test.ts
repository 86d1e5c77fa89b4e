/** Sizes as numbers and as text. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { throwsCode } from '../support/codes.js'

const { parseSize } = await import('../../dist/machine/size.js')

describe('a size', () => {
  it('is a whole number of bytes, or text with a unit', () => {
    const sizes: readonly (readonly [number | string, number])[] = [
      [0, 0],
      [1, 1],
      [2 ** 53 - 1, 2 ** 53 - 1],
      ['7 B', 7],
      ['3KiB', 3072],
      [' 0.5 MiB ', 2 ** 19],
      ['2 GiB', 2 ** 31],
    ]
    for (const [size, bytes] of sizes) assert.equal(parseSize(size, 'memory'), bytes, String(size))
  })

  it('is refused if it is anything else, by its name', () => {
    const wrong = [
      -1,
      0.5,
      NaN,
      Infinity,
      2 ** 53,
      '',
      '5',
      '5 kB',
      '-1 KiB',
      '0.3 KiB',
      '1 GiB or so',
      undefined,
    ]
    for (const size of wrong)
      throwsCode(() => parseSize(size as number, 'memory'), 'PERCPU_ARGUMENT', /^memory: .*(size|bytes)/)
  })
})
