/**
 * The boot allocator: few, large regions of memory. Any thread takes and returns them at any time,
 * also one that is killed half-way. (After the kernel's memblock: a sorted list of regions, first
 * fit.)
 *
 *     header.activeRegions = version × 2^16 + table number
 *     table number = cpu × 2 + (0 | 1): a complete sorted list of the regions in use
 *
 * A change copies the current list into one of its own CPU's two tables, the one that is not
 * current. It changes the list there, and makes it current by one compare-and-exchange. So there is
 * no lock to be left behind, and a thread killed at any point either has made its change or not.
 * The version has 48 bits, so an old table is not taken for a new one: a thread would have to stop
 * in the middle of a change for exactly 2^48 others. At 10 µs each they take 89 years.
 *
 * Rules: a table is written by its own CPU, or that CPU's reaper, while it is not current. A
 * reader's copy may be torn when the table is rewritten under it. The reader's compare-and-exchange
 * then fails, because the version has moved on, and the reader starts again. All words are atomic.
 *
 * Progress: lock-free.
 * Cost: tens of µs; for a few hundred regions, not for objects.
 */
import {
  compareExchangeAtomicU64,
  fillBytes,
  loadAtomic32,
  loadAtomicU64,
  storeAtomic32,
  type Memory,
} from '#mem'
import { roundUp } from '../arithmetic.js'
import { showAs } from '../inspect.js'
import { shown } from '../shown.js'
import { InvalidFreeError, OutOfMemoryError } from '../machine/errors.js'
import { Header, Region, RegionTable } from '../machine/layouts.js'
import { LABEL_BYTES, MAX_NODES, maxRegions, UNIT } from '../machine/limits.js'
import { cpuOf, incarnationOf, tokenOf } from '../machine/token.js'
import { regionTableStride, type MemoryMap } from '../machine/memory-map.js'
import { checkRequest, findPlace, gapsOf, nodeOf, nodeRange, type AllocRequest } from './placement.js'
import { ofThisThread } from '../unsendable.js'

/** A region of boot memory. */
export interface RegionInfo {
  readonly address: number
  readonly size: number
  readonly node: number
  readonly label: string
  /** The CPU that it would be freed with, or undefined for a region that is persistent. */
  readonly owner: { readonly cpu: number; readonly incarnation: number } | undefined
}

/** What is allocated from boot memory, and what is free. */
export interface MemblockReport {
  /** Bytes: of the machine, in regions, free, and of the largest free block. */
  readonly total: number
  readonly used: number
  readonly free: number
  readonly largestFree: number
  readonly regions: readonly RegionInfo[]
}

interface RegionRecord {
  start: number
  units: number
  owner: number
  label: readonly number[]
}
interface Regions {
  readonly active: bigint
  readonly high: number[]
  readonly list: RegionRecord[]
}

const versionStep = 1n << 16n
const ZERO_BYTES = 2 ** 30
const recordWords = Region.size / 4

/** What users have of it: `machine.heap.memblock`. */
export type BootRegions = Pick<Memblock, 'alloc' | 'free' | 'persist' | 'report'>

export class Memblock {
  static {
    showAs(this, (memblock) => {
      const { total, used, free } = memblock.report()
      return { total, used, free }
    })
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly #memory: Memory
  readonly #map: MemoryMap
  readonly #cpu: number
  readonly #owner: number

  /** Acts for one incarnation of a CPU: its own thread, or its reaper. */
  constructor(memory: Memory, map: MemoryMap, cpu: number, incarnation: number) {
    this.#memory = memory
    this.#map = map
    this.#cpu = cpu
    this.#owner = tokenOf(cpu, incarnation)
  }

  /**
   * Takes a region and returns its address, a multiple of 64. It belongs to the calling CPU. It is
   * freed should that CPU's thread die, until it is {@link persist | made persistent} or freed.
   *
   * @throws ArgumentError for a request that no memory could satisfy; OutOfMemoryError when this
   *   one cannot; OfflineError.
   */
  alloc(request: AllocRequest): number {
    const wanted = checkRequest(
      request,
      this.#map,
      Math.floor((this.#cpu * this.#map.nodes) / this.#map.cpus),
    )
    let dirtyUnits = 0
    const start = this.#change((regions) => {
      const place = findPlace(regions.list, wanted, this.#map)
      if (place === undefined || regions.list.length >= maxRegions(this.#map.cpus))
        throw this.#outOfMemory(request, regions.list)
      const node = nodeOf(place, this.#map)
      dirtyUnits = Math.max(0, Math.min(regions.high[node] ?? 0, place + wanted.units) - place)
      regions.high[node] = Math.max(regions.high[node] ?? 0, place + wanted.units)
      regions.list.push({
        start: place,
        units: wanted.units,
        owner: this.#owner,
        label: packLabel(request.label ?? ''),
      })
      return place
    })
    if (request.zero !== false) this.#zero(start * UNIT, dirtyUnits * UNIT)
    return start * UNIT
  }

  /** In pieces, because no byte view spans more than 4 GiB in Node 20. */
  #zero(address: number, bytes: number): void {
    for (let done = 0; done < bytes; done += ZERO_BYTES) {
      fillBytes(this.#memory, address + done, Math.min(ZERO_BYTES, bytes - done), 0)
    }
  }

  /**
   * Returns the region that starts at `address`; any thread may. The caller sees to it that nobody
   * still reads it (`machine.rcu.synchronize()`).
   *
   * @throws InvalidFreeError unless the address is that of an allocated region; OfflineError.
   */
  free(address: number): void {
    this.#change(({ list }) => list.splice(this.#locate(list, address, 'free'), 1))
  }

  /**
   * Frees the region that starts at `address` if it still is the one with this label. Returns
   * whether it was.
   */
  freeLabelled(address: number, label: string): boolean {
    const wanted = packLabel(label).join()
    return this.#change(({ list }) => {
      const index = list.findIndex(
        (region) => region.start * UNIT === address && region.label.join() === wanted,
      )
      if (index > 0) list.splice(index, 1)
      return index > 0
    })
  }

  /**
   * From now on the region outlives the thread that allocated it. Do this before other threads can
   * find it.
   *
   * @throws InvalidFreeError unless the address is that of an allocated region; OfflineError.
   */
  persist(address: number): void {
    this.#change(({ list }) => {
      const region = list[this.#locate(list, address, 'keep')]
      if (region) region.owner = 0
    })
  }

  /**
   * @internal The opposite of {@link persist}: it belongs to the calling CPU, and is freed should
   *   that CPU's thread die.
   */
  adopt(address: number): void {
    this.#change(({ list }) => {
      const region = list[this.#locate(list, address, 'adopt')]
      if (region) region.owner = this.#owner
    })
  }
  /** @internal Whether the region that starts there is freed with this CPU's thread. */
  isOwn(address: number): boolean {
    return this.#read().list.some(({ start, owner }) => start * UNIT === address && owner === this.#owner)
  }

  /** For the reaper: as {@link persist}, if the region would be freed with this incarnation. */
  persistOwn(address: number): void {
    if (this.isOwn(address)) this.persist(address)
  }

  /**
   * Bytes of the largest region that could be taken now from this node, at a multiple of `align`.
   * Cost: one look at the list.
   */
  room(node: number, align: number): number {
    const [low, high] = nodeRange(node, this.#map)
    const sizes = gapsOf(this.#read().list, this.#map.units).map(
      ([from, to]) => Math.min(to, high) - roundUp(Math.max(from, low), align / UNIT),
    )
    return Math.max(0, ...sizes) * UNIT
  }

  /** Another number after each change: what did not fit still does not, while it stays. */
  get version(): bigint {
    // atomic: a snapshot; what hangs on it is only whether to look.
    return loadAtomicU64(this.#memory.u64, Header.offsets.activeRegions / 8)
  }

  /** What is allocated, where, for whom. A consistent snapshot. */
  report(): MemblockReport {
    const { list } = this.#read()
    const total = this.#map.units
    const used = list.reduce((sum, { units }) => sum + units, 0)
    const gaps = gapsOf(list, total).map(([from, to]) => to - from)
    return {
      total: total * UNIT,
      used: used * UNIT,
      free: (total - used) * UNIT,
      largestFree: Math.max(0, ...gaps) * UNIT,
      regions: list.map((region) => ({
        address: region.start * UNIT,
        size: region.units * UNIT,
        node: nodeOf(region.start, this.#map),
        label: unpackLabel(region.label),
        owner:
          region.owner === 0
            ? undefined
            : { cpu: cpuOf(region.owner), incarnation: incarnationOf(region.owner) },
      })),
    }
  }

  /** For boot: the first table, with the machine's own structures as one region. */
  initialise(): void {
    this.#write(0, {
      high: initialHigh(this.#map),
      list: [{ start: 0, units: this.#map.firstUnit, owner: 0, label: packLabel('machine') }],
    })
    this.#publish(0n, versionStep)
  }

  /**
   * For the reaper: frees what the incarnation had allocated and neither made persistent nor
   * linked. Returns the bytes freed.
   */
  reclaim(isLinked: (address: number, size: number) => boolean): number {
    return this.#change(({ list }) => {
      let units = 0
      for (const region of list.filter(({ owner }) => owner === this.#owner)) {
        if (isLinked(region.start * UNIT, region.units * UNIT)) {
          region.owner = 0
        } else {
          units += region.units
          list.splice(list.indexOf(region), 1)
        }
      }
      return units * UNIT
    })
  }

  /**
   * Reads, lets `edit` change a private copy, and publishes it; again from the start if another
   * thread was faster.
   */
  #change<Result>(edit: (regions: Regions) => Result): Result {
    for (;;) {
      const regions = this.#read()
      const result = edit(regions)
      regions.list.sort((a, b) => a.start - b.start)
      const current = Number(regions.active % versionStep)
      const table = current === this.#cpu * 2 ? this.#cpu * 2 + 1 : this.#cpu * 2
      this.#write(table, regions)
      if (this.#publish(regions.active, (regions.active / versionStep + 1n) * versionStep + BigInt(table)))
        return result
    }
  }

  #publish(expected: bigint, active: bigint): boolean {
    // G(header.activeRegions) publishes a complete list; pairs with H in #active: from here on the
    // table must not change until another one is current. The table before it is its CPU's to
    // overwrite. Mutant: bootmem/regions-publish-first.
    return (
      compareExchangeAtomicU64(this.#memory.u64, Header.offsets.activeRegions / 8, expected, active) ===
      expected
    )
  }

  /** A consistent copy: the version did not move while it was made. */
  #read(): Regions {
    for (;;) {
      const active = this.#active()
      const base = this.#table(Number(active % versionStep))
      const count = this.#load(base + RegionTable.words.count)
      const high = []
      for (let node = 0; node < MAX_NODES; node++) high.push(this.#load(base + RegionTable.words.high + node))
      const list: RegionRecord[] = []
      for (let i = 0; i < count; i++)
        list.push(this.#loadRegion(base + RegionTable.words.regions + i * recordWords))
      if (this.#active() === active) return { active, high, list }
    }
  }

  #active(): bigint {
    // H(header.activeRegions) pairs with G in #publish: before the copy it says which table to
    // read, after it that the table was not given back meanwhile. Mutant:
    // bootmem/regions-unchecked-read.
    return loadAtomicU64(this.#memory.u64, Header.offsets.activeRegions / 8)
  }

  #loadRegion(word: number): RegionRecord {
    const label = []
    for (let i = 0; i < LABEL_BYTES / 4; i++) label.push(this.#load(word + Region.words.label + i))
    return {
      start: this.#load(word + Region.words.start),
      units: this.#load(word + Region.words.units),
      owner: this.#load(word + Region.words.owner),
      label,
    }
  }

  #write(table: number, { high, list }: Pick<Regions, 'high' | 'list'>): void {
    const base = this.#table(table)
    this.#store(base + RegionTable.words.count, list.length)
    high.forEach((unit, node) => this.#store(base + RegionTable.words.high + node, unit))
    list.forEach((region, i) => {
      const word = base + RegionTable.words.regions + i * recordWords
      this.#store(word + Region.words.start, region.start)
      this.#store(word + Region.words.units, region.units)
      this.#store(word + Region.words.owner, region.owner)
      region.label.forEach((value, j) => this.#store(word + Region.words.label + j, value))
    })
  }

  #table(number: number): number {
    return this.#map.regionTables + (number * regionTableStride(this.#map.cpus)) / 4
  }
  #load(word: number): number {
    // atomic: ordered by G and H; a torn copy is thrown away.
    return loadAtomic32(this.#memory.i32, word)
  }
  #store(word: number, value: number): void {
    // atomic: ordered by G; nobody else writes this table.
    storeAtomic32(this.#memory.i32, word, value)
  }

  #locate(list: readonly RegionRecord[], address: number, verb: string): number {
    const index = list.findIndex(({ start }) => start * UNIT === address)
    if (index > 0) return index
    throw new InvalidFreeError(
      `cannot ${verb} address ${shown(address)}: no region that memblock handed out starts there`,
      { address },
    )
  }

  #outOfMemory(request: AllocRequest, list: readonly RegionRecord[]): OutOfMemoryError {
    const largest = Math.max(0, ...gapsOf(list, this.#map.units).map(([from, to]) => to - from)) * UNIT
    const why =
      list.length >= maxRegions(this.#map.cpus)
        ? `all ${maxRegions(this.#map.cpus)} regions are in use`
        : `the largest free block has ${largest} bytes; boot with more \`memory\` or loosen align, limit or noCross`
    return new OutOfMemoryError(
      `no room for ${request.size} bytes${request.label ? ` (${request.label})` : ''}: ${why}`,
      {
        ...request,
        largestFree: largest,
      },
    )
  }
}

function initialHigh(map: MemoryMap): number[] {
  const high = Array.from({ length: MAX_NODES }, (_, node) =>
    node < map.nodes ? nodeRange(node, map)[0] : 0,
  )
  high[0] = map.firstUnit
  return high
}

function packLabel(label: string): number[] {
  const words = new Array<number>(LABEL_BYTES / 4).fill(0)
  for (let i = 0; i < Math.min(label.length, LABEL_BYTES); i++) {
    words[i >> 2] = (words[i >> 2] ?? 0) | ((label.charCodeAt(i) & 0x7f) << ((i & 3) * 8))
  }
  return words
}
function unpackLabel(words: readonly number[]): string {
  const codes = words.flatMap((word) => [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff))
  return String.fromCharCode(...codes.filter((code) => code !== 0))
}
