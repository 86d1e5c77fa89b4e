/**
 * The page map: a descriptor for each page of the machine, and the other places of this layer's shared memory.
 *
 *     state of the first page of a block:  kind │ TAIL │ order << 4 │ CLEAN │ LARGE │ cache << 12 │ colour << 20
 *
 *     NONE   not the first page of a block, or not the heap's
 *     FREE   in a list of its zone
 *     USED   allocated (its tag says by whom), or in a CPU's stack (tag 0)
 *     SLAB   as USED, and holds objects; so do all further pages of the block (SLAB | TAIL)
 *
 * The map is as long as the memory, 16 bytes a page, but touched only where pages were taken.
 */
import { load32, loadU32, storeU32, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { Directory } from '../bootmem/directory.js'
import type { MemoryMap } from '../machine/memory-map.js'
import { UNIT } from '../machine/limits.js'
import { nodeRange } from '../bootmem/placement.js'
import { PAGE_SHIFT } from './address.js'
import {
  AllocLabel,
  heapHash,
  HeapCpu,
  HeapRoot,
  MAX_ALLOC_LABELS,
  PageDescriptor,
  ZoneLayout,
} from './layouts.js'

export const NONE = 0
export const FREE = 1
export const USED = 2
export const SLAB = 3
export const KIND = 7
/** With SLAB: not the first page. */
export const TAIL = 8
export const ORDER_SHIFT = 4
/** Kind and order of a block's first page. */
export const BLOCK = 0xff
/** The block is known to be all zero. */
export const CLEAN = 1 << 8
/** With USED: handed out by `alloc`. */
export const LARGE = 1 << 9
export const CACHE_SHIFT = 12
export const COLOUR_SHIFT = 20
/** Of the page of a slab: that it is one, and whose. */
export const OF_CACHE = 0xff007

const NAME = 'percpu.alloc'
const type = 'HeapRoot'
export const descriptorWords = PageDescriptor.stride / 4
export const { state, tag, next, previous } = PageDescriptor.words

/** Where everything is; the same on every thread. */
export class HeapMap {
  readonly nodes: number
  readonly cpus: number
  /** Number of whole pages. */
  readonly pages: number
  /** Word index of the root. */
  readonly root: number
  /** Word index of the first page's descriptor. */
  readonly pageMap: number
  readonly debug: number
  readonly #units: number

  constructor(memory: Memory, address: number, { cpus, nodes, units }: MemoryMap) {
    this.nodes = nodes
    this.cpus = cpus
    this.#units = units
    this.pages = Math.floor((units * UNIT) / PAGE_BYTES)
    this.root = address / 4
    this.pageMap = this.heapCpu(cpus)
    this.debug = loadU32(memory.u32, this.root + HeapRoot.words.debug)
  }

  static create(memory: Memory, objects: Directory, map: MemoryMap, debug: number): void {
    const pages = Math.floor((map.units * UNIT) / PAGE_BYTES) + 1
    const labels = debug === 0 ? 0 : MAX_ALLOC_LABELS * AllocLabel.stride
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
    return new HeapMap(
      memory,
      objects.open(NAME, {
        type,
        layout: { name: HeapRoot.name, size: HeapRoot.size, align: HeapRoot.align, hash: heapHash },
      }),
      map,
    )
  }

  /** Word index of a node's ZoneLayout. */
  zone(node: number): number {
    return this.root + (HeapRoot.stride + node * ZoneLayout.stride) / 4
  }
  /** Word index of a CPU's HeapCpu. */
  heapCpu(cpu: number): number {
    return this.zone(this.nodes) + (cpu * HeapCpu.stride) / 4
  }
  /** First page of a node, and the first one behind it. */
  pagesOf(node: number): readonly [number, number] {
    const [low, high] = nodeRange(node, { units: this.#units, nodes: this.nodes })
    return [Math.ceil((low * UNIT) / PAGE_BYTES), Math.floor((high * UNIT) / PAGE_BYTES)]
  }
  nodeOf(page: number): number {
    let node = this.nodes - 1
    while (node > 0 && page < this.pagesOf(node)[0]) node--
    return node
  }
  /** Word index of the first of the labels, which only a machine in debug mode has. */
  get labels(): number {
    return this.descriptor(this.pages + 1)
  }
  /** Word index of a page's descriptor. */
  descriptor(page: number): number {
    return this.pageMap + page * descriptorWords
  }
}

/** The page that begins at `address`, or undefined if none does. */
export function pageAt(address: number, map: HeapMap): number | undefined {
  const page = address / PAGE_BYTES
  return (page | 0) === page && page > 0 && page < map.pages ? page : undefined
}
export function addressOf(page: number): number {
  return page * (1 << PAGE_SHIFT)
}
export function orderOf(stateWord: number): number {
  return (stateWord >>> ORDER_SHIFT) & 0xf
}

/** What is read of descriptors, from one thread. */
export function stateOf(memory: Memory, map: HeapMap, page: number): number {
  return load32(memory.i32, map.descriptor(page) + state)
}
