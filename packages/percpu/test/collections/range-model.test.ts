/** A map of ranges against a sorted array: drawn calls, keys of all kinds, two CPUs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { MapValueKind, MapValues, RangeKeyKind, RangeKeys, SharedRangeMap } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'
import { orders, RangeModel, type Order } from './support/range-model.js'

/** Keys near both ends, side by side and apart, and in between. */
const numbered = (greatest: number): number[] => [
  ...Array.from({ length: 12 }, (_, i) => i),
  ...Array.from({ length: 150 }, (_, i) => 1000 + i * 3),
  ...Array.from({ length: 12 }, (_, i) => greatest - i),
]
const points: { readonly [Kind in RangeKeyKind]: readonly RangeKeys[Kind][] } = {
  u32: [...numbered(2 ** 32 - 1), 2 ** 31 - 1, 2 ** 31],
  u53: [...numbered(2 ** 53 - 1), 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52],
  u128: [
    ...numbered(5000).map(BigInt),
    ...[32n, 64n, 96n, 127n].flatMap((bits) => [-1n, 0n, 1n].map((by) => 2n ** bits + by)),
    ...Array.from({ length: 5 }, (_, i) => 2n ** 128n - 1n - BigInt(i)),
  ],
  bytes: [
    [],
    ...[0, 1, 127, 128, 254, 255].flatMap((a) => [
      [a],
      [a, 0],
      [a, 0, 0],
      [a, 255],
      [a, 7, 9],
      [a, 255, 255],
    ]),
    ...Array.from({ length: 40 }, (_, i) => [100, i]),
    new Array<number>(255).fill(0),
    new Array<number>(255).fill(255),
    [...new Array<number>(254).fill(255), 254],
    [97, ...new Array<number>(254).fill(255)],
    [97, ...new Array<number>(253).fill(255), 7],
    [98],
  ].map((bytes) => Uint8Array.from(bytes)),
}
const values: { readonly [Kind in MapValueKind]: readonly MapValues[Kind][] } = {
  string: ['', 'a', 'é€', 'long '.repeat(100)],
  bytes: [Uint8Array.of(), Uint8Array.of(1, 2, 3), new Uint8Array(300).fill(7)],
  json: [null, 0, [1, { a: 'é' }]],
  i32: [0, -1, 2 ** 31 - 1],
  u32: [0, 1, 2 ** 32 - 1],
  f64: [0, -0, NaN, 0.1],
  u64: [0n, 1n, 2n ** 64n - 1n],
}

type Call = readonly [
  call: 'set' | 'delete' | 'batch' | 'replace' | 'load' | 'clear' | 'fill',
  from: number,
  to: number,
  value: number,
]
const calls = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 12, arbitrary: fc.constant('set' as const) },
      { weight: 6, arbitrary: fc.constant('delete' as const) },
      { weight: 3, arbitrary: fc.constantFrom('batch' as const, 'fill' as const) },
      { weight: 1, arbitrary: fc.constantFrom('replace' as const, 'load' as const, 'clear' as const) },
    ),
    fc.nat(300),
    fc.nat(300),
    fc.nat(20),
  ),
  { minLength: 1, maxLength: 40 },
)

const isSame = (one: unknown, other: unknown): boolean =>
  Object.is(one, other) ||
  (typeof one === 'object' && typeof other === 'object' && JSON.stringify(one) === JSON.stringify(other))

class Pair<K, V> {
  readonly map: SharedRangeMap<K, V>
  readonly model: RangeModel<K, V>
  readonly #order: Order<K>
  readonly #points: readonly K[]
  readonly #values: readonly V[]

  constructor(map: SharedRangeMap<K, V>, order: Order<K>, list: readonly K[], held: readonly V[]) {
    this.map = map
    this.model = new RangeModel<K, V>(order, isSame)
    this.#order = order
    this.#points = [...list].sort((one, other) => order.compare(one, other))
    this.#values = held
  }

  point(n: number): K {
    return this.#points[n % this.#points.length] as K
  }
  value(n: number): V {
    return this.#values[n % this.#values.length] as V
  }
  ends(one: number, other: number): readonly [K, K] {
    const keys = [this.point(one), this.point(other)] as const
    return this.#order.compare(...keys) <= 0 ? keys : [keys[1], keys[0]]
  }

  make(writer: SharedRangeMap<K, V>, [call, one, other, number]: Call): void {
    const { model } = this
    const [from, to] = this.ends(one, other)
    const value = this.value(number)
    if (call === 'set') {
      writer.set(from, to, value)
      model.set(from, to, value)
    } else if (call === 'delete') assert.equal(writer.delete(from, to), model.delete(from, to))
    else if (call === 'clear') {
      writer.clear()
      model.clear()
    } else if (call === 'fill') {
      // Many, so that nodes are split; single keys.
      writer.batch((batch) => {
        for (const [i, key] of this.#points.entries()) {
          if (i % 2 !== one % 2) continue
          batch.set(key, key, this.value(i + number))
          model.set(key, key, this.value(i + number))
        }
      })
    } else if (call === 'batch') {
      const [low, high] = this.ends(one + 7, other + 30)
      writer.batch([
        [from, to, value],
        [low, high],
        [low, low, value],
      ])
      model.set(from, to, value)
      model.delete(low, high)
      model.set(low, low, value)
    } else {
      model.delete(from, to)
      if (number % 2 === 0) model.set(from, from, value)
      const list = model.ranges.map((range) => [range.from, range.to, range.value] as const)
      if (call === 'load') writer.load(list)
      else writer.replace(list)
    }
  }

  compare(): void {
    const { map, model } = this
    const { ranges } = model
    map.verify()
    assert.equal(map.size, ranges.length)
    assert.deepEqual([...map], ranges)
    assert.deepEqual([...map.entries({ reverse: true })], ranges.toReversed())
    assert.deepEqual(
      [...map.keys()],
      ranges.map(({ from, to }) => [from, to]),
    )
    assert.deepEqual(
      [...map.values()],
      ranges.map(({ value }) => value),
    )
    assert.deepEqual(map.first(), ranges[0])
    assert.deepEqual(map.last(), ranges.at(-1))
  }
  compareAt(n: number): void {
    const { map, model } = this
    const key = this.point(n)
    assert.deepEqual(map.find(key), model.find(key))
    assert.deepEqual(map.lookup(key), model.find(key)?.value)
    assert.deepEqual(map.before(key), model.before(key))
    assert.deepEqual(map.after(key), model.after(key))
    const [from, to] = this.ends(n, n * 7 + 3)
    assert.deepEqual([...map.entries({ from, to })], model.within(from, to))
    assert.deepEqual([...map.entries({ from, to, reverse: true })], model.within(from, to).toReversed())
  }
}

describe('a map of ranges is a sorted array of them', () => {
  const machine = fresh({ memory: '64 MiB', cpus: 2 })
  const other = joinAs(machine, 100)
  let number = 0
  const check = async (key: RangeKeyKind, value: MapValueKind, numRuns: number): Promise<void> => {
    await fc.assert(
      fc.asyncProperty(calls, fc.nat(1000), async (list, seed) => {
        const name = `map ${number++}`
        const [map, second] = [machine, other].map(
          (each) => each.rangeMap(name, { key, value }) as unknown as SharedRangeMap<unknown, unknown>,
        )
        assert.ok(map && second)
        const pair = new Pair(map, orders[key] as Order<unknown>, points[key], values[value])
        for (const [i, call] of list.entries()) {
          pair.make((i + seed) % 3 === 0 ? second : map, call)
          if (i % 8 === 7) pair.compare()
        }
        pair.compare()
        for (let i = 0; i < 12; i++) pair.compareAt(seed + i * 13)
        map.clear()
        await map.barrier()
      }),
      { numRuns },
    )
  }
  const kinds: readonly (readonly [RangeKeyKind, MapValueKind, number])[] = [
    ['u32', 'u32', 25],
    ['u53', 'i32', 15],
    ['u128', 'f64', 15],
    ['bytes', 'u64', 15],
    ['u32', 'string', 15],
    ['u53', 'json', 8],
    ['bytes', 'bytes', 10],
  ]
  for (const [key, value, runs] of kinds)
    it(`with keys of kind ${key} and values of kind ${value}`, () => check(key, value, runs))

  it('whose nodes and values are freed when they are not there any more', async () => {
    const map = machine.rangeMap('freed', { key: 'u32', value: 'string' })
    map.set(0, 1, 'a')
    map.clear()
    await map.barrier()
    const before = machine.heap.allocations().length
    for (let i = 0; i < 600; i++) map.set(i * 10, i * 10 + 4, `value ${i}`)
    map.set(3, 4000, 'all')
    map.batch((batch) => {
      for (let i = 0; i < 300; i++) batch.set(i * 7, i * 7 + 3, `value ${i}`)
    })
    map.replace([[5, 6, 'a']])
    map.load([[5, 6, 'b']])
    map.clear()
    await map.barrier()
    assert.equal(machine.heap.allocations().length, before)
    machine.heap.verify()
  })
})
