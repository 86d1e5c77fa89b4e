/** Where the words of the names are. */
import type { Directory } from '../bootmem/directory.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { NamesCpu, NameSpaceTable, NamesRoot } from './layouts.js'

const NAME = 'percpu.names'
const type = NamesRoot.name

export class NamesMap {
  readonly #address: number
  readonly #cpus: number

  private constructor(address: number, cpus: number) {
    this.#address = address
    this.#cpus = cpus
  }

  static create(objects: Directory, cpus: number): void {
    const size = NamesRoot.stride + cpus * NamesCpu.stride
    objects.create(NAME, { type, layout: { name: type, size, align: NamesRoot.align, hash: NamesRoot.hash } })
  }
  static open(objects: Directory, cpus: number): NamesMap {
    return new NamesMap(objects.open(NAME, { type, layout: NamesRoot }), cpus)
  }

  /** Word indices: of the lock, and of the count of things made. */
  get lock(): number {
    return this.#address / 4 + NamesRoot.words.lock
  }
  get serials(): number {
    return this.#address / 4 + NamesRoot.words.serials
  }
  /** Of a name space's NameSpaceTable. */
  space(number: number): number {
    return (this.#address + NamesRoot.offsets.spaces + number * NameSpaceTable.stride) / 4
  }
  /** Of a CPU's NamesCpu. */
  note(cpu: number): number {
    return (this.#address + NamesRoot.stride + cpu * NamesCpu.stride) / 4
  }

  structs(): PlacedStruct[] {
    const placed: PlacedStruct[] = [{ name: 'names', address: this.#address, struct: NamesRoot }]
    for (let cpu = 0; cpu < this.#cpus; cpu++)
      placed.push({ name: `cpu[${cpu}].names`, address: this.note(cpu) * 4, struct: NamesCpu })
    return placed
  }
}
