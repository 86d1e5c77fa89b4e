import type { Machine } from 'percpu'
import { load32 } from 'percpu/mem'
import { insideOf } from '../../support/inside.js'

const { HeapMap } = await import('../../../dist/alloc/heap-map.js')
const { HeapCpu } = await import('../../../dist/alloc/layouts.js')
const { tablesFor } = await import('../../../dist/percpu/tables.js')

/**
 * Pages that were taken from the page allocator and that per-CPU memory does not know of. Nothing
 * else may use the heap.
 */
export function pagesOutside(machine: Machine): number {
  machine.heap.pages.trim()
  const taken = machine.heap.pages.report().reduce((sum, { total, free }) => sum + total - free, 0) / 4096
  const { backend, chunks, cpus, unitBytes, tableBytes, overhead } = machine.percpu.report()
  const ordinary = chunks.filter(({ kind }) => kind === 'ordinary')
  const block = 2 ** Math.ceil(Math.log2((cpus * unitBytes) / 4096))
  const record = overhead / 4096 - (backend === 'km' ? block - (cpus * unitBytes) / 4096 : 0)
  const known = ordinary.map(({ populated }) => record + (backend === 'km' ? block : populated * cpus))
  // The tables of the first chunk are boot memory.
  const tables = backend === 'km' ? 0 : tableBytes / 4096 - tablesFor((2 * cpus * unitBytes) / 4096)
  return taken - known.reduce((sum, pages) => sum + pages, tables) - pagesInStacks(machine)
}

/**
 * Free pages in the stacks of all CPUs. A reaper leaves those of a dead CPU there if it meets the
 * lock of their zone taken, as that of another dead CPU may be. The next thread of that CPU has
 * them.
 */
function pagesInStacks({ memory }: Machine): number {
  const { objects, map } = insideOf(memory)
  const heap = HeapMap.open(memory, objects, map)
  const counts = Array.from({ length: map.cpus }, (_, cpu) =>
    load32(memory.i32, heap.heapCpu(cpu) + HeapCpu.words.pageCount),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}

/**
 * Takes the lock of each zone once. So what reapers left in flight for that lock's owner is free.
 */
export function sweepZones({ heap: { pages } }: Machine): void {
  for (const node of pages.report().keys()) {
    const address = pages.tryAlloc(1, { node })
    if (address !== undefined) pages.free(address, 1)
  }
}
