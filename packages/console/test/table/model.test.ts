/** Tables of a few random ranges, against a list that is searched from front to back. */
import assert from 'node:assert/strict'
import { devNull } from 'node:os'
import { test } from 'node:test'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { AnswerWriter, answerBatch, loadTable, lookUp, parseAddress, type Answer } from 'percpu-console'
import { csv, temporaryFolder, writeTables, type Row } from '../helpers/files.js'
import { testMachine, verifyTable } from '../helpers/machine.js'

const MAX = { 4: 2n ** 32n - 1n, 6: 2n ** 128n - 1n } as const

interface Range {
  readonly start: bigint
  readonly end: bigint
  readonly asn: number
  readonly organisation: string
}

/**
 * Numbers near each other and near powers of two, where buckets and words begin, and the ends of
 * the family.
 */
function pointOf(family: 4 | 6): fc.Arbitrary<bigint> {
  const max = MAX[family]
  const power = fc.integer({ min: 0, max: family === 4 ? 32 : 128 })
  const near = fc
    .tuple(power, fc.integer({ min: -3, max: 3 }))
    .map(([bits, step]) => clamp(2n ** BigInt(bits) + BigInt(step), max))
  const prefixed = fc
    .bigInt(0n, 2n ** 20n)
    .map((low) => clamp((0x2001_0db8n << 96n) + (low << 80n) + (low & 3n), max))
  return fc.oneof(near, fc.bigInt(0n, max), ...(family === 6 ? [prefixed] : []))
}

function clamp(value: bigint, max: bigint): bigint {
  return value < 0n ? 0n : value > max ? max : value
}

/**
 * Ranges without overlap, in ascending order: each two neighbours of a sorted list of points, some
 * of them left out.
 */
function rangesOf(family: 4 | 6): fc.Arbitrary<Range[]> {
  const names = fc.oneof(
    fc.constantFrom('Shared', 'A "quoted", name'),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
  )
  const label = fc.record({
    asn: fc.oneof(fc.nat(5), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
    organisation: names.filter((name) => name.trim() === name && !/[\r\n]/.test(name)),
    kept: fc.boolean(),
    single: fc.boolean(),
  })
  return fc
    .tuple(
      fc.uniqueArray(pointOf(family), { maxLength: 40 }),
      fc.array(label, { minLength: 40, maxLength: 40 }),
    )
    .map(([points, labels]) => {
      const sorted = points.filter((point) => !isMapped(family, point)).sort((a, b) => (a < b ? -1 : 1))
      return sorted.flatMap((start, i) => {
        const { asn = 0, organisation = '', kept = true, single = false } = labels[i] ?? {}
        const next = sorted[i + 1] ?? MAX[family] + 1n
        const end = single || crossesMapped(family, start, next - 1n) ? start : next - 1n
        return kept ? [{ start, end, asn, organisation }] : []
      })
    })
}

/** IPv4-mapped IPv6 stands for IPv4: it is refused in a table, and lookups of it go elsewhere. */
function isMapped(family: 4 | 6, value: bigint): boolean {
  return family === 6 && value >> 32n === 0xffffn
}
function crossesMapped(family: 4 | 6, start: bigint, end: bigint): boolean {
  return family === 6 && (isMapped(6, end) || (start >> 32n < 0xffffn && end >> 32n > 0xffffn))
}

function textOf(family: 4 | 6, value: bigint): string {
  const bytes = Array.from({ length: family === 4 ? 4 : 16 }, (_, i, all = family === 4 ? 4 : 16) =>
    Number((value >> BigInt(8 * (all - 1 - i))) & 255n),
  )
  return ipaddr.fromByteArray(bytes).toString()
}

function rowsOf(family: 4 | 6, ranges: readonly Range[]): Row[] {
  return ranges.map(({ start, end, asn, organisation }) => ({
    start: textOf(family, start),
    end: textOf(family, end),
    asn,
    organisation,
  }))
}

/** The model: first range from the front that holds the value. */
function search(family: 4 | 6, ranges: readonly Range[], value: bigint): Omit<Answer, 'address'> | undefined {
  const found = ranges.find(({ start, end }) => start <= value && value <= end)
  if (!found) return undefined
  const [row] = rowsOf(family, [found])
  return row && { range: { start: row.start, end: row.end }, asn: row.asn, organisation: row.organisation }
}

test('lookups answer as the list does, at all ends, beside them, and anywhere', async (t) => {
  const folder = await temporaryFolder(t)
  const { machine, name, table } = testMachine(t)
  const writer = new AnswerWriter(table)
  await fc.assert(
    fc.asyncProperty(
      rangesOf(4),
      rangesOf(6),
      fc.array(pointOf(4)),
      fc.array(pointOf(6)),
      fc.boolean(),
      async (ranges4, ranges6, more4, more6, reversed) => {
        const text = (family: 4 | 6, ranges: readonly Range[]) =>
          csv(rowsOf(family, reversed ? [...ranges].reverse() : ranges))
        fc.pre(ranges4.length + ranges6.length > 0)
        const files = await writeTables(folder, text(4, ranges4), text(6, ranges6))
        // A family without ranges is the null device: an empty file is refused.
        await loadTable(machine, name, {
          ipv4: ranges4.length > 0 ? files.ipv4 : devNull,
          ipv6: ranges6.length > 0 ? files.ipv6 : devNull,
        })
        const asked: string[] = []
        const expected: unknown[] = []
        for (const [family, ranges, more] of [
          [4, ranges4, more4],
          [6, ranges6, more6],
        ] as const) {
          const points = [
            ...ranges.flatMap(({ start, end }) => [start - 1n, start, (start + end) / 2n, end, end + 1n]),
            ...more,
          ]
          for (const point of points.filter(
            (value) => value >= 0n && value <= MAX[family] && !isMapped(family, value),
          )) {
            const address = textOf(family, point)
            const parsed = parseAddress(address)
            assert.ok(parsed)
            const model = search(family, ranges, point)
            const answer = lookUp(table, address, parsed)
            assert.deepEqual(answer, model && { address, ...model })
            asked.push(address)
            expected.push({ address, ...(model ?? { range: null, asn: null, organisation: null }) })
          }
        }
        const { buffer, length, answered } = answerBatch(
          writer,
          new Uint8Array(Buffer.from(asked.join('\n'))),
          'text',
        )
        const lines = Buffer.from(buffer, 0, length).toString().split('\n').slice(0, -1)
        assert.equal(answered, asked.length)
        assert.deepEqual(
          lines.map((line) => JSON.parse(line) as unknown),
          expected,
        )
      },
    ),
    { numRuns: 40 },
  )
  verifyTable(machine)
})
