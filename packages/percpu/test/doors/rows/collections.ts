/** The operations of maps and rings. */
import { types } from 'node:util'
import {
  json as typedJson,
  type MapKeyKind,
  type MapValueKind,
  type SharedMap,
  type SharedRing,
} from 'percpu'
import * as kinds from '../kinds.js'
import { door, free, getting, use, using, type Row } from '../row.js'
import { Pair, type World } from '../world.js'

const { flag, func, name, optional, text, whole } = kinds

const json: kinds.Kind = { name: 'what JSON can say', takes: () => 'maybe' }
const pairs: kinds.Kind = {
  name: 'pairs',
  takes: (value) => typeof value === 'object' && value !== null && 'maybe',
}
const messages: kinds.Kind = { ...pairs, name: 'messages' }
const sizeHint: kinds.Kind = {
  name: 'size hint',
  takes: (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 2 ** 31 && 'maybe',
}
/** Without an option it is no map of anything. */
const mapOptions: kinds.Kind = {
  name: 'options of a map',
  takes: () => false,
  fields: {
    key: kinds.oneOf('string', 'bytes', 'i32', 'u32', 'u53', 'u64'),
    value: kinds.oneOf('string', 'bytes', 'json', 'i32', 'u32', 'f64', 'u64'),
    cache: optional(whole(0, 2 ** 24, 'number of values')),
    hold: optional(flag),
    stats: optional(flag),
    capacity: optional(whole(1, 2 ** 31 - 1, 'number of entries')),
    ttl: optional(whole(1, 2 ** 52, 'milliseconds')),
    create: kinds.create,
  },
}

const listening = kinds.options({ signal: optional(kinds.signal) })
/** Who listens keeps the process alive. */
const off = (end: () => void): void => {
  end()
}

/** With an entry `'a'`. */
function mapOf({ machine }: World): SharedMap<string, unknown> {
  const map = machine.map('map', { key: 'string', value: 'json' })
  map.set('a', 1)
  return map
}

const setOptions = kinds.options({ ttl: optional(whole(1, 2 ** 52, 'milliseconds')) })
/** With an entry `'a'`, whose time is long. */
function cacheOf({ machine }: World): SharedMap<string, unknown> {
  const cache = machine.map('cache', { key: 'string', value: 'json', ttl: 100_000, capacity: 3 })
  cache.set('a', 1)
  return cache
}

/** A key or a value of another kind. */
function ofKind(
  key: MapKeyKind,
  value: MapValueKind,
  kind: kinds.Kind,
  set: readonly [unknown, unknown],
): Row {
  const takes = key === 'string' ? [text, kind] : [kind, kinds.int32]
  return door(
    `SharedMap.set of ${key} and ${value}`,
    takes,
    ({ machine }) => use(machine.map('other', { key, value }) as SharedMap<unknown, unknown>, 'set', set),
    { isExtra: true },
  )
}
const bytes: kinds.Kind = {
  name: 'bytes',
  takes: (value) => types.isUint8Array(value) && 'maybe',
}
const wide: kinds.Kind = {
  name: 'bigint of 64 bits',
  takes: (value) => typeof value === 'bigint' && value >= 0n && value < 2n ** 64n,
}

const pair: kinds.Kind = {
  name: 'plain object of a Pair',
  takes: (value) => typeof value === 'object' && value !== null && 'maybe',
}
/** A kind, or a struct. */
const ringOptions: kinds.Kind = kinds.options({
  value: optional({ name: 'kind or struct', takes: kinds.struct.takes }),
  bytes: optional({ name: 'bytes', takes: (value) => kinds.size.takes(value) && 'maybe' }),
  create: kinds.create,
})
/** With a message `'a'`, and room for more. */
function ringOf({ machine }: World): SharedRing<unknown> {
  const ring = machine.ring('ring', { value: 'json', bytes: 4096 })
  ring.trySend('a')
  return ring
}
/** A message of another kind. */
function ringOfKind(value: MapValueKind, kind: kinds.Kind, message: unknown): Row {
  const make = ({ machine }: World) =>
    use(machine.ring<MapValueKind>('other', { value }), 'trySend', [message])
  return door(`SharedRing.trySend of ${value}`, [kind], make, { isExtra: true })
}

export const collectionRows: readonly Row[] = [
  door('Machine.map', [name, mapOptions], ({ machine }) =>
    use(machine, 'map', ['a map', { key: 'string', value: 'json' }]),
  ),
  free('json', [], () => using(typedJson, [])),
  door(
    'Machine.remove',
    [kinds.oneOf('map', 'rangeMap', 'ring', 'space', 'sparseArray'), name, optional(kinds.wait)],
    ({ machine }) => {
      const make = () => machine.ring('removed', { value: 'json' })
      make()
      return use(machine, 'remove', ['ring', 'removed'], make)
    },
  ),
  door('SharedMap.get', [text], (world) => use(mapOf(world), 'get', ['a'])),
  door('SharedMap.view', [text, func], (world) => use(mapOf(world), 'view', ['a', () => 1])),
  door('SharedMap.hold', [text, func], ({ machine }) => {
    const map = machine.map('held', { key: 'string', value: 'json', hold: true })
    map.set('a', 1)
    return use(map, 'hold', ['a', () => 1])
  }),
  door('SharedMap.has', [text], (world) => use(mapOf(world), 'has', ['a'])),
  door('SharedMap.set', [text, json, optional(setOptions)], (world) =>
    use(cacheOf(world), 'set', ['a', 2, { ttl: 5 }]),
  ),
  door('SharedMap.delete', [text], (world) => {
    const map = mapOf(world)
    return use(map, 'delete', ['a'], () => map.set('a', 1))
  }),
  door('SharedMap.take', [text], (world) => {
    const map = mapOf(world)
    return use(map, 'take', ['a'], () => map.set('a', 1))
  }),
  door('SharedMap.size', [], (world) => getting(mapOf(world), 'size')),
  door('SharedMap.update', [text, func, optional(setOptions)], (world) =>
    use(cacheOf(world), 'update', ['a', () => 2, { ttl: 5 }]),
  ),
  door('SharedMap.compareAndSet', [text, json, json, optional(setOptions)], (world) =>
    use(cacheOf(world), 'compareAndSet', ['a', 1, 1, { ttl: 5000 }]),
  ),
  door('SharedMap.getOrInsert', [text, json, optional(setOptions)], (world) =>
    use(cacheOf(world), 'getOrInsert', ['b', 2, { ttl: 5 }]),
  ),
  door('SharedMap.getOrInsertComputed', [text, func, optional(setOptions)], (world) =>
    use(cacheOf(world), 'getOrInsertComputed', ['b', () => 2, { ttl: 5 }]),
  ),
  door('SharedMap.setMany', [pairs], (world) => use(mapOf(world), 'setMany', [[['a', 1]]])),
  door('SharedMap.load', [pairs, optional(kinds.options({ sizeHint: optional(sizeHint) }))], (world) =>
    use(mapOf(world), 'load', [[['a', 1]], {}]),
  ),
  door(
    'SharedMap.loadAsync',
    [pairs, optional(kinds.options({ sizeHint: optional(sizeHint), signal: optional(kinds.signal) }))],
    (world) => use(mapOf(world), 'loadAsync', [[['a', 1]], {}]),
  ),
  door('SharedMap.clear', [], (world) => use(mapOf(world), 'clear')),
  door('SharedMap.evict', [whole(0, 2 ** 31 - 1, 'number of entries')], (world) =>
    use(cacheOf(world), 'evict', [1]),
  ),
  ...(['entries', 'keys', 'values'] as const).map((method) =>
    door(`SharedMap.${method}`, [], (world) => use(mapOf(world), method)),
  ),
  door('SharedMap.[Symbol.iterator]', [], (world) => use(mapOf(world), Symbol.iterator)),
  door('SharedMap.forEach', [func], (world) => use(mapOf(world), 'forEach', [() => undefined])),
  door('SharedMap.barrier', [optional(kinds.wait)], (world) => use(mapOf(world), 'barrier')),
  door('SharedMap.barrierBlocking', [optional(kinds.wait)], (world) =>
    use(mapOf(world), 'barrierBlocking', [{ timeout: 1000 }]),
  ),
  door('SharedMap.on', [kinds.oneOf('change'), func, optional(listening)], (world) =>
    use(mapOf(world), 'on', ['change', () => undefined, {}], off),
  ),
  door('SharedMap.watch', [text, func, optional(listening)], (world) =>
    use(mapOf(world), 'watch', ['a', () => undefined, {}], off),
  ),
  door('SharedMap.report', [], (world) => use(mapOf(world), 'report')),
  door('SharedMap.verify', [optional(kinds.options({ quiet: optional(flag) }))], (world) =>
    use(mapOf(world), 'verify', [{}]),
  ),
  ofKind('bytes', 'i32', bytes, [Uint8Array.of(1), 1]),
  ofKind('i32', 'i32', kinds.int32, [1, 1]),
  ofKind('u32', 'i32', whole(0, 2 ** 32 - 1), [1, 1]),
  ofKind('u53', 'i32', whole(0, 2 ** 53 - 1), [1, 1]),
  ofKind('u64', 'i32', wide, [1n, 1]),
  ofKind('string', 'bytes', bytes, ['a', Uint8Array.of(1)]),
  ofKind('string', 'f64', kinds.number, ['a', 0.5]),
  door('Machine.ring', [name, optional(ringOptions)], ({ machine }) =>
    use(machine, 'ring', ['a ring', { value: 'json', bytes: 1000 }]),
  ),
  ...(['trySend', 'send', 'sendAsync'] as const).map((method) =>
    door(`SharedRing.${method}`, method === 'trySend' ? [json] : [json, optional(kinds.wait)], (world) => {
      const ring = ringOf(world)
      return use(ring, method, ['b'], () => ring.tryReceive())
    }),
  ),
  ...(['trySendMany', 'sendMany', 'sendManyAsync'] as const).map((method) =>
    door(
      `SharedRing.${method}`,
      method === 'trySendMany' ? [messages] : [messages, optional(kinds.wait)],
      (world) => {
        const ring = ringOf(world)
        return use(ring, method, [['b', 'c']], () => ring.receiveMany(2))
      },
    ),
  ),
  ...(['tryReceive', 'receive', 'receiveAsync'] as const).map((method) =>
    door(`SharedRing.${method}`, method === 'tryReceive' ? [] : [optional(kinds.wait)], (world) => {
      const ring = ringOf(world)
      return use(ring, method, [], () => ring.trySend('a'))
    }),
  ),
  door('SharedRing.peek', [], (world) => use(ringOf(world), 'peek')),
  door('SharedRing.receiveMany', [whole(1, Number.MAX_SAFE_INTEGER)], (world) =>
    use(ringOf(world), 'receiveMany', [2]),
  ),
  door('SharedRing.receiveManyAsync', [whole(1, Number.MAX_SAFE_INTEGER), optional(kinds.wait)], (world) => {
    const ring = ringOf(world)
    return use(ring, 'receiveManyAsync', [2], () => ring.trySend('a'))
  }),
  door('SharedRing.messages', [optional(kinds.wait)], (world) => use(ringOf(world), 'messages')),
  door('SharedRing.[Symbol.asyncIterator]', [], (world) => use(ringOf(world), Symbol.asyncIterator)),
  door('SharedRing.close', [], (world) => use(ringOf(world), 'close')),
  ...(['isClosed', 'isEnded', 'length'] as const).map((property) =>
    door(`SharedRing.${property}`, [], (world) => getting(ringOf(world), property)),
  ),
  free('SharedRing.capacity', [], (world) => getting(ringOf(world), 'capacity')),
  door('SharedRing.report', [], (world) => use(ringOf(world), 'report')),
  door('SharedRing.verify', [], (world) => use(ringOf(world), 'verify')),
  ringOfKind('string', text, 'a'),
  ringOfKind('bytes', bytes, Uint8Array.of(1)),
  ringOfKind('i32', kinds.int32, 1),
  ringOfKind('u32', whole(0, 2 ** 32 - 1), 1),
  ringOfKind('u64', wide, 1n),
  ringOfKind('f64', kinds.number, 0.5),
  door(
    'SharedMap.set of a struct',
    [text, pair],
    ({ machine }) => use(machine.map('pairs', { key: 'string', value: Pair }), 'set', ['a', { a: 1, b: 2 }]),
    { isExtra: true },
  ),
  door(
    'SharedRing.trySend of a struct',
    [pair],
    ({ machine }) => use(machine.ring('pairs', { value: Pair }), 'trySend', [{ a: 1, b: 2 }]),
    { isExtra: true },
  ),
]
