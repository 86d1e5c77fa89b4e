/** The operations of layouts: definitions, reports, accessors, cells and views. */
import {
  address,
  aligned,
  array,
  atomic,
  big,
  bytes,
  describe,
  diff,
  diffLock,
  dump,
  flexible,
  formatDiff,
  i32,
  isStruct,
  layoutCommand,
  locked,
  owner,
  pad,
  published,
  racy,
  report,
  struct,
  structsOf,
  summarize,
  text,
  u32,
  u64,
  u8,
} from 'percpu'
import * as kinds from '../kinds.js'
import { door, exempt, free, getting, setting, use, using, type Row } from '../row.js'
import { Pair, Sample, type World } from '../world.js'

const { int32, bigint, number, whole } = kinds
/** A type or field of a definition. */
const spec = kinds.object('type')
const anything: kinds.Kind = { name: 'anything', takes: () => true }
const addressKind = kinds.address
const description: kinds.Kind = kinds.optional(kinds.object('description'))
const memory = kinds.object('memory')
const struct_ = kinds.struct
const defining = { maxSize: 64 }
const contracts = kinds.options({
  size: kinds.optional(whole(8, 8)),
  maxSize: kinds.optional(whole(8, Infinity)),
  align: kinds.optional({
    name: 'alignment',
    takes: (value) => (typeof value === 'number' && value >= 4 ? 'maybe' : false),
  }),
  noCross: kinds.optional({
    name: 'boundary',
    takes: (value) => (typeof value === 'number' && value >= 8 ? 'maybe' : false),
  }),
  sameLine: kinds.optional({ name: 'groups', takes: (value) => Array.isArray(value) && 'maybe' }),
  separateLines: kinds.optional({ name: 'groups', takes: (value) => Array.isArray(value) && 'maybe' }),
  within: kinds.optional({
    name: 'limits',
    takes: (value) => (typeof value === 'number' || typeof value === 'object') && 'maybe',
  }),
  kind: kinds.optional(kinds.oneOf('owner')),
  lock: kinds.optional(kinds.text),
  lineSize: kinds.optional({ name: 'alignment', takes: (value) => typeof value === 'number' && 'maybe' }),
})
const lineSize = kinds.optional({
  name: 'line size',
  takes: (value) => typeof value === 'number' && value > 0 && 'maybe',
})
const reportOptions = { expand: kinds.optional(kinds.flag), lineSize }
const collectOptions = { nested: kinds.optional(kinds.flag) }

const definitions: readonly Row[] = [
  free('struct', [kinds.name, kinds.object('fields'), kinds.optional(contracts)], () =>
    using(struct, ['Made', { a: i32, b: i32 }, defining]),
  ),
  free('isStruct', [anything], () => using(isStruct, [Pair])),
  free('array', [spec, whole(1, 2 ** 31)], () => using(array, [i32, 4])),
  free('flexible', [spec], () => using(flexible, [i32])),
  free('text', [whole(1, 2 ** 20)], () => using(text, [16])),
  free('bytes', [whole(1, 2 ** 20)], () => using(bytes, [16])),
  free('pad', [whole(1, 2 ** 31)], () => using(pad, [4])),
  free('big', [spec], () => using(big, [u32])),
  free('address', [kinds.optional(struct_)], () => using(address, [Pair])),
  free('aligned', [spec, whole(1, 2 ** 31, 'alignment')], () => using(aligned, [i32, 8])),
  free('atomic', [spec], () => using(atomic, [i32])),
  free('owner', [spec], () => using(owner, [i32])),
  free('published', [spec], () => using(published, [i32])),
  free('racy', [spec], () => using(racy, [i32])),
  free('locked', [spec, kinds.text], () => using(locked, [i32, 'lock'])),
  free('describe', [struct_], () => using(describe, [Pair])),
  free('report', [struct_, kinds.optional(kinds.options(reportOptions))], () => using(report, [Pair, {}])),
  free('summarize', [struct_, lineSize], () => using(summarize, [Pair, 64])),
  free('diff', [description, description], () => using(diff, [describe(Pair), describe(Sample)])),
  free('formatDiff', [kinds.object('changes')], () => using(formatDiff, [diff(describe(Pair), undefined)]), {
    exempt: 'prints what diff returned',
  }),
  free('diffLock', [kinds.object('lock'), kinds.object('structs')], () => using(diffLock, [{}, [Pair]]), {
    exempt: 'compares what describe returned',
  }),
  free('structsOf', [kinds.anyObject, kinds.optional(kinds.options(collectOptions))], () =>
    using(structsOf, [{ Pair }, {}]),
  ),
  free(
    'layoutCommand',
    [
      kinds.anyObject,
      kinds.optional(
        kinds.options({
          ...reportOptions,
          ...collectOptions,
          json: kinds.optional(kinds.flag),
          names: kinds.optional({ name: 'names', takes: (value) => Array.isArray(value) && 'maybe' }),
        }),
      ),
    ],
    () => using(layoutCommand, [{ Pair }, {}]),
  ),
  door('dump', [struct_, memory, addressKind], (world) => {
    const { address: at } = world.sample()
    return using(dump, [Sample, world.machine.memory, at])
  }),
  free('Struct.at', [memory, addressKind], (world) =>
    use(Sample, 'at', [world.machine.memory, world.sample().address]),
  ),
  door('Struct.bind', [memory], (world) => use(Sample, 'bind', [world.machine.memory]), { offline: 'works' }),
  free(
    'the function of Struct.bind',
    [addressKind],
    (world) => {
      const { address: at } = world.sample()
      return using(Sample.bind(world.machine.memory), [at])
    },
    { isExtra: true },
  ),
  free('Struct.sizeFor', [whole(0, 2 ** 29 - 4, 'length')], () => use(Tail, 'sizeFor', [4])),
  free('Struct.nameAt', [{ name: 'offset', takes: (value) => typeof value === 'number' && 'maybe' }], () =>
    use(Sample, 'nameAt', [4]),
  ),
]

/** Text and bytes, alone and in arrays. */
const Worded = struct('Worded', {
  title: text(16),
  raw: bytes(16),
  tags: array(text(8), 3),
  held: locked(text(8), 'lock'),
  heldTags: array(locked(text(8), 'lock'), 2),
})
const Tail = struct('Tail', { head: i32, rest: flexible(i32) })
type Worded = ReturnType<(typeof Worded)['at']>
const wordedOf = ({ machine }: World): Worded => machine.heap.cache('worded', Worded).create()
/** Only some typed arrays fit. */
const typedArray: kinds.Kind = {
  name: 'typed array',
  takes: (value) => ArrayBuffer.isView(value) && 'maybe',
}

const field = (name: keyof ReturnType<World['sample']> & string, kind: kinds.Kind, value: unknown): Row =>
  door(
    `field ${name}`,
    [kind],
    (world) => setting(world.sample() as unknown as Record<string, unknown>, name, value),
    {
      isExtra: true,
    },
  )

const Numbers = struct('Numbers', { u8, i32, u64, be: big(u32), be64: big(u64) })
const numberField = (name: 'u8' | 'i32' | 'u64' | 'be' | 'be64', kind: kinds.Kind, value: unknown): Row =>
  door(
    `number ${name}`,
    [kind],
    (world) =>
      setting(
        world.machine.heap.cache('numbers', Numbers).create() as unknown as Record<string, unknown>,
        name,
        value,
      ),
    { isExtra: true },
  )

const accessors: readonly Row[] = [
  door('StructView.toObject', [], (world) => use(world.sample(), 'toObject')),
  free('StructView.toJSON', [], (world) => use(world.sample(), 'toJSON')),
  field('plain', number, 5),
  field('wide', bigint, 5n),
  field('real', number, 1.5),
  field('byte', number, 5),
  field('ready', number, 5),
  field('link', kinds.addressValue, 0),
  numberField('u8', number, 5),
  numberField('i32', number, 5),
  numberField('u64', bigint, 5n),
  numberField('be', number, 5),
  numberField('be64', bigint, 5n),
  door('ReadonlyArrayView.toArray', [], (world) => use(world.sample().numbers, 'toArray')),
  door('ReadonlyArrayView.at', [kinds.index(4)], (world) => use(world.sample().numbers, 'at', [1])),
  door('ReadonlyArrayView.[Symbol.iterator]', [], (world) => using(() => [...world.sample().numbers]), {
    isExtra: true,
  }),
  door('ArrayView.toArray', [], (world) => use(world.sample().bytes, 'toArray')),
  door('ArrayView.at', [kinds.index(4)], (world) => use(world.sample().bytes, 'at', [1])),
  door('ArrayView.[Symbol.iterator]', [], (world) => using(() => [...world.sample().bytes]), {
    isExtra: true,
  }),
  door('ArrayView.set', [kinds.index(4), number], (world) => use(world.sample().numbers, 'set', [1, 5])),
  door(
    'ArrayView.set of addresses',
    [kinds.index(2), kinds.addressValue],
    (world) => use(world.sample().links, 'set', [1, 0]),
    { isExtra: true },
  ),
  free('AtomicArrayView.at', [kinds.index(2)], (world) => use(world.sample().cells, 'at', [1])),
  door('AtomicArrayView.[Symbol.iterator]', [], (world) => using(() => [...world.sample().cells]), {
    isExtra: true,
  }),
  free('StructArrayView.at', [kinds.index(2)], (world) => use(world.sample().arrays, 'at', [1])),
  door('StructArrayView.[Symbol.iterator]', [], (world) => using(() => [...world.sample().arrays]), {
    isExtra: true,
  }),
]

const copying: readonly Row[] = [
  ...(['ReadonlyArrayView', 'ArrayView'] as const).map((view) =>
    door(`${view}.copyTo`, [typedArray, kinds.optional(kinds.index(4))], (world) =>
      use(world.sample().numbers, 'copyTo', [new Int32Array(2), 1]),
    ),
  ),
  door('ArrayView.copyFrom', [typedArray, kinds.optional(kinds.index(4))], (world) =>
    use(world.sample().numbers, 'copyFrom', [new Int32Array(2), 1]),
  ),
  door(
    'ArrayView.copyFrom of bytes',
    [typedArray, kinds.optional(kinds.index(4))],
    (world) => use(world.sample().bytes, 'copyFrom', [new Uint8Array(2), 1]),
    { isExtra: true },
  ),
  door(
    'ArrayView.copyFrom of addresses',
    [typedArray, kinds.optional(kinds.index(2))],
    (world) => use(world.sample().links, 'copyFrom', [new Float64Array([8]), 1]),
    { isExtra: true },
  ),
]
const words: readonly Row[] = [
  door('field of text', [kinds.text], (world) => setting(wordedOf(world), 'title', 'word'), {
    isExtra: true,
  }),
  door('field of bytes', [typedArray], (world) => setting(wordedOf(world), 'raw', new Uint8Array(3)), {
    isExtra: true,
  }),
  door('ReadonlyTextArray.at', [kinds.index(2)], (world) => use(wordedOf(world).heldTags, 'at', [1])),
  door('ReadonlyTextArray.toArray', [], (world) => use(wordedOf(world).heldTags, 'toArray')),
  door(
    'ReadonlyTextArray.[Symbol.iterator]',
    [],
    (world) => {
      const { heldTags } = wordedOf(world)
      return using(() => [...heldTags])
    },
    { isExtra: true },
  ),
  door('TextArray.at', [kinds.index(3)], (world) => use(wordedOf(world).tags, 'at', [1])),
  door('TextArray.toArray', [], (world) => use(wordedOf(world).tags, 'toArray')),
  door(
    'TextArray.[Symbol.iterator]',
    [],
    (world) => {
      const { tags } = wordedOf(world)
      return using(() => [...tags])
    },
    { isExtra: true },
  ),
  door('TextArray.set', [kinds.index(3), kinds.text], (world) =>
    use(wordedOf(world).tags, 'set', [1, 'word']),
  ),
  door(
    'field of text in a section',
    [kinds.text],
    (world) => {
      const object = world.section().at(wordedOf(world))
      return setting(object as unknown as { held: string }, 'held', 'word')
    },
    { offline: 'over', isExtra: true },
  ),
]

const Cells = struct('Cells', {
  i32: atomic(i32),
  u32: atomic(u32),
  u64: atomic(u64),
  link: atomic(address()),
})
type Cells = ReturnType<(typeof Cells)['at']>
const cellsOf = ({ machine }: World): Cells => machine.heap.cache('cells', Cells).create()

function cellRows(
  type: string,
  name: keyof typeof Cells.definition,
  kind: kinds.Kind,
  value: unknown,
): Row[] {
  const of = (world: World): Record<string, never> => cellsOf(world)[name] as never
  const arithmetic = ['store', 'add', 'sub', 'and', 'or', 'exchange'].map((method) =>
    door(`${type}.${method}`, [kind], (world) => use(of(world), method, [value])),
  )
  return [
    exempt(`new ${type}`, 'for hot paths: takes an index as the functions of percpu/mem do'),
    door(`${type}.load`, [], (world) => use(of(world), 'load')),
    ...arithmetic,
    door(`${type}.compareExchange`, [kind, kind], (world) =>
      use(of(world), 'compareExchange', [value, value]),
    ),
  ]
}

const cells: readonly Row[] = [
  ...cellRows('AtomicI32', 'i32', number, 5),
  door('AtomicI32.address', [], (world) => getting(cellsOf(world).i32, 'address'), { offline: 'works' }),
  door('AtomicI32.wait', [int32, kinds.optional(kinds.ms)], (world) =>
    use(cellsOf(world).i32, 'wait', [1, 0]),
  ),
  door('AtomicI32.waitAsync', [int32, kinds.optional(kinds.ms)], (world) =>
    use(cellsOf(world).i32, 'waitAsync', [1, 0]),
  ),
  door(
    'AtomicI32.notify',
    [kinds.optional({ name: 'count', takes: (value) => typeof value === 'number' && value >= 0 })],
    (world) => use(cellsOf(world).i32, 'notify', [1]),
  ),
  ...cellRows('AtomicU32', 'u32', number, 5),
  ...cellRows('AtomicU64', 'u64', bigint, 5n),
  ...cellRows('AtomicAddress', 'link', kinds.addressValue, 0).filter(
    ({ door: name }) => !/\.(?:add|sub|and|or)$/.test(name),
  ),
  exempt('new ReadonlyCell', 'made by the library'),
  door(
    'ReadonlyCell.load',
    [],
    (world) => {
      const cell = world.section().at(world.sample()).cell
      return use(cell, 'load')
    },
    { offline: 'over' },
  ),
]

export const layoutRows: readonly Row[] = [...definitions, ...accessors, ...copying, ...words, ...cells]
