/** Benchmarks of `#mem`: each function beside the bare access that it stands for. */
import * as mem from 'percpu/mem'
import { createBuffer, openMemory } from 'percpu/mem'
import { generateLoop } from './harness/generated-loop.js'
import { perOperation } from './harness/per-operation.js'
import type { Row, Suite } from './harness/suite.js'
import { Threads } from './harness/threads.js'

/** A function of `#mem`, and the expressions to compare; `@` stands for an index that changes. */
type Pair = readonly [name: string, ours: string, bare: string, isBigint?: boolean]

const memory = openMemory(createBuffer(65536))
const { buffer, ...views } = memory
const bare = {
  bytes: new Int8Array(buffer),
  ubytes: new Uint8Array(buffer),
  data: new DataView(buffer),
  i16: new Int16Array(buffer),
  u16: new Uint16Array(buffer),
  i32: new Int32Array(buffer),
  u32: new Uint32Array(buffer),
  u64: new BigUint64Array(buffer),
  f32: new Float32Array(buffer),
  f64: new Float64Array(buffer),
}
const memUrl = import.meta.resolve('percpu/mem')

/** An index that moves through 1024 words, cheaply. */
const at = '(i & 1023)'

async function rowsOf([name, ours, floor, isBigint = false]: Pair): Promise<Row[]> {
  const statement = (expression: string): string => {
    if (name.startsWith('store')) return `${expression}; sum++`
    if (isBigint) return `if (${expression} === 1n) sum++`
    // Integer sums stay 32 bits wide: one that overflows would have its loop compiled anew in the
    // middle of a run.
    return /F(32|64)$/.test(name) ? `sum += ${expression}` : `sum = (sum + ${expression}) | 0`
  }
  const make = (expression: string, scope: object) =>
    generateLoop(statement(expression.replaceAll('@', at)), { ...scope })
  const floorName = floor.replaceAll('@', 'i')
  return [
    {
      name,
      role: 'ours',
      goal: { against: floorName, atMostMore: 0.3 },
      measure: perOperation(await make(ours, { ...views, [name]: mem[name as keyof typeof mem] })),
    },
    { name: floorName, role: 'floor', measure: perOperation(await make(floor, bare)) },
  ]
}

async function suiteOf(title: string, note: string, pairs: readonly Pair[]): Promise<Suite> {
  return { title, note, unit: 'ns', rows: (await Promise.all(pairs.map(rowsOf))).flat() }
}

const words = [
  ['16', 'i16', 'i16'],
  ['U16', 'u16', 'u16'],
  ['32', 'i32', 'i32'],
  ['U32', 'u32', 'u32'],
  ['F32', 'f32', 'f32'],
  ['F64', 'f64', 'f64'],
  ['8', 'bytes', 'bytes'],
  ['U8', 'bytes', 'ubytes'],
] as const
const plain: Pair[] = [
  ...words.flatMap(([name, view, floor]): Pair[] => [
    [`load${name}`, `load${name}(${view}, @)`, `${floor}[@]`],
    [`store${name}`, `store${name}(${view}, @, i)`, `${floor}[@] = i`],
  ]),
  ['loadU64', 'loadU64(u64, @)', 'u64[@]', true],
  ['storeU64', 'storeU64(u64, @, 5n)', 'u64[@] = 5n', true],
]

const bigWords = [
  ['16', 'Int16'],
  ['U16', 'Uint16'],
  ['32', 'Int32'],
  ['U32', 'Uint32'],
  ['F32', 'Float32'],
  ['F64', 'Float64'],
] as const
const bigEndian: Pair[] = [
  ...bigWords.flatMap(([name, method]): Pair[] => [
    [`loadBig${name}`, `loadBig${name}(bytes, @)`, `data.get${method}(@)`],
    [`storeBig${name}`, `storeBig${name}(bytes, @, i)`, `data.set${method}(@, i)`],
  ]),
  ['loadBigU64', 'loadBigU64(bytes, @)', 'data.getBigUint64(@)', true],
  ['storeBigU64', 'storeBigU64(bytes, @, 5n)', 'data.setBigUint64(@, 5n)', true],
]

const atomicWords = [
  ['32', 'i32', '1'],
  ['U32', 'u32', '1'],
  ['U64', 'u64', '1n'],
] as const
const atomic = atomicWords.flatMap(([name, view, one]): Pair[] => {
  const isBigint = view === 'u64'
  const updates = (['add', 'sub', 'and', 'or', 'exchange'] as const).map((operation): Pair => [
    `${operation}Atomic${name}`,
    `${operation}Atomic${name}(${view}, @, ${one})`,
    `Atomics.${operation}(${view}, @, ${one})`,
    isBigint,
  ])
  return [
    [`loadAtomic${name}`, `loadAtomic${name}(${view}, @)`, `Atomics.load(${view}, @)`, isBigint],
    [
      `storeAtomic${name}`,
      `storeAtomic${name}(${view}, @, ${one})`,
      `Atomics.store(${view}, @, ${one})`,
      isBigint,
    ],
    ...updates,
    [
      `compareExchangeAtomic${name}`,
      `compareExchangeAtomic${name}(${view}, @, ${one}, ${one})`,
      `Atomics.compareExchange(${view}, @, ${one}, ${one})`,
      isBigint,
    ],
  ]
})

const waking: Pair[] = [['notify32', 'notify32(i32, @)', 'Atomics.notify(i32, @)']]

/** Threads that count in one shared word, and in words of their own. */
function countingSuite(): Suite {
  const open = async (stride: number, loop: string): Promise<Threads> =>
    Threads.open(new URL('./mem-threads.js', import.meta.url), loop, 2, {
      buffer: createBuffer(4096),
      stride,
    })
  const threads: Threads[] = []
  const counters = [
    ['addAtomic32, one word', 0, 'addAtomic'],
    ['addAtomic32, a word each, in one cache line', 1, 'addAtomic'],
    ['addAtomic32, a cache line each', 32, 'addAtomic'],
    ['load32 and store32, a word each, in one cache line', 1, 'addPlain'],
    ['load32 and store32, a cache line each', 32, 'addPlain'],
  ] as const
  return {
    title: 'two threads that count',
    note: 'Nanoseconds per increment of a thread, with both running.',
    unit: 'ns',
    take: 'median',
    setUp: async () => {
      for (const [, stride, loop] of counters) threads.push(await open(stride, loop))
    },
    rows: counters.map(([name], i): Row => ({
      name,
      role: 'ours',
      ...(i === counters.length - 1 ? { goal: { against: counters[0][0], atMost: 0.2 } } : {}),
      measure: async (effort) => {
        const group = threads[i]
        if (group === undefined) throw new Error('the threads are not open')
        return group.measure(effort)
      },
    })),
    tearDown: async () => {
      for (const group of threads) await group.close()
    },
  }
}

/**
 * What reading an imported binding at each call costs; the other suites hold the functions in local
 * constants.
 */
async function importSuite(): Promise<Suite> {
  const loop = (expression: string, modules: Readonly<Record<string, string>>) =>
    generateLoop(`sum = (sum + ${expression}) | 0`, { ...views, local: mem.load32 }, modules)
  return {
    title: 'imported and local functions',
    unit: 'ns',
    note: 'The same function, by its imported name and copied to a local constant.',
    rows: [
      {
        name: 'load32, imported',
        role: 'ours',
        measure: perOperation(await loop(`load32(i32, ${at})`, { load32: memUrl })),
      },
      {
        name: 'load32, in a local constant',
        role: 'ours',
        measure: perOperation(await loop(`local(i32, ${at})`, {})),
      },
    ],
  }
}

export const suites: readonly Suite[] = [
  await suiteOf('plain accesses', 'Moving through 1024 words.', plain),
  await suiteOf('plain big-endian accesses', 'Moving through 1024 byte addresses.', bigEndian),
  await suiteOf('atomic accesses', 'One thread, moving through 1024 words.', atomic),
  await suiteOf('waking', 'With nobody waiting.', waking),
  await importSuite(),
  countingSuite(),
]
