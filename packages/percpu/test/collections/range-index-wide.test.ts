/**
 * The index of a large map of ranges with keys of 128 bits: what it says is what a sorted array
 * says, whatever is changed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MapValueKind, MapValues, SharedRangeMap } from 'percpu'
import { fresh } from '../support/machines.js'
import { orders, RangeModel } from './support/range-model.js'

const LAST = 2n ** 128n - 1n

/** The same numbers in each run. */
class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed
  }
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * limit)
  }
  bits(count: number): bigint {
    let sum = 0n
    for (let i = 0; i < 4; i++) sum = (sum << 32n) | BigInt(this.below(2 ** 32))
    return BigInt.asUintN(count, sum)
  }
}

type Drawn = readonly [from: bigint, to: bigint, value: number]
/** Where ranges are close together: at the ends, and around places that the index cuts at. */
const places = [0n, 0x2001n << 112n, 0x2a00n << 112n, (0x2a02n << 112n) | (7n << 90n), 0xfefn << 116n]
/** Ranges of all sizes, which are cut in many ways; in their order. */
function drawn(random: Random): readonly Drawn[] {
  const list: Drawn[] = []
  for (const [n, place] of places.entries()) {
    let from = place
    for (let i = 0; i < 900; i++) {
      const size = [3, 40, 77, 78, 79, 80, 84, 90, 96][random.below(i < 600 ? 6 : 9)] ?? 0
      const cut = BigInt([0, 78, 80, 92][random.below(4)] ?? 0)
      const to = (((from + random.bits(size)) >> cut) << cut) + (1n << cut) - 1n
      list.push([from, to, random.below(5)])
      from = to + 1n + (random.below(3) === 0 ? random.bits(size) : 0n)
    }
    assert.ok(from < (places[n + 1] ?? LAST))
  }
  return [...list, [LAST - 7n, LAST - 5n, 1], [LAST, LAST, 2]]
}
/** As many ranges of the same length close together, as need pages of blocks of all sizes. */
const dense = Array.from({ length: 6000 }, (_, i): Drawn => {
  const from = (0x2001_0db8n << 96n) + (BigInt(i) << 80n)
  return [from, from + (1n << 79n) - 1n, i % 5]
})

const values: { readonly [Kind in MapValueKind]?: readonly MapValues[Kind][] } = {
  u32: [0, 1, 2 ** 30 - 1, 2 ** 30, 2 ** 32 - 1],
  string: ['', 'a', 'b', 'c', 'dd'],
}

const wordsOf = (key: bigint): Uint32Array =>
  Uint32Array.from([96n, 64n, 32n, 0n], (shift) => Number((key >> shift) & 0xffff_ffffn))

type Value = MapValues[MapValueKind]
class Pair {
  readonly map: SharedRangeMap<bigint, Value>
  readonly model = new RangeModel<bigint, Value>(orders.u128)
  readonly #bounds = new Uint32Array(8)

  constructor(map: SharedRangeMap<bigint, Value>, list: readonly (readonly [bigint, bigint, Value])[]) {
    this.map = map
    map.load(list)
    this.model.ranges = list.map(([from, to, value]) => ({ from, to, value }))
    // Those with equal values side by side become one.
    this.model.delete(LAST, LAST)
    map.delete(LAST, LAST)
  }

  set(from: bigint, to: bigint, value: Value): void {
    this.map.set(from, to, value)
    this.model.set(from, to, value)
  }
  delete(from: bigint, to: bigint): void {
    assert.equal(this.map.delete(from, to), this.model.delete(from, to))
  }
  /** What the model says of a key is found, however one looks. */
  look(key: bigint): void {
    if (key < 0n || key > LAST) return
    const range = this.model.find(key)
    assert.deepEqual(this.map.find(key), range)
    assert.equal(this.map.lookup(key), range?.value)
    const words = wordsOf(key)
    assert.equal(this.map.lookup(words), range?.value)
    this.#bounds.fill(1)
    assert.equal(this.map.locate(words, this.#bounds), range?.value)
    const ends =
      range === undefined ? new Uint32Array(8).fill(1) : [...wordsOf(range.from), ...wordsOf(range.to)]
    assert.deepEqual([...this.#bounds], [...ends], key.toString(16))
  }
}

describe('the index of a map of ranges with keys of 128 bits says what a sorted array says', () => {
  const machine = fresh({ memory: '64 MiB', cpus: 2 })
  for (const kind of Object.keys(values) as (keyof typeof values)[])
    for (const [name, list] of [
      ['all over', drawn(new Random(kind.length))],
      ['close together', dense],
    ] as const)
      it(`with values of kind ${kind}, ${name}`, async () => {
        const random = new Random(list.length + kind.length)
        const map = machine.rangeMap<'u128', MapValueKind>(`${kind} ${name}`, { key: 'u128', value: kind })
        const held = values[kind] ?? []
        const all = list.map(([from, to, n]) => [from, to, held[n]] as const)
        const pair = new Pair(map, all)
        map.verify()
        for (let i = 0; i < 100; i++) {
          const [from, to] = all[random.below(all.length)] ?? assert.fail()
          for (const key of [from - 1n, from, to, to + 1n]) pair.look(key)
        }
        for (let round = 0; round < 40; round++) {
          const [from, to] = all[random.below(all.length)] ?? assert.fail()
          const low = round % 2 === 0 ? from : from + random.bits(4)
          const size = [1, 60, 79, 85, 97, 117][round % 6] ?? 0
          let high = (to < low ? low : to) + random.bits(size)
          if (high > LAST) high = LAST
          if (round % 3 === 0) pair.delete(low, high)
          else pair.set(low, high, held[random.below(5)])
          for (const key of [low - 1n, low, high, high + 1n, low + random.bits(80)]) pair.look(key)
          if (round % 8 === 0) map.verify()
        }
        pair.set(0n, 0n, held[1])
        pair.set(LAST, LAST, held[2])
        for (const key of [0n, 1n, LAST - 1n, LAST]) pair.look(key)
        map.batch(all.slice(0, 50).map(([from, to], i) => [from, to, held[i % 5]] as const))
        map.verify()
        map.replace(all)
        map.verify()
        assert.equal(map.lookup(all[9]?.[0] ?? 0n), all[9]?.[2])
        map.clear()
        await map.barrier()
      })
})

describe('the pages of an index', () => {
  it('are freed with the versions that had them', async () => {
    const machine = fresh({ memory: '16 MiB', cpus: 2 })
    const map = machine.rangeMap('pages', { key: 'u128', value: 'u32' })
    // Without ranges there is one version.
    const left = (): number => machine.heap.allocations().filter(({ size }) => size < 4096).length
    const list = [...drawn(new Random(5)), ...dense].sort(([one], [other]) => orders.u128.compare(one, other))
    map.load(list)
    for (const bits of [80n, 86n, 92n, 98n, 104n, 117n])
      for (const place of [0x2001n << 112n, 0x2001_0db8n << 96n, 0x2a00n << 112n]) {
        map.set(place, place + (1n << bits), 7)
        map.load(list)
        map.delete(place, place + (1n << bits))
        await map.barrier()
      }
    map.verify()
    map.clear()
    await map.barrier()
    machine.heap.verify({ quiet: true })
    assert.equal(left(), 1)
  })
})
