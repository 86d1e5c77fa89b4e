/**
 * A JSON array of strings becomes lines; what is no such array is refused, exactly when JSON.parse
 * and a look at it would.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonArrayFlattener, MalformedInputError } from 'percpu-console'

function flatten(bytes: Buffer, pieceSize: number): string {
  const flattener = new JsonArrayFlattener()
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += pieceSize)
    pieces.push(flattener.push(bytes.subarray(at, at + pieceSize)))
  flattener.finish()
  return Buffer.concat(pieces).toString()
}

/** The strings, or undefined if the lines hold anything else. */
function stringsOf(bytes: Buffer, pieceSize: number): string[] | undefined {
  try {
    const lines = flatten(bytes, pieceSize)
    if (lines === '') return []
    const values = lines.split('\n').map((line) => JSON.parse(line) as unknown)
    return values.every((value) => typeof value === 'string') ? values : undefined
  } catch (error) {
    if (error instanceof MalformedInputError || error instanceof SyntaxError) return undefined
    throw error
  }
}

function expectedOf(bytes: Buffer): string[] | undefined {
  try {
    const value = JSON.parse(bytes.toString()) as unknown
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined
  } catch {
    return undefined
  }
}

const strings = fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.ipV4(), fc.string()), { maxLength: 8 })
const spacing = fc.constantFrom(undefined, ' ', '\t', 2, 7)
const pieceSize = fc.integer({ min: 1, max: 40 })

test('arrays of strings become their strings, whatever the spacing and the pieces', () => {
  fc.assert(
    fc.property(strings, spacing, pieceSize, (values, space, size) => {
      assert.deepEqual(stringsOf(Buffer.from(JSON.stringify(values, undefined, space)), size), values)
    }),
    { numRuns: 2000 },
  )
})

test('changed, cut and extended arrays are taken or refused as JSON.parse would', () => {
  const structural = fc.constantFrom(...Buffer.from('[]{},:"\\ \n\t0a1-tn'))
  fc.assert(
    fc.property(
      strings,
      spacing,
      pieceSize,
      fc.nat(),
      structural,
      fc.constantFrom(0, 1, 2),
      (values, space, size, at, byte, change) => {
        const bytes = Buffer.from(JSON.stringify(values, undefined, space))
        const position = at % (bytes.length + 1)
        const changed = Buffer.concat([
          bytes.subarray(0, position),
          Buffer.from([byte]),
          bytes.subarray(position + change),
        ])
        assert.deepEqual(stringsOf(changed, size), expectedOf(changed))
      },
    ),
    { numRuns: 5000 },
  )
})

for (const [input, message] of [
  ['', /ends at byte 0.*beginning with '\['/],
  ['{"a":1}', /byte 0: expected a JSON array of strings.*found '\{'/],
  ['["1.1.1.1", 5]', /byte 12, after string 1: expected a string, found '5'/],
  ['["1.1.1.1"', /ends at byte 10.*expected ',' or '\]'/],
  ['["a" "b"]', /byte 5, after string 1: expected ',' or '\]', found '"'/],
  ['["a"],', /byte 5, after string 1: expected nothing after the array/],
  ['["a\n"]', /byte 3.*byte 0x0a/],
] as const) {
  test(`${JSON.stringify(input)} is refused with the place`, () => {
    assert.throws(
      () => flatten(Buffer.from(input), 3),
      (error) => error instanceof MalformedInputError && message.test(error.message),
    )
  })
}
