/** Where this layer's shared memory is: one named object, made at boot. */
import { loadU32, storeU32, type Memory } from '#mem'
import { roundUp } from '../arithmetic.js'
import { array, struct } from '../layout/index.js'
import { checkRange } from '../machine/check.js'
import type { Directory } from '../bootmem/directory.js'
import type { JournalLocation } from './journal.js'
import {
  JOURNAL_ENTRIES,
  JournalEntry,
  LayerRecord,
  MAX_JOURNAL_ENTRIES,
  SyncCpu,
  SyncRoot,
} from './layouts.js'
import type { PlacedStruct } from '../machine/placed-struct.js'

const NAME = 'percpu.sync'
const type = 'SyncRoot'
const first = Math.max(SyncRoot.size, SyncCpu.align)

export class SyncMap {
  readonly journalEntries: number
  readonly #address: number
  readonly #stride: number

  private constructor(address: number, journalEntries: number) {
    this.#address = address
    this.journalEntries = journalEntries
    this.#stride = strideFor(journalEntries)
  }

  static create(memory: Memory, objects: Directory, cpus: number, journalEntries = JOURNAL_ENTRIES): SyncMap {
    checkRange('journal', journalEntries, 1, MAX_JOURNAL_ENTRIES)
    const size = first + cpus * strideFor(journalEntries)
    const layout = { name: SyncRoot.name, size, align: SyncRoot.align, hash: SyncRoot.hash }
    const init = (address: number): void => {
      storeU32(memory.u32, address / 4 + SyncRoot.words.journalEntries, journalEntries)
    }
    return new SyncMap(objects.create(NAME, { type, layout, init }), journalEntries)
  }

  static open(memory: Memory, objects: Directory): SyncMap {
    const address = objects.open(NAME, { type, layout: SyncRoot })
    return new SyncMap(address, loadU32(memory.u32, address / 4 + SyncRoot.words.journalEntries))
  }

  /** What lies where, for a machine of this many CPUs. */
  structs(cpus: number): PlacedStruct[] {
    const Journal = struct('Journal', { entries: array(JournalEntry, this.journalEntries) })
    const placed: PlacedStruct[] = [{ name: 'sync', address: this.#address, struct: SyncRoot }]
    for (let cpu = 0; cpu < cpus; cpu++) {
      const address = this.record(cpu) * 4
      placed.push({ name: `cpu[${cpu}].sync`, address, struct: SyncCpu })
      placed.push({ name: `cpu[${cpu}].journal`, address: address + SyncCpu.stride, struct: Journal })
    }
    return placed
  }

  /** Word index of a CPU's SyncCpu. */
  record(cpu: number): number {
    return (this.#address + first + cpu * this.#stride) / 4
  }

  /** Of the sections of a CPU's users. */
  journal(cpu: number): JournalLocation {
    const record = this.record(cpu)
    const length = record + SyncCpu.words.journalLength
    return { length, first: record + SyncCpu.stride / 4, capacity: this.journalEntries }
  }

  /** Word index of what a CPU does under the locks of a layer. */
  layerRecord(cpu: number, layer: number): number {
    return this.record(cpu) + SyncCpu.words.layers + (layer * LayerRecord.stride) / 4
  }
}

function strideFor(journalEntries: number): number {
  const size = SyncCpu.stride + journalEntries * JournalEntry.stride
  return roundUp(size, SyncCpu.align)
}
