/** The equations of caches, magazines and slabs: C1 to C6, M1, M2, S1 to S4. */
import { load32, loadU32, type Memory } from '#mem'
import { PAGE_BYTES, isPowerOfTwo } from '../arithmetic.js'
import type { Findings } from './findings.js'
import { geometryOf, MAX_OBJECT, type Geometry } from './geometry.js'
import { CacheLayout, MagazineLayout, SlabLayout } from './layouts.js'
import { magazineOf } from './magazine.js'
import type { Owner } from './owner.js'
import { addressOf, COLOUR_SHIFT, SLAB, slabState, TAIL } from './page-map.js'
import type { HeapParts } from './report.js'
import type { SlabCache } from './slab-cache.js'
import { referenceOf, TAGS } from './slots.js'
import { isAllocated, isPersistent } from './tag.js'

const { words } = CacheLayout
const slab = SlabLayout.words

export function checkCaches(parts: HeapParts, findings: Findings): void {
  const { pageMap } = parts.owner
  const inLists = new Set<number>()
  for (const cache of parts.caches.all()) {
    const block = (cache.at * 4) / PAGE_BYTES
    findings.cacheBlocks.add(block)
    if (findings.isQuiet && !isPersistent(pageMap.tag(block)))
      findings.fault(`C6: the block of cache ${cache.name} is not persistent`)
    cache.lock()
    try {
      new CacheCheck(parts, cache, findings, inLists).run()
    } finally {
      cache.unlock()
    }
  }
  if (!findings.isQuiet) return
  for (const [page, { kind, tag }] of findings.blocks) {
    if (kind === SLAB && isPersistent(tag) && !inLists.has(page))
      findings.fault(`C5: slab ${page} is persistent, and in no list of its cache`)
  }
}

/** One cache, whose lock is held. */
class CacheCheck {
  readonly #owner: Owner
  readonly #memory: Memory
  readonly #debug: HeapParts['caches']['debug']
  readonly #cache: SlabCache
  readonly #findings: Findings
  /** All slabs that were found in lists. */
  readonly #inLists: Set<number>
  /** The objects in magazines of CPUs that are still, by reference, with their CPUs. */
  readonly #inMagazines = new Map<number, number>()

  constructor({ owner, caches }: HeapParts, cache: SlabCache, findings: Findings, inLists: Set<number>) {
    this.#owner = owner
    this.#memory = owner.memory
    this.#debug = caches.debug
    this.#cache = cache
    this.#findings = findings
    this.#inLists = inLists
  }

  run(): void {
    if (!this.#hasGeometry()) return
    for (const cpu of this.#findings.still()) this.#readMagazine(cpu)
    const { name, slabs } = this.#cache
    const partial = this.#readList(words.partial, 'partial')
    const full = this.#readList(words.full, 'full')
    const all = [...partial, ...full]
    if (all.length !== slabs.slabCount)
      this.#fault(`C2: cache ${name} counts ${slabs.slabCount} slabs, and has ${all.length}`)
    const empty = all.filter((page) => slabs.isEmpty(page)).length
    if (empty !== slabs.emptyCount)
      this.#fault(`C3: cache ${name} counts ${slabs.emptyCount} slabs without objects, and has ${empty}`)
    for (const page of all) this.#checkSlab(page)
    for (const [reference, cpu] of this.#inMagazines)
      this.#fault(`M2: what is at ${reference * 8} in CPU ${cpu}'s magazine of ${name} is no object of it`)
  }

  #fault(text: string): void {
    this.#findings.fault(text)
  }
  #i32(word: number): number {
    return load32(this.#memory.i32, word)
  }
  #u32(word: number): number {
    return loadU32(this.#memory.u32, word)
  }

  /** C1. */
  #hasGeometry(): boolean {
    const { at, name } = this.#cache
    const [size, align] = [this.#u32(at + words.size), this.#u32(at + words.align)]
    const isShape = size > 0 && size <= MAX_OBJECT && isPowerOfTwo(align) && align <= PAGE_BYTES
    const expected = isShape ? geometryOf(size, align, this.#owner.map) : undefined
    for (const [field, value] of Object.entries(expected ?? {}) as [keyof Geometry, number][]) {
      if (this.#u32(at + words[field]) === value) continue
      this.#fault(`C1: ${field} of cache ${name} is ${this.#u32(at + words[field])}, should be ${value}`)
      return false
    }
    if (expected === undefined) this.#fault(`C1: cache ${name} has objects of ${size} bytes, at ${align}`)
    else if (this.#u32(at + words.colour) >= expected.colours)
      this.#fault(`C1: cache ${name} has colour ${this.#u32(at + words.colour)} of ${expected.colours}`)
    return expected !== undefined
  }

  /** M1, and that no object is in two magazines. */
  #readMagazine(cpu: number): void {
    const { at, name, geometry } = this.#cache
    const magazine = magazineOf(at, cpu, geometry.capacity) + MagazineLayout.words.count
    const count = this.#i32(magazine)
    if (count < 0 || count > geometry.capacity) {
      this.#fault(
        `M1: CPU ${cpu}'s magazine of ${name} has ${count} objects; there is room for ${geometry.capacity}`,
      )
      return
    }
    for (let i = 1; i <= count; i++) {
      const reference = this.#i32(magazine + i)
      if (this.#inMagazines.has(reference))
        this.#fault(`S3: the object at ${reference * 8} of ${name} is in magazines twice`)
      this.#inMagazines.set(reference, cpu)
    }
  }

  /** The slabs of a list, as far as it can be followed: C2, C4, C5, D2. */
  #readList(list: number, what: string): number[] {
    const { at, name, slabs } = this.#cache
    const found: number[] = []
    let before = 0
    for (let page = this.#u32(at + list); page !== 0; page = this.#u32(addressOf(page) / 4 + slab.next)) {
      if (this.#inLists.has(page)) {
        this.#fault(`C2: slab ${page} is in lists twice, now in that of ${what} slabs of ${name}`)
        break
      }
      if (!this.#isSlab(page)) {
        this.#fault(`C5: page ${page} in the list of ${what} slabs of ${name} is no slab of it`)
        break
      }
      this.#inLists.add(page)
      found.push(page)
      if (this.#u32(addressOf(page) / 4 + slab.previous) !== before)
        this.#fault(`C2: slab ${page} does not lead back`)
      if ((slabs.freeIn(page) === 0) !== (list === words.full))
        this.#fault(
          `C4: slab ${page}, with ${slabs.freeIn(page)} free objects, is in the list of ${what} ones`,
        )
      before = page
    }
    return found
  }

  /**
   * Whether it is a persistent block with the cache's number and order, all of whose pages say so.
   */
  #isSlab(page: number): boolean {
    const { pageMap, map } = this.#owner
    const { geometry, index } = this.#cache
    const pages = 1 << geometry.order
    if (page >= map.pages || page % pages !== 0 || page + pages > map.pages) return false
    const state = pageMap.state(page)
    if (state >>> COLOUR_SHIFT >= geometry.colours || !isPersistent(pageMap.tag(page))) return false
    const expected = slabState(geometry.order, index, state >>> COLOUR_SHIFT)
    for (let i = 0; i < pages; i++)
      if (pageMap.state(page + i) !== (i === 0 ? expected : expected | TAIL)) return false
    return true
  }

  /** S1 to S4, M2, D3. */
  #checkSlab(page: number): void {
    const { geometry } = this.#cache
    const tags = addressOf(page) / 4 + TAGS
    const free = this.#freeObjects(page, tags)
    const state = this.#owner.pageMap.state(page)
    for (let slot = 0; slot < geometry.objects; slot++) {
      const reference = referenceOf(this.#cache.magazine, page, slot, state)
      const cpu = this.#inMagazines.get(reference)
      this.#inMagazines.delete(reference)
      if (free.has(slot)) this.#checkFree(reference, tags + slot, cpu)
      else this.#checkTaken(reference, tags + slot, cpu)
    }
  }

  /** The objects that are free in a slab: S1, S2. */
  #freeObjects(page: number, tags: number): Set<number> {
    const { slabs, geometry } = this.#cache
    const free = new Set<number>()
    const fresh = slabs.freshOf(page)
    if (fresh < 0 || fresh > geometry.objects) {
      this.#fault(`S1: slab ${page} has ${geometry.objects} objects; fresh from ${fresh} on`)
      return free
    }
    for (const slot of slabs.listed(page)) {
      if (slot < 0 || slot >= fresh || free.has(slot)) {
        this.#fault(`S1: the list of slab ${page} leads to object ${slot}`)
        break
      }
      free.add(slot)
      if (this.#i32(tags + slot) >= 0) {
        this.#fault(`S2: object ${slot} in the list of slab ${page} has tag ${this.#i32(tags + slot)}`)
        break
      }
    }
    for (let slot = fresh; slot < geometry.objects; slot++) {
      free.add(slot)
      if (this.#i32(tags + slot) !== 0)
        this.#fault(`S2: object ${slot} of slab ${page} is fresh, and has tag ${this.#i32(tags + slot)}`)
    }
    if (free.size !== slabs.freeIn(page))
      this.#fault(`S1: slab ${page} counts ${slabs.freeIn(page)} free objects, and has ${free.size}`)
    return free
  }

  #checkFree(reference: number, tag: number, cpu: number | undefined): void {
    if (cpu !== undefined)
      this.#fault(`S3: the object at ${reference * 8} is free in its slab, and in CPU ${cpu}'s magazine`)
    const fault = this.#debug?.poisonFault(this.#cache, reference * 8, tag)
    if (fault) this.#fault(`S4: ${fault.message}`)
  }

  #checkTaken(reference: number, word: number, cpu: number | undefined): void {
    const { name } = this.#cache
    const tag = this.#i32(word)
    const what = `the object at ${reference * 8} of ${name}`
    if (cpu !== undefined) {
      if (isAllocated(tag)) this.#fault(`M2: ${what} is in CPU ${cpu}'s magazine, and has tag ${tag}`)
    } else if (isAllocated(tag)) {
      this.#findings.objects.set(reference * 8, { tag, cache: name })
      this.#findings.checkTag(what, tag)
      const fault = this.#debug?.fault(this.#cache, reference * 8, word, tag)
      if (fault) this.#fault(`S4: ${fault.message}`)
    } else if (this.#findings.isQuiet) this.#fault(`S3: ${what} is lost: free, and nowhere`)
  }
}
