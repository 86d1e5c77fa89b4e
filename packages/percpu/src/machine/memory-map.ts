/**
 * Where things are in a machine's memory. Boot decides it; every thread that joins reads it from
 * the header page.
 *
 *     0        header page
 *     4096     one Cpu record per possible CPU
 *              call answers: cpus × cpus words (cpus/call-records.ts)
 *              nodes of the grace periods' tree, the leaves first (cpus/rcu-tree.ts)
 *              region tables: two per possible CPU (bootmem/memblock.ts)
 *     …        boot memory, handed out by memblock
 */
import { loadU32, storeAtomic32, storeF64, storeU32, type Memory } from '#mem'
import { PAGE_BYTES, roundUp } from '../arithmetic.js'
import { unixTime } from './clock.js'
import {
  Cpu,
  FLAG_DEBUG_RCU,
  FLAG_MMU,
  FLAG_SMP,
  Header,
  layoutHash,
  RcuNode,
  Region,
  RegionTable,
} from './layouts.js'
import { FORMAT_VERSION, MAGIC, maxRegions, UNIT } from './limits.js'

export interface MemoryMap {
  readonly cpus: number
  readonly nodes: number
  readonly smp: boolean
  readonly mmu: boolean
  /** SRCU is in debug mode. */
  readonly debugRcu: boolean
  /** Children of a node of the grace periods' tree, at most. */
  readonly fanout: number
  readonly id: number
  /** Size of the memory in {@link UNIT}s. */
  readonly units: number
  /** Word indices. */
  readonly cpuTable: number
  readonly callTable: number
  readonly rcuNodes: number
  readonly regionTables: number
  /** Nodes of each level of the grace periods' tree, from the leaves to the root. */
  readonly rcuLevels: readonly number[]
  /** First unit that memblock hands out. */
  readonly firstUnit: number
}

/** The map of a machine of this shape. Pure: boot writes it into the header, tests predict it. */
export function planMap(shape: {
  cpus: number
  nodes: number
  smp: boolean
  mmu: boolean
  debugRcu: boolean
  fanout: number
  units: number
  id: number
}): MemoryMap {
  const cpuTable = Math.max(PAGE_BYTES, Header.size)
  const callTable = cpuTable + shape.cpus * Cpu.stride
  const rcuNodes = roundUp(callTable + shape.cpus * shape.cpus * 4, UNIT)
  const rcuLevels = levelsOf(shape.cpus, shape.fanout)
  const regionTables = rcuNodes + rcuLevels.reduce((sum, nodes) => sum + nodes, 0) * RcuNode.stride
  const end = regionTables + 2 * shape.cpus * regionTableStride(shape.cpus)
  return {
    ...shape,
    cpuTable: cpuTable / 4,
    callTable: callTable / 4,
    rcuNodes: rcuNodes / 4,
    regionTables: regionTables / 4,
    rcuLevels,
    firstUnit: Math.ceil(end / UNIT),
  }
}

/** Nodes of each level of a tree with so many CPUs below its leaves. */
function levelsOf(cpus: number, fanout: number): readonly number[] {
  const levels = [Math.ceil(cpus / fanout)]
  for (let nodes = levels[0] ?? 1; nodes > 1; levels.push(nodes)) nodes = Math.ceil(nodes / fanout)
  return levels
}

/** Bytes from one region table to the next. */
export function regionTableStride(cpus: number): number {
  return roundUp(RegionTable.offsets.regions + maxRegions(cpus) * Region.size, UNIT)
}

/** Reads the map back from the header page of a memory that {@link openHandle} accepted. */
export function readMap({ u32 }: Memory): MemoryMap {
  const flags = loadU32(u32, Header.words.flags)
  return planMap({
    cpus: loadU32(u32, Header.words.cpus),
    nodes: loadU32(u32, Header.words.nodes),
    smp: (flags & FLAG_SMP) !== 0,
    mmu: (flags & FLAG_MMU) !== 0,
    debugRcu: (flags & FLAG_DEBUG_RCU) !== 0,
    fanout: loadU32(u32, Header.words.fanout),
    units: loadU32(u32, Header.words.units),
    id: loadU32(u32, Header.words.id),
  })
}

/** Writes the header page and each CPU's node, at boot. */
export function writeHeader(memory: Memory, map: MemoryMap): void {
  const { words } = Header
  const fields = {
    magic: MAGIC,
    version: FORMAT_VERSION,
    layoutHash,
    units: map.units,
    id: map.id,
    cpus: map.cpus,
    nodes: map.nodes,
    flags: (map.smp ? FLAG_SMP : 0) | (map.mmu ? FLAG_MMU : 0) | (map.debugRcu ? FLAG_DEBUG_RCU : 0),
    cpuTable: (map.cpuTable * 4) / UNIT,
    callTable: (map.callTable * 4) / UNIT,
    rcuNodes: (map.rcuNodes * 4) / UNIT,
    fanout: map.fanout,
    regionTables: (map.regionTables * 4) / UNIT,
  }
  for (const [name, value] of Object.entries(fields))
    storeU32(memory.u32, words[name as keyof typeof fields], value)
  storeF64(memory.f64, Header.offsets.epoch / 8, unixTime())
  for (let cpu = 0; cpu < map.cpus; cpu++) {
    const node = Math.floor((cpu * map.nodes) / map.cpus)
    storeU32(memory.u32, map.cpuTable + (cpu * Cpu.stride) / 4 + Cpu.words.node, node)
  }
}

/** Lets other threads join: after the layers have made their memory. */
export function publishHeader(memory: Memory): void {
  // A(header.ready) publishes the header page, the tables and the layers' named objects; pairs with
  // B in openHandle: all published words are immutable from here on. Mutant: machine/ready-first.
  storeAtomic32(memory.i32, Header.words.ready, 1)
}
