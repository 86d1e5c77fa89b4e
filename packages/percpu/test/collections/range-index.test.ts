/** The index of a large map of ranges: what it says is what the nodes say, whatever is changed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ArgumentError, type MapValueKind, type MapValues } from 'percpu'
import { fresh } from '../support/machines.js'

/** The same numbers in each run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Ranges close together and far apart, so that there are blocks and pages of all kinds. */
function* drawn(random: (below: number) => number): Generator<[number, number, number]> {
  for (let from = random(100); from < 2 ** 32;) {
    const wide = [4, 300, 2 ** 14, 2 ** 21][random(4)] ?? 1
    const to = Math.min(2 ** 32 - 1, from + random(wide))
    yield [from, to, random(5)]
    from = to + 1 + (random(3) === 0 ? random(wide * 2) : 0)
    if (random(60) === 0) from = (from + 2 ** 25) & ~(2 ** 14 - 1)
    if (from < 0) from += 2 ** 32
    if (from <= to) return
  }
}

const values: { readonly [Kind in MapValueKind]?: readonly MapValues[Kind][] } = {
  u32: [0, 1, 2 ** 30 - 1, 2 ** 30, 2 ** 32 - 1],
  i32: [0, -1, 1, 2 ** 30, -(2 ** 31)],
  f64: [0, -0, 0.5, 2 ** 40, 7],
  string: ['', 'a', 'b', 'c', 'dd'],
}

describe('the index of a map of ranges says what its nodes say', () => {
  const machine = fresh({ memory: '64 MiB', cpus: 2 })
  for (const kind of Object.keys(values) as (keyof typeof values)[])
    it(`with values of kind ${kind}`, async () => {
      const random = randomOf(kind.length * 7 + 1)
      const map = machine.rangeMap<'u32', MapValueKind>(`index ${kind}`, {
        key: 'u32',
        value: kind,
      })
      const held = values[kind] ?? []
      const list = [...drawn(random)].slice(0, 5000).map(([from, to, n]) => [from, to, held[n]] as const)
      assert.ok(list.length > 4000)
      map.load(list)
      const bounds = new Uint32Array(2)
      const look = (key: number): void => {
        const found = map.lookup(key)
        const range = map.find(key)
        assert.ok(Object.is(found, range?.value), `key ${key}`)
        bounds.fill(1)
        assert.ok(Object.is(map.locate(key, bounds), found), `key ${key}`)
        assert.deepEqual([...bounds], range === undefined ? [1, 1] : [range.from, range.to])
      }
      for (let round = 0; round < 40; round++) {
        const [from = 0, to = 0] = list[random(list.length)] ?? []
        const end = Math.min(2 ** 32 - 1, to + random([2, 2 ** 10, 2 ** 16, 2 ** 23][round % 4] ?? 1))
        if (round % 3 === 0) map.delete(from, end)
        else map.set(from, end, held[random(5)])
        for (const key of [from - 1, from, end, end + 1]) if (key >= 0 && key < 2 ** 32) look(key)
        if (round % 12 === 0) map.verify()
      }
      map.batch(list.slice(0, 50).map(([from, to], i) => [from, to, held[i % 5]] as const))
      map.replace(list)
      map.verify()
      for (let i = 0; i < 500; i++) look(random(2 ** 32))
      for (const [from, to, value] of list.slice(0, 400))
        for (const key of [from, to]) assert.ok(Object.is(map.lookup(key), value))
      // With few it has none.
      map.delete(0, list[list.length - 300]?.[1] ?? 0)
      map.verify()
      look(list.at(-1)?.[0] ?? 0)
      map.clear()
      await map.barrier()
    })
})

describe('a page of the index that is full', () => {
  const machine = fresh({ memory: '64 MiB', cpus: 2 })
  it('has no place for what changes before the end have moved', () => {
    const map = machine.rangeMap('full', { key: 'u32', value: 'u32' })
    const list = Array.from({ length: 26_000 }, (_, i) => [i * 40, i * 40 + 9, i] as const)
    map.load(list)
    map.batch(list.slice(0, 5000).map(([from], i) => [from + 2, from + 5, 30_000 + i]))
    map.verify()
    for (const [from, , value] of list) assert.equal(map.lookup(from), value)
  })
})

describe('a range is found as words', () => {
  const machine = fresh({ memory: '64 MiB', cpus: 2 })
  const wide = (words: readonly number[]): bigint =>
    words.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n)
  it('with keys of 128 bits', () => {
    const random = randomOf(3)
    const map = machine.rangeMap('wide', { key: 'u128', value: 'string' })
    const points = Array.from({ length: 600 }, () => {
      const [one = 0, two = 0, three = 0, four = 0] = [2, 3, 2 ** 32, 2 ** 32].map(random)
      return wide([one, two * (2 ** 32 - 1), three, four])
    }).sort((a, b) => (a < b ? -1 : 1))
    for (let i = 0; i + 1 < points.length; i += 2)
      map.set(points[i] ?? 0n, points[i + 1] ?? 0n, String(random(5)))
    map.set(2n ** 128n - 1n, 2n ** 128n - 1n, 'last')
    const bounds = new Uint32Array(9)
    for (const key of [...points, 0n, 2n ** 128n - 1n, ...points.map((point) => point + 1n)]) {
      const range = map.find(key)
      bounds.fill(7)
      assert.equal(map.locate(key, bounds), range?.value)
      assert.equal(wide([...bounds.subarray(0, 4)]), range?.from ?? wide([7, 7, 7, 7]))
      assert.equal(wide([...bounds.subarray(4, 8)]), range?.to ?? wide([7, 7, 7, 7]))
      assert.equal(bounds[8], 7)
    }
  })
  it('also in a view; not with other keys, nor in too little room', () => {
    const map = machine.rangeMap('narrow', { key: 'u32', value: 'u32' }).set(0, 2 ** 32 - 1, 5)
    const bounds = new Uint32Array(2)
    assert.equal(
      map.snapshot((view) => view.locate(9, bounds)),
      5,
    )
    assert.deepEqual([...bounds], [0, 2 ** 32 - 1])
    assert.throws(() => map.locate(9, new Uint32Array(1)), ArgumentError)
    const other = machine.rangeMap('other', { key: 'u53', value: 'u32' }).set(0, 5, 1)
    assert.throws(() => other.locate(1, new Uint32Array(9)), ArgumentError)
  })
})
