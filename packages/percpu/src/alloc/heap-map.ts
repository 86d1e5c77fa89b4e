/**
 * Where the words of this layer lie. All of them are one named object, 'percpu.alloc', but for the
 * caches and slabs, which lie in pages of the heap itself.
 *
 *     HeapRoot │ a ZoneLayout a node │ a HeapCpu a CPU │ a PageDescriptor a page │ labels
 *
 * There is a descriptor for every page of the machine, 16 bytes each. Only those of pages that the
 * heap has taken are ever touched. Labels exist in debug mode only.
 */
import { loadU32, storeU32, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { Directory } from '../bootmem/directory.js'
import { nodeRange } from '../bootmem/placement.js'
import { UNIT } from '../machine/limits.js'
import type { MemoryMap } from '../machine/memory-map.js'
import { Label } from '../watch/vpa-layout.js'
import { heapHash, HeapCpu, HeapRoot, MAX_ALLOC_LABELS, PageDescriptor, ZoneLayout } from './layouts.js'

const NAME = 'percpu.alloc'
const type = 'HeapRoot'
/** Words of a page's descriptor. */
export const DESCRIPTOR_WORDS = PageDescriptor.stride / 4

export class HeapMap {
  readonly nodes: number
  readonly cpus: number
  /** Number of whole pages. */
  readonly pages: number
  /** Word index of the HeapRoot. */
  readonly root: number
  /** Word index of the descriptor of page 0. */
  readonly descriptors: number
  /** Bytes of red zone around each object; 0 unless the machine is in debug mode. */
  readonly debug: number
  readonly #units: number

  constructor(memory: Memory, address: number, { cpus, nodes, units }: MemoryMap) {
    this.nodes = nodes
    this.cpus = cpus
    this.#units = units
    this.pages = Math.floor((units * UNIT) / PAGE_BYTES)
    this.root = address / 4
    this.descriptors = this.heapCpu(cpus)
    this.debug = loadU32(memory.u32, this.root + HeapRoot.words.debug)
  }

  /** At boot. `debug`: bytes of red zone around each object, or 0. */
  static create(memory: Memory, objects: Directory, map: MemoryMap, debug: number): void {
    const pages = Math.floor((map.units * UNIT) / PAGE_BYTES) + 1
    const labels = debug === 0 ? 0 : MAX_ALLOC_LABELS * Label.stride
    const size =
      labels +
      HeapRoot.stride +
      map.nodes * ZoneLayout.stride +
      map.cpus * HeapCpu.stride +
      pages * PageDescriptor.stride
    const layout = { name: HeapRoot.name, size, align: HeapRoot.align, hash: heapHash }
    const init = (address: number): void => {
      storeU32(memory.u32, address / 4 + HeapRoot.words.debug, debug)
    }
    objects.create(NAME, { type, layout, init })
  }

  static open(memory: Memory, objects: Directory, map: MemoryMap): HeapMap {
    const layout = { name: HeapRoot.name, size: HeapRoot.size, align: HeapRoot.align, hash: heapHash }
    return new HeapMap(memory, objects.open(NAME, { type, layout }), map)
  }

  /** Word index of a node's ZoneLayout. */
  zone(node: number): number {
    return this.root + (HeapRoot.stride + node * ZoneLayout.stride) / 4
  }
  /** Word index of a CPU's HeapCpu. */
  heapCpu(cpu: number): number {
    return this.zone(this.nodes) + (cpu * HeapCpu.stride) / 4
  }
  /** Word index of a page's descriptor. */
  descriptor(page: number): number {
    return this.descriptors + page * DESCRIPTOR_WORDS
  }
  /** Word index of the first label. */
  get labels(): number {
    return this.descriptor(this.pages + 1)
  }

  /** First page of a node, and the first one behind it. */
  pagesOf(node: number): readonly [first: number, end: number] {
    const [low, high] = nodeRange(node, { units: this.#units, nodes: this.nodes })
    return [Math.ceil((low * UNIT) / PAGE_BYTES), Math.floor((high * UNIT) / PAGE_BYTES)]
  }
  nodeOf(page: number): number {
    let node = this.nodes - 1
    while (node > 0 && page < this.pagesOf(node)[0]) node--
    return node
  }
}
