/** Boot memory as a layer: what the calling CPU allocates with, and what a reaper gives back. */
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { DirectoryEntry, RegionTable } from '../machine/layouts.js'
import { UNIT } from '../machine/limits.js'
import { regionTableStride } from '../machine/memory-map.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { Directory } from './directory.js'
import { Memblock } from './memblock.js'
import type { Names } from './names.js'

/** What a layer above is given of the CPU that it is attached to. */
export interface LayerContext {
  readonly own: OwnCpu
  readonly memblock: Memblock
  readonly objects: Directory
  /** What users name; there once the layer of the names is attached. */
  readonly names: Names
}

/** At boot, before anything is allocated. */
export function initialiseBootMemory({ table, cpu, incarnation }: OwnCpu): void {
  openBootMemory(table, cpu, incarnation).memblock.initialise()
}

export class BootMemory implements AttachedLayer, LayerContext {
  readonly name = 'bootmem'
  readonly own: OwnCpu
  readonly memblock: Memblock
  readonly objects: Directory
  #names: Names | undefined

  constructor(own: OwnCpu) {
    this.own = own
    this.memblock = new Memblock(own.memory, own.map, own.cpu, own.incarnation)
    this.objects = new Directory(own.memory, this.memblock)
  }

  get names(): Names {
    if (this.#names) return this.#names
    throw new TypeError('the layer of the names is not attached yet')
  }
  /** Once, by that layer. */
  set names(names: Names) {
    this.#names = names
  }

  /** Regions that are not persistent end with this incarnation, as they would at its death. */
  detach(): void {
    reclaim(this.memblock, this.objects)
  }

  release({ table, cpu, incarnation }: Recovery): void {
    const { memblock, objects } = openBootMemory(table, cpu, incarnation)
    reclaim(memblock, objects)
  }

  structs(): readonly PlacedStruct[] {
    const { map } = this.own
    const placed: PlacedStruct[] = []
    const stride = regionTableStride(map.cpus)
    for (let index = 0; index < 2 * map.cpus; index++) {
      const name = `cpu[${index >>> 1}].regions[${index & 1}]`
      placed.push({ name, address: map.regionTables * 4 + index * stride, struct: RegionTable })
    }
    for (const entry of this.objects.entries()) {
      const address = entry * UNIT
      placed.push({ name: `entry at ${address}`, address, struct: DirectoryEntry })
    }
    return placed
  }
}

/** Boot memory through any table, in the place of one incarnation of a CPU. */
export function openBootMemory(
  { memory, map }: CpuTable,
  cpu: number,
  incarnation: number,
): Pick<LayerContext, 'memblock' | 'objects'> {
  const memblock = new Memblock(memory, map, cpu, incarnation)
  return { memblock, objects: new Directory(memory, memblock) }
}

function reclaim(memblock: Memblock, objects: Directory): void {
  memblock.reclaim((address, size) => objects.isLinked(address, size))
}
