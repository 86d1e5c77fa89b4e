/**
 * Benchmarks of layouts: fields through accessors beside bare typed-array accesses to the same
 * words.
 */
import { address, atomic, f64, i32, owner, struct, u32, type Accessor } from 'percpu'
import { createBuffer, openMemory } from 'percpu/mem'
import { generateLoop } from './harness/generated-loop.js'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Row, Suite } from './harness/suite.js'

const Counter = struct(
  'Counter',
  { hits: owner(u32), total: owner(f64), state: atomic(i32), next: owner(address('self')) },
  { align: 64 },
)
const count = 64
const base = 4096

const buffer = createBuffer(65536)
const memory = openMemory(buffer)
const addresses = Array.from({ length: count }, (_, i) => base + i * Counter.stride)
const at = Counter.bind(memory)

/**
 * What the statements of the rows see. Numbers are made 32-bit integers, as constants in a program
 * are. `indices` are to typed arrays what the kept accessors are to structs.
 */
const scope = {
  Counter,
  memory,
  at,
  base,
  stride: Counter.stride,
  addresses,
  kept: addresses.map((address) => Counter.at(memory, address)),
  bound: addresses.map(at),
  indices: addresses.map((address) => address >> 2),
  one: Counter.at(memory, base),
  oneBound: at(base),
  oneIndex: base >> 2,
  i32: new Int32Array(buffer),
  u32: new Uint32Array(buffer),
  f64: new Float64Array(buffer),
  hits: Counter.words.hits | 0,
  state: Counter.words.state | 0,
  next: Counter.words.next | 0,
  total: Counter.offsets.total >> 3,
}

/** A way to find an object, `@` in a field's statement. */
type Way = readonly [name: string, object: string]

/** One object, found before the loop. */
const one: readonly Way[] = [
  ['accessor', 'one'],
  ['bound accessor', 'oneBound'],
]
/** Another object each time. */
const many: readonly Way[] = [
  ['kept accessor', 'kept[i & 63]'],
  ['kept bound accessor', 'bound[i & 63]'],
  ['bound accessor made for each access', 'at(base + (i & 63) * stride)'],
]

interface Field {
  readonly name: string
  /** With `@` for the object. */
  readonly ours: string
  /** With `index` for the object's 32-bit word index. */
  readonly bare: string
  /** Nanoseconds that it may take beyond the bare access, for a check; else a fifth more. */
  readonly check?: number
}
const fields: readonly Field[] = [
  { name: 'u32 read', ours: 'sum = (sum + @.hits) | 0', bare: 'sum = (sum + u32[index + hits]) | 0' },
  { name: 'u32 write', ours: '@.hits = i; sum++', bare: 'u32[index + hits] = i; sum++' },
  { name: 'u32 increment', ours: '@.hits++; sum++', bare: 'u32[index + hits]++; sum++' },
  { name: 'f64 read', ours: 'sum += @.total', bare: 'sum += f64[(index >> 1) + total]' },
  { name: 'f64 write', ours: '@.total = i; sum++', bare: 'f64[(index >> 1) + total] = i; sum++' },
  { name: 'address read', ours: 'sum = (sum + @.next) | 0', bare: 'sum = (sum + u32[index + next]) | 0' },
  {
    name: 'address write',
    ours: '@.next = addresses[i & 63]; sum++',
    bare: 'u32[index + next] = addresses[i & 63]; sum++',
    check: 1,
  },
  {
    name: 'atomic i32 load',
    ours: 'sum = (sum + @.state.load()) | 0',
    bare: 'sum = (sum + Atomics.load(i32, index + state)) | 0',
  },
  {
    name: 'atomic i32 add',
    ours: 'sum = (sum + @.state.add(1)) | 0',
    bare: 'sum = (sum + Atomics.add(i32, index + state, 1)) | 0',
  },
]

async function rowsOf(
  { name, ours, bare, check }: Field,
  ways: readonly Way[],
  index: string,
  hasGoal: boolean,
): Promise<Row[]> {
  const floor = `${name}, typed array`
  const rows: Row[] = [
    {
      name: floor,
      role: 'floor',
      measure: perOperation(await generateLoop(`const index = ${index}; ${bare}`, scope)),
    },
  ]
  for (const [way, object] of ways) {
    const measure = perOperation(await generateLoop(ours.replaceAll('@', object), scope))
    const limit = check === undefined ? { atMost: 1.2 } : { atMostMore: check }
    const relation = hasGoal ? { goal: { against: floor, ...limit } } : { compareWith: floor }
    rows.push({ name: `${name}, ${way}`, role: 'ours', ...relation, measure })
  }
  return rows
}

async function suiteOf(
  title: string,
  note: string,
  ways: readonly Way[],
  index: string,
  hasGoal: boolean,
): Promise<Suite> {
  const rows = await Promise.all(fields.map((field) => rowsOf(field, ways, index, hasGoal)))
  return { title, note, unit: 'ns', rows: rows.flat() }
}

const finding: Suite = {
  title: 'finding an object',
  note: `Making an accessor for one of ${count} objects and reading a u32 from it; \`Struct.at\` checks the address.`,
  unit: 'ns',
  rows: [
    {
      name: 'Struct.at',
      role: 'ours',
      measure: perOperation(
        await generateLoop('sum = (sum + Counter.at(memory, base + (i & 63) * stride).hits) | 0', scope),
      ),
    },
    {
      name: 'Struct.bind',
      role: 'ours',
      measure: perOperation(await generateLoop('sum = (sum + at(base + (i & 63) * stride).hits) | 0', scope)),
    },
  ],
}

/** Each object leads to the third one after it; the last ones lead to the first. */
const linked = addresses.map((_, i) => addresses[(i + 3) % count] ?? base)
const links = new Uint32Array(buffer)

function walk(first: Accessor<typeof Counter>): Measure {
  return perOperation((steps) => {
    let sum = 0
    let object: Accessor<typeof Counter> | undefined = first
    for (let i = 0; i < steps && object !== undefined; i++) {
      sum = (sum + object.hits) | 0
      object = object.follow.next
    }
    return sum
  })
}

const following: Suite = {
  title: 'following addresses',
  note: `From one of ${count} objects to the next, reading a u32 of each; the typed array holds word indices.`,
  unit: 'ns',
  setUp: () => addresses.forEach((address, i) => (at(address).next = linked[i] ?? base)),
  rows: [
    {
      name: 'an index in a typed array',
      role: 'floor',
      measure: perOperation((steps) => {
        const { hits, next } = scope
        let sum = 0
        let index = base >> 2
        for (let i = 0; i < steps && index !== 0; i++) {
          sum = (sum + (links[index + hits] ?? 0)) | 0
          index = (links[index + next] ?? 0) << 1
        }
        return sum
      }),
    },
    {
      name: 'follow, accessor',
      role: 'ours',
      compareWith: 'an index in a typed array',
      measure: walk(Counter.at(memory, base)),
    },
    {
      name: 'follow, bound accessor',
      role: 'ours',
      compareWith: 'an index in a typed array',
      measure: walk(at(base)),
    },
  ],
}

export const suites: readonly Suite[] = [
  await suiteOf(
    'fields of one object',
    'The same object each time, found before the loop.',
    one,
    'oneIndex',
    true,
  ),
  await suiteOf(
    'fields of many objects',
    `Another one of ${count} objects each time; beside it, the same with an array of their indices.`,
    many,
    'indices[i & 63]',
    false,
  ),
  finding,
  following,
]
