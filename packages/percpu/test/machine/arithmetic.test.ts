/** Sizes, powers of two and hashes: what is stored with them must be the same for every version. */
import assert from 'node:assert/strict'
import { it } from 'node:test'

const { hashNumbers, hashText, isPowerOfTwo, powerOfTwoAbove, powerOfTwoBelow, roundUp } =
  await import('../../dist/arithmetic.js')

it('powers of two are told from their neighbours, and found around any size', () => {
  for (let exponent = 2; exponent <= 52; exponent++) {
    const power = 2 ** exponent
    assert.deepEqual([power - 1, power, power + 1].map(isPowerOfTwo), [false, true, false], `${power}`)
    assert.deepEqual([power, power + 1].map(powerOfTwoBelow), [power, power])
    if (exponent < 45) assert.deepEqual([power, power - 1].map(powerOfTwoAbove), [power, power])
  }
  assert.deepEqual([1, 2, 0, -1, -2, 0.5, NaN, Infinity, 2 ** 53].map(isPowerOfTwo), [
    ...[true, true],
    ...Array.from({ length: 7 }, () => false),
  ])
  assert.equal(isPowerOfTwo('4' as unknown as number), false)
  assert.deepEqual(
    [0, 1, 63, 64, 65].map((size) => roundUp(size, 64)),
    [0, 64, 64, 64, 128],
  )
})

it('hashes are those of FNV-1a, unsigned', () => {
  const known = { '': 0x811c9dc5, a: 0xe40c292c, b: 0xe70c2de5, foobar: 0xbf9cf968 }
  for (const [text, hash] of Object.entries(known)) {
    assert.equal(hashText(text), hash)
    assert.equal(hashNumbers(Array.from(text, (_, at) => text.charCodeAt(at))), hash)
  }
  assert.equal(hashNumbers([-1]), hashNumbers([2 ** 32 - 1]))
  assert.notEqual(hashNumbers([1, 2]), hashNumbers([2, 1]))
})
