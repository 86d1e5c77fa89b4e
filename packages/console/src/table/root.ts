/**
 * The one word through which all threads find the current table.
 *
 * Guarantees: a thread that follows `current` reads one complete table, until it returns to its
 * event loop or polls; the table it read stays in place that long, because the old one is freed
 * only after `machine.rcu.synchronize()`.
 * Progress: readers are wait-free, one atomic load per synchronous stretch; there is one publisher.
 */
import type { Machine } from 'percpu'
import { loadAtomic32, loadU32, storeAtomic32, type Memory } from 'percpu/mem'
import { TableHeader, TableRoot, UNIT } from './layout.js'
import type { RowCounts } from './row-counts.js'

/** Makes the named root, without a table, or finds it. Returns its address. */
export function createRoot(machine: Machine, name: string): number {
  return machine.objects.openOrCreate(name, TableRoot).address
}

/** Finds the named root. Returns its address. */
export function openRoot(machine: Machine, name: string): number {
  return machine.objects.open(name, TableRoot).address
}

/** Byte address of the current table, or 0. */
export function currentTable(memory: Memory, root: number): number {
  // B(root.current) pairs with A in publishTable: the whole table behind it may be read plainly
  // until this thread returns to its event loop or polls.
  return loadAtomic32(memory.i32, root / 4 + TableRoot.words.current) * UNIT
}

/** Generation of the newest table; 0 before the first one. */
export function newestGeneration(memory: Memory, root: number): number {
  // atomic: a number to show, and the publisher's own count; orders nothing.
  return loadAtomic32(memory.i32, root / 4 + TableRoot.words.generation)
}

/**
 * Ranges of the current table; none before the first one. Only for the thread that publishes: the
 * table stays meanwhile.
 */
export function servedRows(memory: Memory, root: number): RowCounts {
  const address = currentTable(memory, root)
  if (address === 0) return { ipv4: 0, ipv6: 0 }
  const field = (name: 'rows4' | 'rows6') => loadU32(memory.u32, address / 4 + TableHeader.words[name])
  return { ipv4: field('rows4'), ipv6: field('rows6') }
}

/**
 * Makes the finished table at `address` the current one, for all threads at once, and frees the one
 * before as soon as no thread can still be reading it. One publisher at a time.
 *
 * @returns when the old table has been freed: after one grace period.
 */
export async function publishTable(
  machine: Machine,
  root: number,
  address: number,
  generation: number,
): Promise<void> {
  const { memory } = machine
  const { memblock } = machine.heap
  const old = currentTable(memory, root)
  memblock.persist(address)
  // A(root.current) publishes the table; pairs with B in currentTable: from here on its words never
  // change, and the old table is nobody's to begin reading.
  storeAtomic32(memory.i32, root / 4 + TableRoot.words.current, address / UNIT)
  // atomic: as in newestGeneration.
  storeAtomic32(memory.i32, root / 4 + TableRoot.words.generation, generation)
  if (old === 0) return
  await machine.rcu.synchronize()
  memblock.free(old)
}
