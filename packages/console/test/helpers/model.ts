/** Small tables that differ in many ways, each made from a number: a model for any thread. */
import assert from 'node:assert/strict'
import { ipv4Text, ipv6Text, type AddressTable } from 'percpu-console'
import type { Row } from './files.js'

/** The same numbers for the same seed. */
export function randomOf(seed: number): (below: number) => number {
  let state = Math.imul(seed + 1, 0x9e37_79b1) >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

interface Range {
  readonly from: number
  readonly to: number
  readonly asn: number
}
const PLACES = 4000

/** Ranges of places; nine of ten are those of all seeds, and one is of this seed alone. */
function rangesOf(seed: number): Range[] {
  const common = randomOf(0)
  const own = randomOf(seed)
  const ranges: Range[] = [{ from: 0, to: 0, asn: seed }]
  for (let from = 1; from < PLACES;) {
    const to = from + common(5)
    const asn = common(40)
    if (own(10) > 0) ranges.push({ from, to, asn })
    else if (own(2) > 0) ranges.push({ from, to: from, asn: own(40) })
    from = to + 1 + common(2)
  }
  return ranges
}
const text4 = (place: number): string => ipv4Text(0x0a000000 + place * 64)
const last4 = (place: number): string => ipv4Text(0x0a000000 + place * 64 + 63)
const text6 = (place: number): string => ipv6Text(0x20010db8, place, 0, 0)
const last6 = (place: number): string => ipv6Text(0x20010db8, place, -1, -1)

export function rowsOfSeed(seed: number): { readonly ipv4: Row[]; readonly ipv6: Row[] } {
  const ranges = rangesOf(seed)
  const rows = (first: (place: number) => string, last: (place: number) => string): Row[] =>
    ranges.map(({ from, to, asn }) => ({
      start: first(from),
      end: last(to),
      asn,
      organisation: `Organisation ${asn}`,
    }))
  return { ipv4: rows(text4, last4), ipv6: rows(text6, last6) }
}

/** What the model says, by its seed: kept, as many look-ups follow. */
const known = new Map<number, readonly Range[]>()

/**
 * Looks places up in a table whose versions are those of the seeds, counted from 1. Each family for
 * itself.
 */
export function checkPlaces(table: AddressTable, random: (below: number) => number): void {
  const { ipv4, ipv6 } = table.versions
  for (let i = 0; i < 50; i++) {
    const place = random(PLACES)
    const isNarrow = i % 2 === 0
    const seed = isNarrow ? ipv4 : ipv6
    let ranges = known.get(seed)
    if (ranges === undefined) known.set(seed, (ranges = rangesOf(seed)))
    const wanted = ranges.find(({ from, to }) => from <= place && place <= to)
    const pair = isNarrow
      ? table.find4(0x0a000000 + place * 64 + random(64))
      : table.find6([0x20010db8, place, random(2 ** 32), 7])
    if (pair < 0 || wanted === undefined) {
      assert.ok(pair < 0 && wanted === undefined, `version ${seed}, place ${place}: pair ${pair}`)
      continue
    }
    assert.deepEqual(table.pair(pair), { asn: wanted.asn, organisation: `Organisation ${wanted.asn}` })
    const [b0 = 0, b1 = 0, , , , b5 = 0] = table.bounds
    assert.deepEqual(
      isNarrow ? [b0, b1] : [b1, b5],
      isNarrow ? [0x0a000000 + wanted.from * 64, 0x0a000000 + wanted.to * 64 + 63] : [wanted.from, wanted.to],
    )
  }
}
