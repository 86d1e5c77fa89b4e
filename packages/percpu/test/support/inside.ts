/** What of a machine only the library itself uses, opened from its memory alone. */
import type { Memory } from 'percpu/mem'

// Loaded late: a test may have put another `#mem` under the library before.
const { openBootMemory } = await import('../../dist/bootmem/layer.js')
const { CpuTable } = await import('../../dist/cpus/cpu-table.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

/** The table of CPUs, the boot allocator and the directory of named objects. */
export function insideOf(memory: Memory) {
  const map = readMap(memory)
  const table = new CpuTable(memory, map)
  return { map, table, ...openBootMemory(table, 0, 0) }
}
