/**
 * The heap's verifier, without its locks: for memory that nobody is at work on. Beside what
 * `heap.verify` looks at, no lock may be held, and no section begun. What threads left that were
 * killed and not cleaned up after is a fault, too.
 */
import type { Memory } from 'percpu/mem'
import { insideOf } from '../../support/inside.js'

const { CacheLayout, HeapRoot } = await import('../../../dist/alloc/layouts.js')
const { CacheTable } = await import('../../../dist/alloc/cache-table.js')
const { HeapMap } = await import('../../../dist/alloc/heap-map.js')
const { Owner } = await import('../../../dist/alloc/owner.js')
const { Zones } = await import('../../../dist/alloc/zones.js')
const { examine } = await import('../../../dist/alloc/verify.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')
const { LayerRecord, LAYER_LOCKS } = await import('../../../dist/sync/layouts.js')
const { load32, loadU32 } = await import('percpu/mem')

export type Verdict = ReturnType<typeof examine>
/** What a verifier needs of a machine. */
export interface Verified {
  readonly memory: Memory
}

/** The parts of the heap, for one who only reads: every lock is said to be free. */
export function readHeap({ memory }: Verified) {
  const { table, memblock, objects, map } = insideOf(memory)
  const lock = { trySpin: () => true, unlock: () => undefined } as never
  const owner = new Owner({
    table,
    map: HeapMap.open(memory, objects, map),
    memblock,
    cpu: 0,
    token: 0,
    pageLock: lock,
    objectLock: lock,
    isReaper: true,
  })

  return { owner, zones: new Zones(owner), caches: new CacheTable(owner, undefined as never) }
}

/** All that is wrong with the heap, and what is in it, but for what has names. */
export function verify(machine: Verified): Verdict {
  const parts = readHeap(machine)
  const findings = examine(parts, true)
  checkLocks(machine, parts, (text) => findings.fault(text))
  // What has names is not the heap's users'.
  for (const address of insideOf(machine.memory).names.blocks()) findings.objects.delete(address)
  return findings
}

function checkLocks(
  { memory }: Verified,
  { owner: { map }, zones, caches }: ReturnType<typeof readHeap>,
  fault: (text: string) => void,
): void {
  const sync = SyncMap.open(memory, insideOf(memory).objects)
  for (let cpu = 0; cpu < map.cpus; cpu++) {
    for (let level = 0; level < LAYER_LOCKS; level++) {
      const record = sync.layerRecord(cpu, level)
      const lock = loadU32(memory.u32, record + LayerRecord.words.lock)
      const length = loadU32(memory.u32, record + LayerRecord.words.length)
      if (lock !== 0 || length !== 0)
        fault(`CPU ${cpu}, level ${level}: lock ${lock}, ${length} words changed`)
    }
  }
  const isHeld = (word: number): boolean => load32(memory.i32, word) !== 0
  if (isHeld(map.root + HeapRoot.words.lock)) fault('the list of caches is locked')
  for (const zone of zones.list) if (isHeld(zone.lock)) fault(`zone ${zone.node} is locked`)
  for (const { at, name } of caches.all())
    if (isHeld(at + CacheLayout.words.lock)) fault(`cache ${name} is locked`)
}
