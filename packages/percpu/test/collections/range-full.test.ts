/** Maps of ranges with memory full: parts can be taken away, and then others be set again. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OutOfMemoryError, type Machine, type RangeKeyKind, type SharedRangeMap } from 'percpu'
import { fresh } from '../support/machines.js'
import { fillUp } from './support/full.js'

type Texts = SharedRangeMap<number, string>
const texts = { key: 'u32', value: 'string' } as const
const many = (count: number): [number, number, string][] =>
  Array.from({ length: count }, (_, i) => [i * 10, i * 10 + 5, `value ${i}`])

/** Without memory, whatever was freed before. */
async function full<K, V>(machine: Machine, map: SharedRangeMap<K, V>): Promise<() => void> {
  await map.barrier()
  const taken = fillUp(machine)
  return () => {
    for (const address of taken) machine.heap.free(address)
  }
}

describe('with memory full a map of ranges', () => {
  for (const count of [1, 5, 61, 400, 3000])
    it(`of ${count} ranges is cut anywhere, and gives its reserve back`, async () => {
      const machine = fresh({ memory: '2 MiB' })
      const map = machine.rangeMap('m', texts)
      map.set(1, 2, 'once')
      map.clear()
      await map.barrier()
      const before = machine.heap.allocations().length
      map.load(many(count))
      for (const at of [0, Math.floor(count / 2), count - 1]) {
        const relieve = await full(machine, map)
        assert.throws(() => map.set(at * 10 + 1, at * 10 + 1, 'other'), OutOfMemoryError)
        const { version } = map
        assert.ok(map.delete(at * 10 + 2, at * 10 + 3))
        assert.equal(map.version, version + 1)
        map.verify()
        const found = [1, 2, 3, 4, 5].map((i) => map.lookup(at * 10 + i))
        const value = `value ${at}`
        assert.deepEqual(found, [value, undefined, undefined, value, value])
        relieve()
        // It has a reserve again.
        map.set(at * 10 + 2, at * 10 + 3, value)
        assert.equal(map.size, count)
        map.verify()
      }
      map.clear()
      await map.barrier()
      assert.equal(machine.heap.allocations().length, before)
      machine.heap.verify({ quiet: true })
    })

  it('is emptied part by part, and filled again', async () => {
    const machine = fresh({ memory: '640 KiB' })
    const map = machine.rangeMap('m', texts)
    const fill = (): number => {
      for (let i = 0; ; i++)
        try {
          map.set(i * 10, i * 10 + 5, 'some text '.repeat(i % 20))
        } catch (error) {
          assert.ok(error instanceof OutOfMemoryError)
          return i
        }
    }
    const counts: number[] = []
    for (let round = 0; round < 2; round++) {
      let count = fill()
      // Much is to be freed yet.
      for (let more = 0; more < 5; more++) {
        await map.barrier()
        count = Math.max(count, fill())
      }
      counts.push(map.size)
      for (let i = 0; map.size > 1; i++) {
        map.delete(Math.max(0, i * 10 - 1), i * 10 + (i % 3 === 0 ? 2 : 6))
        if (i % 3 === 0) map.delete(i * 10, i * 10 + 9)
        await map.barrier()
      }
      map.verify()
    }
    assert.ok(Math.min(...counts) > 50, String(counts))
    machine.heap.verify({ quiet: true })
  })

  for (const key of ['u53', 'u128', 'bytes'] as const satisfies readonly RangeKeyKind[])
    it(`with keys of kind ${key} has a reserve for all of its nodes`, async () => {
      const machine = fresh({ memory: '2 MiB' })
      const map = machine.rangeMap('m', { key, value: 'u32' }) as SharedRangeMap<unknown, number>
      const keyOf = {
        u53: (i: number) => i,
        u128: (i: number) => BigInt(i),
        bytes: (i: number) => new TextEncoder().encode(String(i).padStart(40, '0')),
      }[key]
      map.load(many(500).map(([from, to], i) => [keyOf(from), keyOf(to), i] as const))
      const relieve = await full(machine, map)
      assert.ok(map.delete(keyOf(2502), keyOf(2503)))
      assert.deepEqual(
        [map.lookup(keyOf(2501)), map.lookup(keyOf(2502)), map.lookup(keyOf(2504))],
        [250, undefined, 250],
      )
      map.verify()
      assert.throws(() => map.delete(keyOf(1502), keyOf(1503)), OutOfMemoryError)
      relieve()
      await map.barrier()
      assert.ok(map.delete(keyOf(1502), keyOf(1503)))
      map.verify()
      machine.heap.verify({ quiet: true })
    })

  it('loses its index where the version has no room for it, whether or not its pages have', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = machine.rangeMap('m', { key: 'u32', value: 'u32' })
    const width = 2 ** 20
    const from = (i: number): number => i * width
    map.load(Array.from({ length: 2500 }, (_, i) => [from(i), from(i + 1) - 1, i * 3] as const))
    const relieve = await full(machine, map)
    // Of whole words of the index: that takes no page.
    assert.ok(map.delete(from(70), from(71) - 1))
    map.verify()
    assert.deepEqual(
      [69, 70, 71].map((i) => map.lookup(from(i))),
      [207, undefined, 213],
    )
    relieve()
    await map.barrier()
    map.set(from(70), from(71) - 1, 1)
    map.verify()
    map.clear()
    await map.barrier()
    machine.heap.verify({ quiet: true })
  })

  it('is relieved by a batch of deletions, and not by others', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const map: Texts = machine.rangeMap('m', texts)
    map.load(many(40))
    await full(machine, map)
    assert.throws(
      () =>
        map.batch([
          [0, 5],
          [7, 7, 'new'],
        ]),
      OutOfMemoryError,
    )
    map.batch([
      [2, 3],
      [11, 102],
    ])
    assert.equal(map.size, 33)
    assert.equal(map.lookup(103), 'value 10')
    map.verify()
  })
})
