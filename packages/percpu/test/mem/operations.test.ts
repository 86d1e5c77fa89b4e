import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import * as mem from 'percpu/mem'
import { copyIn, copyOut, createBuffer, openMemory } from 'percpu/mem'
import { allOperations, bigintOperations, numberOperations, type Operation } from './support/operations.js'

const length = 32

/**
 * The operation does to shared memory what its model does to private memory, at every index and to
 * no other byte.
 */
function comparesWithModel<Value>(operation: Operation<Value>): void {
  const shared = openMemory(createBuffer(length))
  const { size, step, value } = operation
  const index = fc.integer({ min: 0, max: Math.floor((length - size) / step) })
  const bytes = fc.uint8Array({ minLength: length, maxLength: length })
  fc.assert(
    fc.property(bytes, index, value, value, fc.boolean(), (initial, at, first, second, matching) => {
      const expectedBytes = initial.slice()
      const words = new DataView(expectedBytes.buffer)
      copyIn(shared, 0, initial)
      // Half of the time the first argument is what the word holds, so that a compare-and-exchange
      // succeeds.
      const argument = matching ? operation.read(words, at * step) : first
      const expected = operation.model(words, at * step, argument, second)
      const result = operation.run(shared, at, argument, second)
      assert.ok(Object.is(result, expected), `returned ${String(result)}, not ${String(expected)}`)
      assert.deepEqual(copyOut(shared, 0, length), expectedBytes)
    }),
    { numRuns: 200 },
  )
}

for (const operation of numberOperations)
  test(`${operation.name} does what its model does`, () => comparesWithModel(operation))
for (const operation of bigintOperations)
  test(`${operation.name} does what its model does`, () => comparesWithModel(operation))

test('every function that accesses a word has a model', () => {
  const words = Object.keys(mem).filter((name) =>
    /^(load|store|add|sub|and|or|exchange|compareExchange)/.test(name),
  )
  assert.deepEqual(allOperations.map(({ name }) => name).sort(), words.sort())
})

test('outside the memory a plain load gives undefined and a plain store does nothing', () => {
  const memory = openMemory(createBuffer(length))
  for (const { name, view, size, run } of allOperations) {
    if (view === 'bytes' || name.includes('Atomic')) continue
    for (const index of [-1, length / size]) assert.equal(run(memory, index), undefined, name)
  }
  assert.deepEqual(copyOut(memory, 0, length), new Uint8Array(length))
})

test('outside the memory byte-addressed and atomic accesses throw and write nothing', () => {
  const memory = openMemory(createBuffer(length))
  for (const { name, view, size, step, run } of allOperations) {
    if (view !== 'bytes' && !name.includes('Atomic')) continue
    for (const index of [-1, (length - size) / step + 1])
      assert.throws(() => run(memory, index), RangeError, name)
  }
  assert.deepEqual(copyOut(memory, 0, length), new Uint8Array(length))
})
