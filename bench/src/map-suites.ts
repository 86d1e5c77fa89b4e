/** What is measured of maps of names, of several sizes. */
import type { Machine, SharedMap } from 'percpu'
import { freshKeys } from './harness/fresh-keys.js'
import type { Row, Suite } from './harness/suite.js'
import { runRculfhash } from './native.js'

/** Names, and the maps that have them. */
export interface Names {
  /** How many. */
  readonly entries: number
  readonly setUp: () => void | Promise<void>
  /** A name, as a new string. Numbers that follow each other are of names far apart. */
  readonly nameOf: (i: number) => string
  readonly shared: SharedMap<string, number>
  readonly ours: ReadonlyMap<string, number>
}

/** Bytes of the heap that are in use. */
export function usedBytes(machine: Machine): number {
  return machine.heap.report().zones.reduce((sum, { total, free }) => sum + total - free, 0)
}
const shown = (count: number): string => count.toLocaleString('en')

const GET = 'Map.get'
/** `note`: of the names; `entriesC`: of the map in C, a power of two; `more`: other peers. */
export function lookUpNames(
  { entries, setUp, nameOf, shared, ours }: Names,
  note: string,
  entriesC: number,
  more: (measure: ReturnType<typeof freshKeys>) => readonly Row[] = () => [],
): Suite {
  const measure = freshKeys(nameOf)
  const inC = entriesC === entries ? '' : `, ${shown(entriesC)} names`
  return {
    title: `look up, ${shown(entries)} names`,
    unit: 'ns',
    note: `${note}Each key is a new string, made from bytes before, so no engine knows its hash.`,
    setUp,
    rows: [
      {
        name: 'SharedMap.get',
        role: 'ours',
        goal: { against: GET, atMost: 0.6 },
        measure: measure((key) => shared.get(key) ?? 0),
      },
      { name: GET, role: 'peer', measure: measure((key) => ours.get(key) ?? 0) },
      {
        name: `rculfhash of liburcu, in C${inC}`,
        role: 'peer',
        measure: ({ roundTime }) => runRculfhash(entriesC, roundTime),
      },
      ...more(measure),
    ],
  }
}

/** `taken`: bytes of the heap that all entries take, and bytes of all names. */
export function memoryOfNames(
  { entries, setUp }: Names,
  taken: () => { readonly bytes: number; readonly nameBytes: number },
): Suite {
  const perEntry = (): number => {
    const { bytes, nameBytes } = taken()
    return (bytes - nameBytes) / entries - 4
  }
  return {
    title: `memory of an entry, ${shown(entries)} names and a 32-bit value each`,
    unit: 'bytes',
    take: 'median',
    note: 'Beyond key and value: header, rounding to a size of the heap, and buckets.',
    setUp,
    rows: [{ name: 'SharedMap', role: 'ours', goal: { below: 24 }, measure: perEntry }],
  }
}
