/**
 * What lies where in a machine's memory, for tools that show memory: dumps, traces, model checkers.
 *
 * The words of each CPU are listed under `cpu[n]`. Objects of users are theirs to describe.
 */
import { array, atomic, i32, struct, type AnyStruct } from '../layout/index.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { Cpu, DirectoryEntry, Header, RegionTable } from './layouts.js'
import { UNIT } from './limits.js'
import { regionTableStride } from './memory-map.js'
import { CpuWatch, DispatchEntry, LOG_ENTRIES, Vpa } from '../watch/vpa-layout.js'
import { VpaRegistry } from '../watch/vpa-registry.js'

/** A struct and the byte address at which it lies. */
export interface PlacedStruct {
  readonly name: string
  readonly address: number
  readonly struct: AnyStruct
}

const Log = struct('DispatchLog', { entries: array(DispatchEntry, LOG_ENTRIES) })

/** The structs of this layer, those of the named objects excepted. */
export function placedStructs(table: CpuTable, entries: Iterable<number>): PlacedStruct[] {
  const { map } = table
  const placed: PlacedStruct[] = [{ name: 'header', address: 0, struct: Header }]
  const answers = struct('CallAnswers', { to: array(atomic(i32), map.cpus) })
  const registry = new VpaRegistry(table)
  const stride = regionTableStride(map.cpus)
  for (let cpu = 0; cpu < map.cpus; cpu++) {
    const add = (name: string, address: number, struct: AnyStruct): void => {
      placed.push({ name: `cpu[${cpu}]${name}`, address, struct })
    }
    add('', table.record(cpu) * 4, Cpu)
    add('.answers', (map.callTable + cpu * map.cpus) * 4, answers)
    add('.watch', table.watch(cpu) * 4, CpuWatch)
    for (let i = 0; i < 2; i++)
      add(`.regions[${i}]`, map.regionTables * 4 + (2 * cpu + i) * stride, RegionTable)
    const areas = registry.areas(cpu)
    if (areas === undefined) continue
    add('.vpa', areas.vpa, Vpa)
    add('.log', areas.log, Log)
  }
  for (const entry of entries)
    placed.push({ name: `entry at ${entry * UNIT}`, address: entry * UNIT, struct: DirectoryEntry })
  return placed
}
