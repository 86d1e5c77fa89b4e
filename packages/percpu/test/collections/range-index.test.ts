/** The index of a large map of ranges: what it says is what the nodes say, whatever is changed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { MapValueKind, MapValues } from 'percpu'
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
      const look = (key: number): void => {
        const found = map.lookup(key)
        assert.ok(Object.is(found, map.find(key)?.value), `key ${key}`)
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
