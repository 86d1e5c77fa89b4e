/** Benchmarks of a map of as many names as the npm registry has packages. */
import { boot } from 'percpu'
import type { Suite } from './harness/suite.js'
import { lookUpNames, memoryOfNames, usedBytes } from './map-suites.js'

const ENTRIES = 4_500_000
/** Of the map in C, which takes a power of two. */
const ENTRIES_C = 2 ** 22

const words = 'react node lib core ui config eslint plugin types utils api cli test data server'.split(' ')
/** Made of words and a number in base 36; two of five have a scope, as packages do. */
function makeName(i: number): string {
  const mixed = Math.imul(i, 0x9e3779b1) >>> 0
  const word = (shift: number): string => words[(mixed >>> shift) % words.length] ?? ''
  const scope = i % 5 < 2 ? `@${word(4)}-${(mixed % 50_021).toString(36)}/` : ''
  const second = i % 3 === 0 ? `${word(9)}-` : ''
  return `${scope}${word(14)}-${second}${mixed.toString(36)}`
}

/** All names, one behind the other: strings would be made of them, and kept, too early. */
const starts = new Uint32Array(ENTRIES + 1)
const bytes = Buffer.alloc(ENTRIES * 40)
for (let i = 0; i < ENTRIES; i++)
  starts[i + 1] = (starts[i] ?? 0) + bytes.write(makeName(i), starts[i] ?? 0, 'latin1')
const total = starts[ENTRIES] ?? 0
const nameOf = (i: number): string => bytes.toString('latin1', starts[i], starts[i + 1])

const machine = boot({ memory: '1 GiB', cpus: 2 })
const shared = machine.map('names', { key: 'string', value: 'i32' })
const ours = new Map<string, number>()
const loaded = { shared: 0, ours: 0, bytes: 0 }

function* pairs(): Generator<readonly [string, number]> {
  for (let i = 0; i < ENTRIES; i++) yield [nameOf(i), i]
}

function fill(): void {
  if (shared.size > 0) return
  const used = usedBytes(machine)
  const begun = performance.now()
  shared.load(pairs(), { sizeHint: ENTRIES })
  const middle = performance.now()
  for (const [name, i] of pairs()) ours.set(name, i)
  loaded.shared = middle - begun
  loaded.ours = performance.now() - middle
  loaded.bytes = usedBytes(machine) - used
}

/** Goes through all of them, far apart. */
const farName = (i: number): string => nameOf((Math.imul(i, 0x9e3779b1) >>> 0) % ENTRIES)
const all = { entries: ENTRIES, setUp: fill, nameOf: farName, shared, ours }
const note = `The names are made of words as those of packages are, ${(total / ENTRIES).toFixed(1)} bytes each. `
const lookUp = lookUpNames(all, note, ENTRIES_C)

const load: Suite = {
  title: `load ${ENTRIES.toLocaleString('en')} names`,
  unit: 'ms',
  take: 'median',
  note: 'Once, one name after the other, each from its bytes.',
  setUp: fill,
  rows: [
    { name: 'SharedMap.load', role: 'ours', compareWith: 'Map.set', measure: () => loaded.shared },
    { name: 'Map.set', role: 'peer', measure: () => loaded.ours },
  ],
}

const memory = memoryOfNames(all, () => ({ bytes: loaded.bytes, nameBytes: total }))

export const suites: readonly Suite[] = [lookUp, load, memory]
