/**
 * Benchmarks of maps of ranges: the real address table, beside what a thread would have of its own.
 */
import { boot } from 'percpu'
import { loadTable, openTable, packagedFiles, TABLE_NAME } from 'percpu-console'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'
import { Dxr, type Row } from './range-dxr.js'
import { PrivateTable } from './table-private.js'

const machine = boot({ memory: '256 MiB', cpus: 2 })
await loadTable(machine, TABLE_NAME, packagedFiles())
const { ipv4: map4, ipv6: map6 } = openTable(machine, TABLE_NAME)
const rows4 = map4.size
const rows6 = map6.size
const own = new PrivateTable({ ipv4: map4, ipv6: map6 })
const list4 = Array.from(map4, ({ from, to, value }): Row => [from, to, value])
const list6 = Array.from(map6, ({ from }) => [from] as const)
const dxr = new Dxr(list4)

const KEYS = 1 << 16
/** Xorshift32 (Marsaglia, 2003): the same addresses in every run. */
let state = 0x2545_f491
function random(): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return state >>> 0
}
const uniform = Uint32Array.from({ length: KEYS }, random)
const ofRanges = Uint32Array.from({ length: KEYS }, () => {
  const [from, to] = list4[random() % rows4] ?? [0, 0]
  return from + (random() % (to - from + 1))
})
const rowsOf6 = Array.from({ length: KEYS }, () => random() % rows6)
const keys6 = rowsOf6.map((row) => list6[row]?.[0] ?? 0n)
const words6 = Int32Array.from({ length: KEYS * 4 }, (_, i) => own.start6(rowsOf6[i >>> 2] ?? 0, i & 3))
const point6 = new Uint32Array(4)

const mapped = (keys: Uint32Array): Measure =>
  perOperation((count) => {
    let sum = 0
    for (let i = 0; i < count; i++) sum = (sum + (map4.lookup(keys[i & (KEYS - 1)] as number) ?? 0)) | 0
    return sum
  })
const indexed = (keys: Uint32Array): Measure =>
  perOperation((count) => {
    let sum = 0
    for (let i = 0; i < count; i++) sum = (sum + dxr.lookup(keys[i & (KEYS - 1)] as number)) | 0
    return sum
  })
const bisected = (keys: Uint32Array): Measure =>
  perOperation((count) => {
    let sum = 0
    for (let i = 0; i < count; i++) {
      const row = own.find4(keys[i & (KEYS - 1)] as number)
      if (row >= 0) sum = (sum + (own.entries4[row] as number)) | 0
    }
    return sum
  })

const DXR = 'a private table with an index (DXR)'
const BISECTION = 'bisection of private typed arrays'
function lookUp4(title: string, keys: Uint32Array): Suite {
  return {
    title,
    unit: 'ns',
    note: `${rows4.toLocaleString('en-US')} ranges. The private table is read-only.`,
    rows: [
      {
        name: 'SharedRangeMap.lookup',
        role: 'ours',
        goal: { against: DXR, atMost: 1.3 },
        measure: mapped(keys),
      },
      { name: DXR, role: 'peer', measure: indexed(keys) },
      { name: BISECTION, role: 'peer', measure: bisected(keys) },
    ],
  }
}

const lookUp6: Suite = {
  title: 'look up, IPv6, of random ranges',
  unit: 'ns',
  note:
    `${rows6.toLocaleString('en-US')} ranges. All look the same points up. The first row and the last ` +
    'one take them from one array of words; the bigints are there already.',
  rows: [
    {
      name: 'SharedRangeMap.lookup, 128 bits, words',
      role: 'ours',
      goal: { against: `${BISECTION}, IPv6`, atMost: 0.5 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          const at = (i & (KEYS - 1)) * 4
          for (let word = 0; word < 4; word++) point6[word] = words6[at + word] as number
          sum = (sum + (map6.lookup(point6) ?? 0)) | 0
        }
        return sum
      }),
    },
    {
      name: 'SharedRangeMap.lookup, 128 bits, bigints',
      role: 'ours',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum = (sum + (map6.lookup(keys6[i & (KEYS - 1)] as bigint) ?? 0)) | 0
        return sum
      }),
    },
    {
      name: `${BISECTION}, IPv6`,
      role: 'peer',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          const at = (i & (KEYS - 1)) * 4
          const [w0, w1, w2, w3] = [words6[at], words6[at + 1], words6[at + 2], words6[at + 3]] as [
            number,
            number,
            number,
            number,
          ]
          sum = (sum + (own.entries6[own.find6(w0, w1, w2, w3)] as number)) | 0
        }
        return sum
      }),
    },
  ],
}

const RANGES = 100_000
/** Changes one range of so many, which begin so many keys one after the other. */
function changing(name: string, key: 'u32' | 'u53', step: number): Suite['rows'][number] {
  const map = machine.rangeMap(name, { key, value: 'u32' })
  map.load(Array.from({ length: RANGES }, (_, i) => [i * step, i * step + 9, i]))
  let value = RANGES
  return {
    name,
    role: 'ours',
    measure: perOperation((count) => {
      for (let i = 0; i < count; i++) {
        const from = (random() % RANGES) * step
        map.set(from, from + 5, value++ % 2 ** 30)
        if (i % 10 === 0) map.barrierBlocking()
      }
      return count
    }),
  }
}
const change: Suite = {
  title: `change one range of ${RANGES.toLocaleString('en')}`,
  unit: 'ns',
  note: 'A version each. What was replaced is freed after each tenth.',
  rows: [
    changing('keys of 32 bits, 40 a range', 'u32', 40),
    changing('keys of 32 bits, 40,000 a range', 'u32', 40_000),
    changing('keys of 53 bits, 40 a range', 'u53', 40),
  ],
}

export const suites: readonly Suite[] = [
  lookUp4('look up, IPv4, uniform addresses', uniform),
  lookUp4('look up, IPv4, of random ranges', ofRanges),
  lookUp6,
  change,
]
