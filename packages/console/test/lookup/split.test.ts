/** Cutting a stream into batches loses, adds and reorders nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LineSplitter, MalformedInputError } from 'percpu-console'

const text = fc
  .array(fc.stringMatching(/^[a-z0-9.:]{0,30}$/), { maxLength: 60 })
  .map((lines) => lines.join('\n'))

/**
 * All batches for an input in pieces; `takeEarly` says after which pieces what is there is taken at
 * once.
 */
function batchesOf(pieces: readonly Buffer[], batchBytes: number, takeEarly: readonly boolean[]): Buffer[] {
  const splitter = new LineSplitter(batchBytes)
  const batches: Buffer[] = []
  const take = (batch: Uint8Array | undefined) => {
    if (batch) batches.push(Buffer.from(batch))
  }
  pieces.forEach((piece, i) => {
    for (let at = 0; at < piece.length;) {
      at = splitter.push(piece, at)
      if (splitter.isFull) take(splitter.take())
    }
    if (takeEarly[i % takeEarly.length] === true) take(splitter.take())
  })
  take(splitter.finish())
  return batches
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

test('batches are the input, cut at line ends only', () => {
  fc.assert(
    fc.property(
      text,
      fc.integer({ min: 40, max: 200 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
      fc.array(fc.boolean(), { minLength: 1 }),
      (input, batchBytes, sizes, takeEarly) => {
        const batches = batchesOf(cut(Buffer.from(input), sizes), batchBytes, takeEarly)
        assert.equal(Buffer.concat(batches).toString(), input)
        for (const batch of batches.slice(0, -1)) assert.equal(batch.at(-1), 0x0a)
        for (const batch of batches) assert.ok(batch.length > 0 && batch.length <= batchBytes)
      },
    ),
  )
})

test('a line longer than a batch is refused with its position', () => {
  const splitter = new LineSplitter(64)
  const input = Buffer.from(`1.1.1.1\n${'9'.repeat(100)}`)
  let at = splitter.push(input, 0)
  assert.equal(splitter.take()?.length, 8)
  assert.throws(
    () => {
      while (at < input.length) at = splitter.push(input, at)
    },
    (error) => error instanceof MalformedInputError && error.details['position'] === 8,
  )
})
