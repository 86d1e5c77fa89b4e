/** Benchmarks of maps, beside the private Map that each thread would have instead, and others. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { boot } from 'percpu'
import * as sharedmap from 'sharedmap'
import { perOperation } from './harness/per-operation.js'
import type { Suite } from './harness/suite.js'
import { redisSuite } from './map-redis.js'
import { lookUpNames, memoryOfNames, usedBytes } from './map-suites.js'

/** A power of two. */
const ENTRIES = 2 ** 20

const names = Array.from({ length: ENTRIES }, (_, i) => {
  const number = Math.imul(i, 0x9e3779b1) >>> 0
  return Buffer.from(`package-${number.toString(36)}-${i % 97}`)
})
/** Goes through all of them, far apart. */
const at = (i: number): number => Math.imul(i, 0x9e3779b1) & (ENTRIES - 1)
const textOf = (i: number): string => names[at(i)]?.toString('latin1') ?? ''

const machine = boot({ memory: '1 GiB', cpus: 2 })
const shared = machine.map('shared', { key: 'string', value: 'i32' })
const kept = machine.map('kept', { key: 'string', value: 'json', cache: 2 ** 14 })
const ours = new Map<string, number>()
const objects = new Map<string, object>()
let loadTime = 0
let loadBytes = 0

const few = names.slice(0, 10_000).map((name) => name.toString('latin1'))
let database: RootDatabase<number, string> | undefined
let directory = ''
/** Its declarations say that it has no default export. */
const { default: SharedMemoryMap } = sharedmap as unknown as {
  readonly default: new (entries: number, keySize: number, valueSize: number) => sharedmap.SharedMap
}
let peer: sharedmap.SharedMap | undefined

async function fill(): Promise<void> {
  if (shared.size > 0) return
  const used = usedBytes(machine)
  const begun = performance.now()
  shared.load(
    names.map((name, i) => [name.toString('latin1'), i]),
    { sizeHint: ENTRIES },
  )
  loadTime = performance.now() - begun
  loadBytes = usedBytes(machine) - used
  for (const [i, name] of names.entries()) ours.set(name.toString('latin1'), i)
  for (const name of few) {
    kept.set(name, { name })
    objects.set(name, { name })
  }
  directory = mkdtempSync(join(tmpdir(), 'percpu-lmdb-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  database = open({ path: join(directory, 'data'), noSync: true, mapSize: 2 ** 30 })
  const filled = database
  for (const [i, name] of names.entries()) void filled.put(name.toString('latin1'), i)
  await filled.flushed
  peer = new SharedMemoryMap(ENTRIES * 1.25, 32, 16)
  for (const [i, name] of names.entries()) peer.set(name.toString('latin1'), i)
}

const all = { entries: ENTRIES, setUp: fill, nameOf: textOf, shared, ours }
const lookUp = lookUpNames(all, '', ENTRIES, (measure) => [
  { name: 'lmdb, get', role: 'peer', measure: measure((key) => database?.get(key) ?? 0) },
  { name: 'sharedmap, get', role: 'peer', measure: measure((key) => Number(peer?.get(key))) },
])

const AGAIN = 'Map.get, the same keys'
const again: Suite = {
  title: 'look up the same 10,000 objects again and again',
  unit: 'ns',
  note: 'The map keeps them decoded.',
  setUp: fill,
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

let number = 0
const change: Suite = {
  title: 'replace values, a name after the other',
  unit: 'ns',
  note: 'Names are drawn from all. What was replaced is freed in the middle. lmdb: one transaction for a thousand, without waiting for the disk.',
  setUp: fill,
  rows: [
    {
      name: 'SharedMap.set',
      role: 'ours',
      compareWith: 'Map.set',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) {
          shared.set(textOf(number++), i)
          if (number % 1000 === 0) shared.barrierBlocking()
        }
        return count
      }),
    },
    {
      name: 'Map.set',
      role: 'peer',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) ours.set(textOf(number++), i)
        return count
      }),
    },
    {
      name: 'lmdb, putSync',
      role: 'peer',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i += 1000)
          database?.transactionSync(() => {
            for (let j = i; j < count && j < i + 1000; j++) database?.putSync(textOf(number++), j)
          })
        return count
      }),
    },
    {
      name: 'sharedmap, set',
      role: 'peer',
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) peer?.set(textOf(number++), i)
        return count
      }),
    },
  ],
}

const bytes = memoryOfNames(all, () => {
  const nameBytes = names.reduce((sum, name) => sum + name.length, 0)
  return { bytes: loadBytes, nameBytes }
})

const load: Suite = {
  title: `load ${ENTRIES.toLocaleString('en')} names`,
  unit: 'ms',
  take: 'median',
  setUp: fill,
  rows: [{ name: 'SharedMap.load', role: 'ours', measure: () => loadTime }],
}

const beside = redisSuite(fill, shared, textOf)

export const suites: readonly Suite[] = [lookUp, again, change, bytes, load, beside]
