/**
 * The verifier: every word of the heap's metadata, checked against all others. To be called while nobody is at work; what threads left
 * that were killed and not cleaned up after is a fault, too.
 */
import type { Memory } from 'percpu/mem'
import { insideOf } from '../../support/inside.js'

const { HeapCpu, HeapRoot, MagazineLayout, ORDERS, ZoneLayout, CacheLayout, SlabLayout } =
  await import('../../../dist/alloc/layouts.js')
const { BLOCK, FREE, HeapMap, KIND, NONE, ORDER_SHIFT, SLAB, TAIL, USED, state, tag, next, previous } =
  await import('../../../dist/alloc/page-map.js')
const { CacheTable } = await import('../../../dist/alloc/cache-table.js')
const { magazineOf } = await import('../../../dist/alloc/magazine.js')
const { TAGS } = await import('../../../dist/alloc/slabs.js')
const { isPersistent } = await import('../../../dist/alloc/tag.js')
const { cpuOf, incarnationOf } = await import('../../../dist/machine/token.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')
const { LayerRecord, LAYER_LOCKS } = await import('../../../dist/sync/layouts.js')
const { load32, loadU32 } = await import('percpu/mem')

type HeapMapType = InstanceType<typeof HeapMap>
const zone = ZoneLayout.words
const cacheWords = CacheLayout.words
const slabWords = SlabLayout.words

/** The members of a cache that only the library and this file use. */
interface Cache {
  readonly name: string
  readonly word: number
  readonly geometry: { readonly objects: number; readonly capacity: number }
  readonly slabs: {
    readonly slabCount: number
    readonly emptyCount: number
    freeIn(page: number): number
    freeObjects(page: number): Iterable<number>
  }
  addressIn(page: number, index: number): number
}

export interface Verdict {
  /** Empty if all is well. */
  readonly faults: readonly string[]
  /** Pages that are allocated, by tag: blocks of `pages` and `alloc`, blocks of caches, slabs. */
  readonly blocks: ReadonlyMap<
    number,
    { readonly order: number; readonly tag: number; readonly kind: number }
  >
  /** First pages of the blocks of caches. */
  readonly cacheBlocks: ReadonlySet<number>
  /** Allocated objects by address. */
  readonly objects: ReadonlyMap<number, { readonly tag: number; readonly cache: string }>
  /** Pages that are free, in lists, stacks, or untouched; and all. */
  readonly freePages: number
  readonly pages: number
}

/** What the verifier looks at. */
export interface Verified {
  readonly memory: Memory
}

export function verify(machine: Verified): Verdict {
  return new Verifier(machine).run()
}

class Verifier {
  readonly #machine: Verified
  readonly #inside: ReturnType<typeof insideOf>
  readonly #map: HeapMapType
  readonly #faults: string[] = []
  readonly #blocks = new Map<number, { order: number; tag: number; kind: number }>()
  readonly #objects = new Map<number, { tag: number; cache: string }>()
  readonly #cacheBlocks = new Set<number>()
  readonly #inStacks = new Map<number, number>()
  #freePages = 0
  #pages = 0

  constructor(machine: Verified) {
    this.#machine = machine
    this.#inside = insideOf(machine.memory)
    this.#map = HeapMap.open(machine.memory, this.#inside.objects, this.#inside.map)
  }

  run(): Verdict {
    this.#checkLevels()
    this.#readStacks()
    for (let node = 0; node < this.#map.nodes; node++) this.#checkZone(node)
    this.#checkStacks()
    this.#checkSpans()
    this.#checkCaches()
    this.#checkOwners()
    return {
      faults: this.#faults,
      blocks: this.#blocks,
      cacheBlocks: this.#cacheBlocks,
      objects: this.#objects,
      freePages: this.#freePages,
      pages: this.#pages,
    }
  }

  #fault(text: string): void {
    if (this.#faults.length < 20) this.#faults.push(text)
  }
  #i32(word: number): number {
    return load32(this.#machine.memory.i32, word)
  }
  #u32(word: number): number {
    return loadU32(this.#machine.memory.u32, word)
  }
  #state(page: number): number {
    return this.#i32(this.#map.descriptor(page) + state)
  }
  #tag(page: number): number {
    return this.#i32(this.#map.descriptor(page) + tag)
  }

  #checkLevels(): void {
    const map = SyncMap.open(this.#machine.memory, this.#inside.objects)
    for (let cpu = 0; cpu < this.#map.cpus; cpu++) {
      for (let layer = 0; layer < LAYER_LOCKS; layer++) {
        const record = map.layerRecord(cpu, layer)
        const lock = this.#u32(record + LayerRecord.words.lock)
        const length = this.#u32(record + LayerRecord.words.length)
        if (lock !== 0 || length !== 0)
          this.#fault(`CPU ${cpu}, layer ${layer}: lock ${lock}, ${length} words changed`)
      }
    }
    if (this.#i32(this.#map.root + HeapRoot.words.lock) !== 0) this.#fault('the list of caches is locked')
  }

  #readStacks(): void {
    for (let cpu = 0; cpu < this.#map.cpus; cpu++) {
      const at = this.#map.heapCpu(cpu) + HeapCpu.words.pageCount
      for (let i = this.#i32(at); i > 0; i--) {
        const page = this.#i32(at + i)
        if (this.#inStacks.has(page)) this.#fault(`page ${page} is in two stacks`)
        this.#inStacks.set(page, cpu)
      }
    }
  }
  #checkStacks(): void {
    for (const [page, cpu] of this.#inStacks) {
      if ((this.#state(page) & BLOCK) !== (USED | (0 << ORDER_SHIFT)))
        this.#fault(`page ${page} in the stack of CPU ${cpu} has state ${this.#state(page).toString(16)}`)
      if (this.#tag(page) !== 0)
        this.#fault(`page ${page} in the stack of CPU ${cpu} has tag ${this.#tag(page).toString(16)}`)
    }
  }

  #checkZone(node: number): void {
    const at = this.#map.zone(node)
    if (this.#i32(at + zone.lock) !== 0) this.#fault(`zone ${node} is locked`)
    const listed = this.#readLists(node, at)
    const [frontier, limit] = [this.#u32(at + zone.frontier), this.#u32(at + zone.limit)]
    let free = 0
    let all = 0
    for (let page = this.#u32(at + zone.low); page < this.#u32(at + zone.high);) {
      const found = this.#state(page)
      const kind = found & KIND
      if (page === frontier && frontier < limit) {
        all += limit - frontier
        this.#freePages += limit - frontier
        page = limit
        continue
      }
      if (kind === NONE) {
        page++
        continue
      }
      const order = (found >>> ORDER_SHIFT) & 0xf
      if (page % (1 << order) !== 0 || order >= ORDERS) this.#fault(`block ${page} has order ${order}`)
      if (kind === FREE) {
        if (listed.get(page) !== order) this.#fault(`block ${page} of order ${order} is in no list`)
        listed.delete(page)
        free += 1 << order
      } else this.#useBlock(page, order, kind)
      const tails = kind === SLAB
      for (let i = 1; i < 1 << order; i++) {
        const inside = this.#state(page + i)
        const isTail = (inside & (KIND | TAIL)) === (SLAB | TAIL)
        if (tails ? !isTail : (inside & KIND) !== NONE)
          this.#fault(`page ${page + i} inside block ${page} has state ${inside.toString(16)}`)
      }
      all += 1 << order
      page += 1 << order
    }
    for (const page of listed.keys()) this.#fault(`block ${page} is in a list of zone ${node}, and not free`)
    if (free !== this.#u32(at + zone.free))
      this.#fault(`zone ${node} has ${free} free pages, and counts ${this.#u32(at + zone.free)}`)
    if (all !== this.#u32(at + zone.pages))
      this.#fault(`zone ${node} has blocks of ${all} pages, and counts ${this.#u32(at + zone.pages)}`)
    this.#freePages += free
    this.#pages += all
  }

  #useBlock(page: number, order: number, kind: number): void {
    if (this.#inStacks.has(page)) {
      this.#freePages += 1
      return
    }
    const owner = this.#tag(page)
    if (owner <= 0) this.#fault(`block ${page} of order ${order} is lost: used, and nobody's`)
    this.#blocks.set(page, { order, tag: owner, kind })
  }

  #readLists(node: number, at: number): Map<number, number> {
    const listed = new Map<number, number>()
    const [first, end] = this.#map.pagesOf(node)
    for (let order = 0; order < ORDERS; order++) {
      let before = 0
      for (let page = this.#u32(at + zone.lists + order); page !== 0;) {
        if (listed.has(page) || page < first || page + (1 << order) > end) {
          this.#fault(`list ${order} of zone ${node} leads to page ${page}`)
          break
        }
        listed.set(page, order)
        if ((this.#state(page) & BLOCK) !== (FREE | (order << ORDER_SHIFT)))
          this.#fault(`page ${page} in list ${order} has state ${this.#state(page).toString(16)}`)
        if (this.#i32(this.#map.descriptor(page) + previous) !== before)
          this.#fault(`page ${page} in list ${order} does not lead back`)
        const buddy = page ^ (1 << order)
        const isMerged = (this.#state(buddy) & BLOCK) !== (FREE | (order << ORDER_SHIFT))
        if (order < ORDERS - 1 && buddy >= first && buddy < end && !isMerged)
          this.#fault(`pages ${page} and ${buddy} of order ${order} are not merged`)
        before = page
        page = this.#i32(this.#map.descriptor(page) + next)
      }
    }
    return listed
  }

  #checkSpans(): void {
    const { regions } = this.#inside.memblock.report()
    const spans = regions.filter(({ label }) => label === 'pages')
    const bytes = spans.reduce((sum, { size }) => sum + size, 0)
    if (bytes !== this.#pages * 4096) this.#fault(`spans of ${bytes} bytes for ${this.#pages} pages`)
    for (const { address, owner } of spans)
      if (owner) this.#fault(`the span at ${address} would be freed with CPU ${owner.cpu}`)
  }

  #checkCaches(): void {
    const agent = { memory: this.#machine.memory, map: this.#map, isReaper: true, cpu: 0, token: 0 }
    const table = new CacheTable(agent as never, undefined as never)
    const slabs = new Map([...this.#blocks].filter(([, { kind }]) => kind === SLAB))
    for (const cache of table.all() as unknown as Cache[]) {
      const block = (cache.word * 4) / 4096
      this.#cacheBlocks.add(block)
      if (!isPersistent(this.#blocks.get(block)?.tag ?? 0)) this.#fault(`cache ${cache.name} is not kept`)
      if (this.#i32(cache.word + cacheWords.lock) !== 0) this.#fault(`cache ${cache.name} is locked`)
      const inMagazines = this.#readMagazines(cache)
      let [count, empty] = [0, 0]
      for (const list of [cacheWords.partial, cacheWords.full]) {
        let before = 0
        for (let page = this.#u32(cache.word + list); page !== 0;) {
          if (!slabs.delete(page)) {
            this.#fault(`cache ${cache.name} has slab ${page}, which is none`)
            break
          }
          count++
          if (this.#u32((page * 4096) / 4 + slabWords.previous) !== before)
            this.#fault(`slab ${page} does not lead back`)
          const free = this.#checkSlab(cache, page, inMagazines)
          if ((free === 0) !== (list === cacheWords.full)) this.#fault(`slab ${page} is in the wrong list`)
          if (free === cache.geometry.objects) empty++
          before = page
          page = this.#u32((page * 4096) / 4 + slabWords.next)
        }
      }
      for (const at of inMagazines.keys())
        this.#fault(`object ${at} of ${cache.name} in a magazine is in no slab`)
      if (count !== cache.slabs.slabCount || empty !== cache.slabs.emptyCount)
        this.#fault(
          `cache ${cache.name} has ${count} slabs, ${empty} of them empty, and counts ${cache.slabs.slabCount}, ${cache.slabs.emptyCount}`,
        )
    }
    for (const [page, { tag: owner }] of slabs)
      if (isPersistent(owner)) this.#fault(`slab ${page} is lost: kept, and in no list`)
  }

  #readMagazines(cache: Cache): Map<number, number> {
    const found = new Map<number, number>()
    for (let cpu = 0; cpu < this.#map.cpus; cpu++) {
      const at = magazineOf(cache.word, cpu, cache.geometry.capacity) + MagazineLayout.words.count
      if (this.#i32(at) > cache.geometry.capacity)
        this.#fault(`the magazine of CPU ${cpu} holds ${this.#i32(at)}`)
      for (let i = this.#i32(at); i > 0; i--) {
        const address = this.#i32(at + i) * 8
        if (found.has(address)) this.#fault(`object ${address} is in two magazines`)
        found.set(address, cpu)
      }
    }
    return found
  }

  /** Returns how many of its objects are free and in no magazine. */
  #checkSlab(cache: Cache, page: number, inMagazines: Map<number, number>): number {
    const { objects } = cache.geometry
    const free = new Set<number>()
    for (const index of cache.slabs.freeObjects(page)) {
      if (free.has(index) || index < 0 || index >= objects) {
        this.#fault(`slab ${page}: its free list leads to ${index}`)
        break
      }
      free.add(index)
    }
    if (free.size !== cache.slabs.freeIn(page))
      this.#fault(`slab ${page} has ${free.size} free objects, and counts ${cache.slabs.freeIn(page)}`)
    for (let index = 0; index < objects; index++) {
      const owner = this.#i32((page * 4096) / 4 + TAGS + index)
      const address = cache.addressIn(page, index)
      const inMagazine = inMagazines.delete(address)
      if (inMagazine && free.has(index)) this.#fault(`object ${address} is in its slab and in a magazine`)
      if (inMagazine || free.has(index)) {
        if (owner > 0) this.#fault(`object ${address} is free and has tag ${owner.toString(16)}`)
      } else if (owner <= 0) this.#fault(`object ${address} of ${cache.name} is lost: free, and nowhere`)
      else this.#objects.set(address, { tag: owner, cache: cache.name })
    }
    return free.size
  }

  /** What is in flight belongs to an incarnation that lasts. */
  #checkOwners(): void {
    const { table } = this.#inside
    const cpus = table.select(() => true).map((cpu) => table.info(cpu))
    const check = (what: string, owner: number): void => {
      if (owner <= 0 || isPersistent(owner)) return
      const { state: now, incarnation } = cpus[cpuOf(owner)] ?? {}
      if (now !== 'online' || incarnation !== incarnationOf(owner))
        this.#fault(
          `${what} is in flight with incarnation ${incarnationOf(owner)} of CPU ${cpuOf(owner)}, which has ended`,
        )
    }
    for (const [page, { tag: owner }] of this.#blocks) check(`block ${page}`, owner)
    for (const [address, { tag: owner }] of this.#objects) check(`object ${address}`, owner)
  }
}
