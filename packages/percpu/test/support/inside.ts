/** What of a machine only the library itself uses, opened from its memory alone. */
import assert from 'node:assert/strict'
import type { Memory } from 'percpu/mem'
import type { NameSpace } from '../../dist/bootmem/names.js'

// Loaded late: a test may have put another `#mem` under the library before.
const { openBootMemory } = await import('../../dist/bootmem/layer.js')
const { CpuTable } = await import('../../dist/cpus/cpu-table.js')
const { NameTables } = await import('../../dist/names/names.js')
const { NamesMap } = await import('../../dist/names/names-map.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

/** The table of CPUs, the boot allocator, the library's own objects, and what users named. */
export function insideOf(memory: Memory) {
  const map = readMap(memory)
  const table = new CpuTable(memory, map)
  const bootmem = openBootMemory(table, 0, 0)
  // Nothing can be named through it.
  const names = new NameTables(memory, NamesMap.open(bootmem.objects, map.cpus), () => assert.fail())
  return { map, table, ...bootmem, names }
}

/** Byte address of what has a name; 0 if nothing has. */
export function addressOf(memory: Memory, space: NameSpace, name: string): number {
  return [...insideOf(memory).names.each(space)].find((each) => each.name === name)?.address ?? 0
}
