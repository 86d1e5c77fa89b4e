/** The equations of zones, stacks and blocks of pages: Z1 to Z6, P1, P2, D1, D2. */
import { load32 } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { Findings } from './findings.js'
import { HeapCpu, MAX_ORDER, ORDERS, ZoneLayout } from './layouts.js'
import {
  BLOCK,
  FREE,
  KIND,
  NONE,
  ORDER_SHIFT,
  orderOf,
  SLAB,
  TAIL,
  USED,
  usedState,
  type PageMap,
} from './page-map.js'
import { stackCapacity } from './page-stack.js'
import type { HeapParts } from './report.js'
import { isAllocated } from './tag.js'
import type { Zone } from './zone.js'

const { words } = ZoneLayout
const hex = (state: number): string => `0x${state.toString(16)}`

export function checkZones({ owner, zones }: HeapParts, findings: Findings): void {
  const stacks = readStacks({ owner }, findings)
  for (const zone of zones.list) {
    zones.lock(zone)
    try {
      new ZoneCheck(zone, owner.pageMap, stacks, findings).run()
    } finally {
      zones.unlock()
    }
  }
  for (const [page, cpu] of stacks)
    findings.fault(`P2: page ${page} in the stack of CPU ${cpu} is no block of its own`)
  if (findings.isQuiet) checkSpans({ owner }, findings)
}

/** The pages in the stacks of CPUs that are still, with their CPUs. */
function readStacks({ owner }: Pick<HeapParts, 'owner'>, findings: Findings): Map<number, number> {
  const { i32 } = owner.memory
  const stacks = new Map<number, number>()
  const capacity = stackCapacity(owner.map)
  for (const cpu of findings.still()) {
    const at = owner.map.heapCpu(cpu) + HeapCpu.words.pageCount
    const count = load32(i32, at)
    if (count < 0 || count > capacity) {
      findings.fault(`P1: the stack of CPU ${cpu} has ${count} pages; there is room for ${capacity}`)
      continue
    }
    for (let i = 1; i <= count; i++) {
      const page = load32(i32, at + i)
      if (stacks.has(page)) findings.fault(`P2: page ${page} is in two stacks`)
      stacks.set(page, cpu)
    }
  }
  return stacks
}

/** Z6. */
function checkSpans({ owner }: Pick<HeapParts, 'owner'>, findings: Findings): void {
  const spans = owner.memblock.report().regions.filter(({ label }) => label === 'pages')
  const bytes = spans.reduce((sum, { size }) => sum + size, 0)
  if (bytes !== findings.pages * PAGE_BYTES)
    findings.fault(`Z6: the zones have ${findings.pages} pages, and ${bytes} bytes of boot memory`)
  for (const { address, owner: holder } of spans)
    if (holder) findings.fault(`Z6: the span at ${address} would be freed with CPU ${holder.cpu}`)
}

/** One zone, whose lock is held. */
class ZoneCheck {
  readonly #zone: Zone
  readonly #pageMap: PageMap
  readonly #stacks: Map<number, number>
  readonly #findings: Findings
  /** The blocks in the lists, by first page, with their orders. */
  readonly #listed = new Map<number, number>()
  readonly #low: number
  readonly #high: number

  /** What is found of `stacks` is removed from it. */
  constructor(zone: Zone, pageMap: PageMap, stacks: Map<number, number>, findings: Findings) {
    this.#zone = zone
    this.#pageMap = pageMap
    this.#stacks = stacks
    this.#findings = findings
    this.#low = zone.load(words.low)
    this.#high = zone.load(words.high)
  }

  run(): void {
    if (!this.#hasBounds()) return
    for (let order = 0; order < ORDERS; order++) this.#readList(order)
    this.#walk()
  }

  /** Z1. */
  #hasBounds(): boolean {
    const { node, first, end } = this.#zone
    const [frontier, limit] = [this.#zone.load(words.frontier), this.#zone.load(words.limit)]
    const all = [first, this.#low, frontier, limit, this.#high, end]
    const isNew = this.#low === 0 && this.#high === 0 && frontier === 0 && limit === 0
    if (isNew || all.every((bound, i) => i === 0 || bound >= (all[i - 1] ?? 0))) return true
    this.#findings.fault(`Z1: the bounds of zone ${node} are not in order: ${all.join(', ')}`)
    return false
  }

  /** Z4, Z5. */
  #readList(order: number): void {
    const where = `list ${order} of zone ${this.#zone.node}`
    let before = 0
    for (let page = this.#zone.load(words.lists + order); page !== 0; page = this.#pageMap.links.next(page)) {
      if (this.#listed.has(page) || page < this.#low || page >= this.#high) {
        this.#findings.fault(`Z4: ${where} leads to page ${page}`)
        return
      }
      this.#listed.set(page, order)
      if (!this.#isFree(page, order))
        this.#findings.fault(`Z4: page ${page} in ${where} has state ${hex(this.#pageMap.state(page))}`)
      if (this.#pageMap.links.previous(page) !== before)
        this.#findings.fault(`Z4: page ${page} in ${where} does not lead back`)
      const buddy = page ^ (1 << order)
      const hasBuddy = order < MAX_ORDER && buddy >= this.#zone.first && buddy < this.#zone.end
      if (hasBuddy && page < buddy && this.#isFree(buddy, order))
        this.#findings.fault(`Z5: pages ${page} and ${buddy}, free and of order ${order}, are not merged`)
      before = page
    }
  }

  #isFree(page: number, order: number): boolean {
    return (this.#pageMap.state(page) & BLOCK) === (FREE | (order << ORDER_SHIFT))
  }

  /** From block to block: Z2, Z3, the rest of Z4, and the blocks themselves. */
  #walk(): void {
    const { node } = this.#zone
    const [frontier, limit] = [this.#zone.load(words.frontier), this.#zone.load(words.limit)]
    let [free, all] = [0, limit - frontier]
    for (let page = this.#low; page < this.#high;) {
      if (page === frontier && frontier < limit) {
        page = limit
        continue
      }
      const order = this.#block(page)
      if (order === undefined) {
        page++
        continue
      }
      if ((this.#pageMap.state(page) & KIND) === FREE) free += 1 << order
      all += 1 << order
      page += 1 << order
    }
    for (const page of this.#listed.keys())
      this.#findings.fault(`Z4: page ${page} is in a list of zone ${node}, and is no free block`)
    const [freeCount, count] = [this.#zone.load(words.free), this.#zone.load(words.pages)]
    if (free !== freeCount)
      this.#findings.fault(`Z2: zone ${node} counts ${freeCount} free pages, and has ${free}`)
    if (all !== count) this.#findings.fault(`Z3: zone ${node} counts ${count} pages, and has ${all}`)
    this.#findings.freePages += free + limit - frontier
    this.#findings.pages += all
  }

  /** The order of the block that starts at a page; undefined if none does. */
  #block(page: number): number | undefined {
    const state = this.#pageMap.state(page)
    const kind = state & KIND
    if (kind === NONE) return undefined
    const order = orderOf(state)
    const isAligned = order < ORDERS && page % (1 << order) === 0 && page + (1 << order) <= this.#high
    if (kind > SLAB || (state & TAIL) !== 0 || !isAligned) {
      this.#findings.fault(`D1: no block can start at page ${page} with state ${hex(state)}`)
      return undefined
    }
    if (kind !== FREE) this.#use(page, order, state)
    else if (this.#listed.get(page) === order) this.#listed.delete(page)
    else this.#findings.fault(`Z4: the free block ${page} of order ${order} is in no list of its order`)
    this.#checkFurther(page, order, kind)
    return order
  }

  /** P2, D3. */
  #use(page: number, order: number, state: number): void {
    const tag = this.#pageMap.tag(page)
    const cpu = this.#stacks.get(page)
    if (cpu !== undefined) {
      this.#stacks.delete(page)
      if ((state & BLOCK) !== usedState(0) || isAllocated(tag))
        this.#findings.fault(
          `P2: page ${page} in the stack of CPU ${cpu} has state ${hex(state)} and tag ${hex(tag)}`,
        )
      this.#findings.freePages++
    } else if (isAllocated(tag)) {
      this.#findings.blocks.set(page, { order, tag, kind: state & KIND })
      this.#findings.checkTag(`block ${page}`, tag)
    } else if (this.#findings.isQuiet)
      this.#findings.fault(`P2: block ${page} of order ${order} is used, nobody's, and in no stack`)
  }

  /** D2. The holder of an allocated block may be making it a slab, or a slab a block again. */
  #checkFurther(page: number, order: number, kind: number): void {
    const isExact = this.#findings.isQuiet || kind === FREE
    for (let i = 1; i < 1 << order; i++) {
      const inside = this.#pageMap.state(page + i)
      const isTail = (inside & (KIND | TAIL)) === (SLAB | TAIL)
      const isNone = (inside & KIND) === NONE
      const isRight = isExact ? (kind === SLAB ? isTail : isNone) : kind === USED || kind === SLAB
      if (!isRight || (!isTail && !isNone))
        this.#findings.fault(`D2: page ${page + i} inside block ${page} has state ${hex(inside)}`)
    }
  }
}
