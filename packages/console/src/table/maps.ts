/**
 * The table: three maps in shared memory, which all threads open by the table's name.
 *
 *     NAME.ipv4, NAME.ipv6   ranges of addresses ──▶ value: 2 × number of a pair, plus 0 or 1
 *     NAME.pairs             number ──▶ `{"asn":13335,"organisation":"Cloudflare, Inc."}` in UTF-8,
 *                            or what other columns say
 *
 * A map of ranges joins neighbours with equal values. Two ranges of the files that are side by side
 * and have the same pair differ in the lowest bit, so that they stay two.
 *
 * Rules: what a number stands for never changes, and no number is given twice. So a thread may keep
 * what it has read of a pair. A pair is set before a range names it. It is deleted when no version
 * names it that anybody may still be reading.
 */
import {
  atomic,
  i32,
  struct,
  type Machine,
  type ReadonlyArrayView,
  type SharedMap,
  type SharedRangeMap,
} from 'percpu'
import type { RowCounts } from './row-counts.js'

/** Written by the thread that loads. */
export const TableState = struct('TableState', {
  /** How many tables have been loaded. */
  generation: atomic(i32),
  /** Memory of ranges and pairs. */
  bytes: atomic(i32),
  /** Numbers of pairs that have been given. */
  numbers: atomic(i32),
})

export interface TableMaps {
  readonly ipv4: SharedRangeMap<number, number>
  readonly ipv6: SharedRangeMap<bigint, number>
  readonly pairs: SharedMap<number, Uint8Array, ReadonlyArrayView<number>>
  readonly state: ReturnType<typeof openState>
}

/** Makes the maps of this name, without ranges, or finds them. */
export function openTable(machine: Machine, name: string): TableMaps {
  return {
    ipv4: machine.rangeMap(`${name}.ipv4`, { key: 'u32', value: 'u32' }),
    ipv6: machine.rangeMap(`${name}.ipv6`, { key: 'u128', value: 'u32' }),
    pairs: machine.map(`${name}.pairs`, { key: 'u32', value: 'bytes' }),
    state: openState(machine, name),
  }
}
function openState(machine: Machine, name: string) {
  return machine.objects.openOrCreate(`${name}.state`, TableState)
}

/** How many ranges there are. */
export function rowsOf({ ipv4, ipv6 }: Pick<TableMaps, 'ipv4' | 'ipv6'>): RowCounts {
  return { ipv4: ipv4.size, ipv6: ipv6.size }
}
