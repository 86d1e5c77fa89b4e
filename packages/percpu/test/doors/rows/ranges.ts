/** The operations of maps of ranges. */
import { types } from 'node:util'
import type { RangeBatch, RangeKeyKind, RangeView, SharedRangeMap } from 'percpu'
import * as kinds from '../kinds.js'
import { door, getting, use, using, type Row, type Use } from '../row.js'
import type { World } from '../world.js'

const { flag, func, name, optional, whole } = kinds

const point = whole(0, 2 ** 32 - 1)
/** One of two ends: `from` must not be behind `to`. */
const end: kinds.Kind = { name: 'end of a range', takes: (value) => point.takes(value) === true && 'maybe' }
const json: kinds.Kind = { name: 'what JSON can say', takes: () => 'maybe' }
const ranges: kinds.Kind = {
  name: 'ranges',
  takes: (value) => typeof value === 'object' && value !== null && 'maybe',
}
const changes: kinds.Kind = {
  name: 'changes',
  takes: (value) => typeof value === 'function' || ranges.takes(value),
}
const entries = optional(kinds.options({ from: optional(end), to: optional(end), reverse: optional(flag) }))
/** Without an option it is no map of anything. */
const mapOptions: kinds.Kind = {
  name: 'options of a map of ranges',
  takes: () => false,
  fields: {
    key: kinds.oneOf('u32', 'u53', 'u128', 'bytes'),
    value: kinds.oneOf('string', 'bytes', 'json', 'i32', 'u32', 'f64', 'u64'),
    create: kinds.create,
  },
}

const bounds: kinds.Kind = {
  name: 'two words',
  takes: (value) => types.isUint32Array(value) && value.length >= 2,
}

type Ranges = SharedRangeMap<number, unknown>

/** With one range, and one to come. */
function mapOf({ machine }: World): Ranges {
  const map = machine.rangeMap('ranges', { key: 'u32', value: 'json' })
  map.set(5, 9, 'a')
  return map
}
const reading = {
  lookup: [[point], [5]],
  find: [[point], [5]],
  before: [[point], [5]],
  after: [[point], [5]],
  nearest: [[point], [5]],
  locate: [
    [point, bounds],
    [5, new Uint32Array(2)],
  ],
  first: [[], []],
  last: [[], []],
  entries: [[entries], [{}]],
  keys: [[entries], [{}]],
  values: [[entries], [{}]],
} as const satisfies Partial<Record<keyof Ranges, readonly [readonly kinds.Kind[], readonly unknown[]]>>
type Reading = keyof typeof reading

/** In a view, made anew for each call. */
function inView(
  world: World,
  args: readonly unknown[],
  call: (view: Ranges, given: readonly unknown[]) => unknown,
): Use {
  const map = mapOf(world)
  return using(
    (...given: readonly unknown[]) =>
      map.snapshot((view: RangeView<number, unknown>) => call(view as unknown as Ranges, given)),
    args,
  )
}
const callOf = (method: Reading | typeof Symbol.iterator) => (view: Ranges, given: readonly unknown[]) =>
  applied(view, method, given)

function applied<T extends object>(object: T, method: keyof T, given: readonly unknown[]): unknown {
  const call: unknown = Reflect.get(object, method)
  return Reflect.apply(call as (...args: unknown[]) => unknown, object, given)
}

function inBatch(world: World, method: keyof RangeBatch<number, unknown>, args: readonly unknown[]): Use {
  const map = mapOf(world)
  return using(
    (...given: readonly unknown[]) =>
      map.batch((batch) => {
        applied(batch, method, given)
      }),
    args,
  )
}

function ofKind(key: RangeKeyKind, kind: kinds.Kind, from: unknown, how = ''): Row {
  return door(
    `SharedRangeMap.lookup of ${key}${how}`,
    [kind],
    ({ machine }) =>
      use(machine.rangeMap('other', { key, value: 'i32' }) as SharedRangeMap<unknown, number>, 'lookup', [
        from,
      ]),
    { isExtra: true },
  )
}
const wide: kinds.Kind = {
  name: 'bigint of 128 bits, or its words',
  takes: (value) =>
    typeof value === 'bigint'
      ? value >= 0n && value < 2n ** 128n
      : types.isUint32Array(value) && value.length === 4 && 'maybe',
}
const bytes: kinds.Kind = { name: 'bytes', takes: (value) => types.isUint8Array(value) && 'maybe' }

export const rangeRows: readonly Row[] = [
  door('Machine.rangeMap', [name, mapOptions], ({ machine }) =>
    use(machine, 'rangeMap', ['ranges', { key: 'u32', value: 'json' }]),
  ),
  ...(Object.keys(reading) as Reading[]).flatMap((method) => {
    const [takes, args] = reading[method]
    return [
      door(`SharedRangeMap.${method}`, takes, (world) => use(mapOf(world), method, args)),
      door(`RangeView.${method}`, takes, (world) => inView(world, args, callOf(method))),
    ]
  }),
  door('SharedRangeMap.[Symbol.iterator]', [], (world) => use(mapOf(world), Symbol.iterator)),
  door('RangeView.[Symbol.iterator]', [], (world) => inView(world, [], callOf(Symbol.iterator))),
  ...(['size', 'version'] as const).flatMap((property) => [
    door(`SharedRangeMap.${property}`, [], (world) => getting(mapOf(world), property)),
    door(`RangeView.${property}`, [], (world) => inView(world, [], (view) => view[property])),
  ]),
  door('SharedRangeMap.set', [end, end, json], (world) => use(mapOf(world), 'set', [7, 8, 'b'])),
  door('SharedRangeMap.delete', [end, end], (world) => {
    const map = mapOf(world)
    return use(map, 'delete', [5, 9], () => map.set(5, 9, 'a'))
  }),
  door('SharedRangeMap.clear', [], (world) => use(mapOf(world), 'clear')),
  door('SharedRangeMap.batch', [changes], (world) => use(mapOf(world), 'batch', [[[5, 6, 'b']]])),
  door('SharedRangeMap.batchAround', [changes, func], (world) =>
    use(mapOf(world), 'batchAround', [[[5, 6, 'b']], () => Promise.resolve()]),
  ),
  door('SharedRangeMap.load', [ranges], (world) => use(mapOf(world), 'load', [[[5, 6, 'b']]])),
  door(
    'SharedRangeMap.loadAsync',
    [ranges, optional(kinds.options({ signal: optional(kinds.signal) }))],
    (world) => use(mapOf(world), 'loadAsync', [[[5, 6, 'b']], {}]),
  ),
  door('SharedRangeMap.replace', [ranges], (world) => use(mapOf(world), 'replace', [[[5, 6, 'b']]])),
  door('SharedRangeMap.snapshot', [func], (world) => use(mapOf(world), 'snapshot', [() => 5])),
  door('SharedRangeMap.hold', [func], (world) => use(mapOf(world), 'hold', [() => 5])),
  door('SharedRangeMap.barrier', [optional(kinds.wait)], (world) => use(mapOf(world), 'barrier')),
  door('SharedRangeMap.barrierBlocking', [optional(kinds.wait)], (world) =>
    use(mapOf(world), 'barrierBlocking', [{ timeout: 1000 }]),
  ),
  door('SharedRangeMap.report', [], (world) => use(mapOf(world), 'report')),
  door('SharedRangeMap.verify', [], (world) => use(mapOf(world), 'verify')),
  door('RangeBatch.set', [end, end, json], (world) => inBatch(world, 'set', [7, 8, 'b'])),
  door('RangeBatch.delete', [end, end], (world) => inBatch(world, 'delete', [7, 8])),
  door('RangeBatch.clear', [], (world) => inBatch(world, 'clear', [])),
  ofKind('u53', whole(0, 2 ** 53 - 1), 1),
  ofKind('u128', wide, 1n),
  ofKind('u128', wide, Uint32Array.of(1, 2, 3, 4), ' from words'),
  ofKind('bytes', bytes, Uint8Array.of(1)),
]
