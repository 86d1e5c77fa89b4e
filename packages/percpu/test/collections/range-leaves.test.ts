/** Changes at the edges of leaves: what lies in the leaf beside counts as well. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh } from '../support/machines.js'
import { orders, RangeModel } from './support/range-model.js'

/** Boundaries of a node with keys of 53 bits. */
const CAPACITY = 40
/** So many that inner nodes have neighbours, too. */
const COUNT = CAPACITY * CAPACITY * 2 + CAPACITY
const edges = [1, 2, 3, CAPACITY, CAPACITY + 1, 2 * CAPACITY].map((leaf) => leaf * CAPACITY)

describe('changes at the edge of a leaf', () => {
  const machine = fresh({ memory: '64 MiB', cpus: 1 })
  const map = machine.rangeMap('edges', { key: 'u53', value: 'u32' })
  const filled = (): RangeModel<number, number> => {
    const model = new RangeModel<number, number>(orders.u53, Object.is)
    const ranges = Array.from({ length: COUNT }, (_, i) => [i, i, i + 1] as const)
    map.load(ranges)
    for (const range of ranges) model.set(...range)
    return model
  }
  const check = (model: RangeModel<number, number>): void => {
    map.verify()
    assert.deepEqual([...map], model.ranges)
    assert.equal(map.size, model.ranges.length)
  }
  const ways: Record<string, (at: number) => [number, number, number?]> = {
    'ends with the value of the leaf behind': (at) => [at - 1, at - 1, at + 1],
    'begins with the value of the leaf before': (at) => [at, at, at],
    'ends, and another one goes on behind': (at) => [at - 1, at - 1, 7_000_000],
    'begins in a leaf, and ends in the next': (at) => [at - 1, at, 7_000_000],
    'takes a whole leaf away': (at) => [at - CAPACITY, at + CAPACITY],
    'goes on behind a leaf that ends with it': (at) => [at - CAPACITY, at - 1, at + 1],
  }
  for (const [name, rangeAt] of Object.entries(ways))
    it(name, () => {
      const model = filled()
      for (const at of edges) {
        const [from, to, value] = rangeAt(at)
        if (value === undefined) {
          map.delete(from, to)
          model.delete(from, to)
        } else {
          map.set(from, to, value)
          model.set(from, to, value)
        }
      }
      check(model)
      const all = filled()
      map.batch((batch) => {
        for (const at of edges) {
          const [from, to, value] = rangeAt(at)
          if (value === undefined) {
            batch.delete(from, to)
            all.delete(from, to)
          } else {
            batch.set(from, to, value)
            all.set(from, to, value)
          }
        }
      })
      check(all)
    })

  it('many in one leaf cut it in several', () => {
    const model = filled()
    map.batch((batch) => {
      for (let i = 0; i < 3 * CAPACITY; i++) {
        const key = COUNT + 3 * i
        batch.set(key, key, i)
        model.set(key, key, i)
      }
    })
    check(model)
  })

  it('keys of bytes that others got are not part of a larger buffer', () => {
    const bytes = machine.rangeMap('bytes', { key: 'bytes', value: 'bytes' })
    const key = Uint8Array.of(1, 2)
    bytes.batch([[key, key, Uint8Array.of(3)]])
    const found = bytes.first()
    assert.ok(found)
    assert.deepEqual(
      [found.from, found.to, found.value].map(({ buffer }) => buffer.byteLength),
      [2, 2, 1],
    )
    assert.throws(
      () =>
        bytes.load([
          [key, key, key],
          [key, key, key],
        ]),
      ({ details }: { details: { from: Uint8Array } }) => details.from.buffer.byteLength === 2,
    )
  })
})
