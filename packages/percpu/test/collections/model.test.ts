/** A map against a Map of the language: drawn calls, keys of all kinds, two CPUs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { MapKeyKind, MapKeys, MapValueKind, MapValues, SharedMap } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

/** Few, so that keys meet; those that could be taken for each other among them. */
const keys: { readonly [Kind in MapKeyKind]: readonly MapKeys[Kind][] } = {
  string: [
    '',
    '\0',
    '\0\0',
    'a',
    'a\0',
    'é',
    '\ud800',
    '\udc00',
    '\ud800\udc00',
    '\ufeff',
    '\ufffd',
    'x'.repeat(4095),
  ],
  bytes: [[], [0], [0, 0], [1, 2, 3], [1, 2, 3, 0], [255, 255, 255, 255]].map((bytes) =>
    Uint8Array.from(bytes),
  ),
  i32: [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)],
  u32: [0, 1, 2 ** 31, 2 ** 32 - 1],
  u53: [0, 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1],
  u64: [0n, 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n],
}
const more: { readonly [Kind in MapKeyKind]: (n: number) => MapKeys[Kind] } = {
  string: (n) => `key ${n}`,
  bytes: (n) => Uint8Array.of(9, n & 255, n >>> 8),
  i32: (n) => n,
  u32: (n) => n,
  u53: (n) => n * 2 ** 33,
  u64: (n) => BigInt(n) << 40n,
}
const values: { readonly [Kind in MapValueKind]: readonly MapValues[Kind][] } = {
  string: ['', 'a', 'ab\0', 'é€𐍈', '\udfff', '\ufeffx', 'long '.repeat(300), 'ü'.repeat(60)],
  bytes: [Uint8Array.of(), Uint8Array.of(1, 2, 3, 4, 5), new Uint8Array(700).fill(7)],
  json: [null, false, 0, '', [1, { a: 'é' }], { b: [] }],
  i32: [0, -1, 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  f64: [0, -0, NaN, Infinity, 0.1],
  u64: [0n, 2n ** 64n - 1n],
}

/** A key of the model: the same for equal keys. */
const nameOf = (key: unknown): string => (typeof key === 'string' ? `"${key}` : String(key))

function compare<K, V>(map: SharedMap<K, V>, model: ReadonlyMap<string, readonly [K, V]>): void {
  assert.equal(map.size, model.size)
  for (const [key, value] of model.values()) {
    assert.ok(map.has(key))
    assert.deepEqual(map.get(key), value)
  }
  const found = new Map([...map].map(([key, value]) => [nameOf(key), [key, value] as const]))
  assert.deepEqual(found, new Map(model))
  map.verify({ quiet: true })
}

type Call = readonly [
  call: 'set' | 'delete' | 'take' | 'insert' | 'exchange' | 'update' | 'clear',
  key: number,
  value: number,
]
const calls = fc.array(
  fc.tuple(
    fc.oneof(
      { weight: 100, arbitrary: fc.constant('set' as const) },
      { weight: 40, arbitrary: fc.constantFrom('delete' as const, 'take' as const) },
      { weight: 30, arbitrary: fc.constantFrom('insert' as const, 'exchange' as const, 'update' as const) },
      { weight: 1, arbitrary: fc.constant('clear' as const) },
    ),
    fc.nat(150),
    fc.nat(20),
  ),
  { maxLength: 400, size: 'max' },
)

function run<K, V>(
  maps: readonly SharedMap<K, V>[],
  keyAt: (n: number) => K,
  all: readonly V[],
  list: readonly Call[],
): void {
  const model = new Map<string, readonly [K, V]>()
  const valueAt = (n: number): V => all[n % all.length] as V
  for (const [at, [call, keyNumber, n]] of list.entries()) {
    const map = maps[at % maps.length] ?? assert.fail()
    const key = keyAt(keyNumber)
    const name = nameOf(key)
    const known = model.get(name)
    const value = valueAt(n)
    if (call === 'set') {
      map.set(key, value)
      model.set(name, [key, value])
    } else if (call === 'delete') assert.equal(map.delete(key), model.delete(name))
    else if (call === 'take') {
      assert.deepEqual(map.take(key), known?.[1])
      model.delete(name)
    } else if (call === 'insert') {
      assert.deepEqual(map.getOrInsert(key, value), known ? known[1] : value)
      if (!known) model.set(name, [key, value])
    } else if (call === 'exchange') {
      const expected = n % 3 === 0 ? undefined : n % 3 === 1 ? known?.[1] : valueAt(n + 1)
      const isSame = known === undefined ? expected === undefined : Object.is(known[1], expected)
      assert.equal(map.compareAndSet(key, expected, value), isSame)
      if (isSame) model.set(name, [key, value])
    } else if (call === 'update') {
      const changed = map.update(key, (old) => {
        assert.deepEqual(old, known?.[1])
        return n % 4 === 0 ? undefined : value
      })
      if (changed === undefined) model.delete(name)
      else model.set(name, [key, value])
    } else {
      map.clear()
      model.clear()
    }
  }
  for (const map of maps) compare(map, model)
}

describe('a map does what a Map does', () => {
  const kinds = Object.keys(values) as MapValueKind[]
  for (const [at, key] of (Object.keys(keys) as MapKeyKind[]).entries())
    for (const value of new Set<MapValueKind>([kinds[at] ?? 'f64', 'json', 'string']))
      it(`with keys of kind ${key} and values of kind ${value}`, () => {
        const special = keys[key] as readonly never[]
        const keyAt = (n: number): never => (n < special.length ? special[n] : more[key](n)) as never
        fc.assert(
          fc.property(calls, (list) => {
            const machine = fresh({ memory: '2 MiB', cpus: 2, debugHeap: value === 'string' })
            const options = { key, value }
            const maps = [machine.map('m', options), joinAs(machine, 101).map('m', options)]
            run(maps as SharedMap<never, unknown>[], keyAt, values[value], list)
          }),
          { numRuns: 8, seed: Number(process.env['PERCPU_SEED'] ?? 5) },
        )
      })
})
