/** Benchmarks of maps, beside the private Map that each thread would have instead. */
import { boot } from 'percpu'
import { perOperation, timeLoop } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'

/** A power of two. */
const ENTRIES = 2 ** 18

const names = Array.from({ length: ENTRIES }, (_, i) => {
  const number = Math.imul(i, 0x9e3779b1) >>> 0
  return Buffer.from(`package-${number.toString(36)}-${i % 97}`)
})
/** Goes through all of them, far apart. */
const at = (i: number): number => Math.imul(i, 0x9e3779b1) & (ENTRIES - 1)
const textOf = (i: number): string => names[at(i)]?.toString('latin1') ?? ''

const machine = boot({ memory: '512 MiB', cpus: 2 })
const shared = machine.map('shared', { key: 'string', value: 'i32' })
const kept = machine.map('kept', { key: 'string', value: 'json', cache: ENTRIES })
const ours = new Map<string, number>()
const objects = new Map<string, object>()
shared.load(
  names.map((name, i) => [name.toString('latin1'), i]),
  { sizeHint: ENTRIES },
)
for (const [i, name] of names.entries()) ours.set(name.toString('latin1'), i)
const few = names.slice(0, 10_000).map((name) => name.toString('latin1'))
for (const name of few) {
  kept.set(name, { name })
  objects.set(name, { name })
}

let turn = 0
/** Keys that are made before each stretch of look-ups, whose time counts alone. */
const STRETCH = 4096
/** Looks up strings that are new each time, so that no engine knows their hashes. */
function freshKeys(look: (key: string) => number): Measure {
  let keys: string[] = []
  const lookUpAll = (count: number): number => {
    let sum = 0
    for (let i = 0; i < count; i++) sum += look(keys[i] ?? '')
    return sum
  }
  return ({ roundTime }) => {
    let time = 0
    let count = 0
    for (; time < roundTime * 1e6; count += STRETCH) {
      keys = Array.from({ length: STRETCH }, () => textOf(turn++))
      time += timeLoop(lookUpAll, STRETCH)
    }
    return time / count
  }
}

const GET = 'Map.get'
const lookUp: Suite = {
  title: `look up, ${ENTRIES.toLocaleString('en')} names`,
  unit: 'ns',
  note: 'Each key is a new string, made from bytes before, so no engine knows its hash.',
  rows: [
    {
      name: 'SharedMap.get',
      role: 'ours',
      goal: { against: GET, atMost: 0.6 },
      measure: freshKeys((key) => shared.get(key) ?? 0),
    },
    { name: GET, role: 'peer', measure: freshKeys((key) => ours.get(key) ?? 0) },
  ],
}

const AGAIN = 'Map.get, the same keys'
const again: Suite = {
  title: 'look up the same 10,000 objects again and again',
  unit: 'ns',
  note: 'The map keeps them decoded.',
  rows: [
    {
      name: 'SharedMap.get, kept',
      role: 'ours',
      goal: { against: AGAIN, atMost: 1.2 },
      measure: perOperation((count) => {
        let found = 0
        for (let i = 0; i < count; i++) if (kept.get(few[i % few.length] ?? '') !== undefined) found++
        return found
      }),
    },
    {
      name: AGAIN,
      role: 'peer',
      measure: perOperation((count) => {
        let found = 0
        for (let i = 0; i < count; i++) if (objects.get(few[i % few.length] ?? '') !== undefined) found++
        return found
      }),
    },
  ],
}

const change: Suite = {
  title: 'set and delete',
  unit: 'ns',
  note: 'A key that is not there is set and deleted; what was deleted is freed between the rounds.',
  rows: [
    {
      name: 'SharedMap.set, delete',
      role: 'ours',
      compareWith: 'Map.set, delete',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) {
          shared.set('new', i)
          shared.delete('new')
        }
        return count
      }),
    },
    {
      name: 'Map.set, delete',
      role: 'peer',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) {
          ours.set('new', i)
          ours.delete('new')
        }
        return count
      }),
    },
  ],
}

export const suites: readonly Suite[] = [lookUp, again, change]
