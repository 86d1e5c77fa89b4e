/**
 * `heap.verify`: each equation of the heap's words is broken, found by its name, and only while it
 * is.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, PAGE_BYTES, type BootOptions, type Machine } from 'percpu'
import { load32, loadU8, store32, storeU8 } from 'percpu/mem'
import { throwsCode } from '../support/codes.js'
import { joinAs } from '../support/machines.js'
import { bytes } from './support/bytes.js'
import { readHeap, verify } from './support/verify.js'

const { CacheLayout, HeapCpu, HeapRoot, SlabLayout, ZoneLayout } = await import('../../dist/alloc/layouts.js')
const { magazineOf } = await import('../../dist/alloc/magazine.js')
const { FREE, KIND, NONE, orderOf, SLAB, TAIL, USED } = await import('../../dist/alloc/page-map.js')
const { TAGS } = await import('../../dist/alloc/slots.js')
const { PERSISTENT } = await import('../../dist/alloc/tag.js')

/** Several objects in a slab of several pages. */
const Wide = bytes(1500)
const Small = bytes(256)

/** A heap with something of everything, and where its words are. */
class Subject {
  readonly machine: Machine
  readonly other: Machine
  readonly owner: ReturnType<typeof readHeap>['owner']
  /**
   * In the zone: a block of 4 pages in flight, a free block of several pages, and a page in this
   * CPU's stack.
   */
  readonly block: number
  readonly freeBlock: number
  readonly stacked: number
  /**
   * Word indices: the zone, the caches, and a slab of each; this CPU's magazine of small objects.
   */
  readonly zone: number
  readonly small: number
  readonly wide: number
  readonly smallSlab: number
  readonly wideSlab: number
  readonly magazine: number
  /** Small objects: in flight, in the magazine, and in the other CPU's magazine. */
  readonly object: number
  readonly inMagazine: number

  constructor(options: BootOptions = {}) {
    const machine = boot({ memory: '2 MiB', cpus: 3, ...options })
    this.machine = machine
    this.other = joinAs(machine, 77)
    const small = machine.heap.cache('small', Small)
    const wide = machine.heap.cache('wide', Wide)
    // One slab is full, one is partial, and one of the wide ones has no objects.
    const all = Array.from({ length: 70 }, () => small.alloc())
    const wideOnes = Array.from({ length: 24 }, () => wide.alloc())
    this.object = all[0] ?? 0
    this.inMagazine = all[40] ?? 0
    small.free(this.inMagazine)
    for (const address of wideOnes.slice(1)) wide.free(address)
    small.persist(all[50] ?? 0)
    this.other.heap.cache('small', Small).free(all[50] ?? 0)
    // There is a free block, wherever the pages so far came from.
    machine.heap.pages.free(machine.heap.pages.alloc(4), 4)
    this.block = machine.heap.pages.alloc(2) / PAGE_BYTES
    this.stacked = machine.heap.pages.alloc(0) / PAGE_BYTES
    machine.heap.pages.free(this.stacked * PAGE_BYTES, 0)

    const { owner, zones, caches } = readHeap(machine)
    this.owner = owner
    const [zone] = zones.list
    assert.ok(zone)
    this.zone = owner.map.zone(0)
    const isFree = (page: number): boolean => {
      const state = owner.pageMap.state(page)
      return (state & KIND) === FREE && orderOf(state) > 1
    }
    this.freeBlock = [...zone.blocks()].find(isFree) ?? 0
    const at = (name: string) => caches.all().find((cache) => cache.name === name)?.at ?? 0
    this.small = at('small')
    this.wide = at('wide')
    this.smallSlab = (load32(this.#i32, this.small + CacheLayout.words.partial) * PAGE_BYTES) / 4
    this.wideSlab = (load32(this.#i32, this.wide + CacheLayout.words.partial) * PAGE_BYTES) / 4
    this.magazine = magazineOf(this.small, 0, load32(this.#i32, this.small + CacheLayout.words.capacity))
    assert.ok(this.freeBlock > 0 && this.smallSlab > 0 && this.wideSlab > 0)
  }

  get #i32() {
    return this.machine.memory.i32
  }
  tagOf(address: number): number {
    const cache = readHeap(this.machine)
      .caches.all()
      .find(({ at }) => at === this.small)
    return cache?.locate(address) ?? 0
  }
  load(word: number): number {
    return load32(this.#i32, word)
  }
}

/** What to write where: the word index, and its new value. */
type Change = readonly [word: number, value: number]
interface Break {
  /** The changes; all at once. */
  readonly to: (subject: Subject) => Change | readonly Change[]
  /** Not found while others may be at work. */
  readonly onlyQuiet?: true
  readonly debugHeap?: true
}
const zoneWord = ZoneLayout.words
const cacheWord = CacheLayout.words
const slabWord = SlabLayout.words
const plus = (subject: Subject, word: number, by: number): Change => [word, subject.load(word) + by]

const breaks: Readonly<Record<string, Readonly<Record<string, Break>>>> = {
  Z1: {
    'a frontier behind the limit': {
      to: (s) => [s.zone + zoneWord.frontier, s.load(s.zone + zoneWord.limit) + 1],
    },
    'a low below the node': { to: (s) => plus(s, s.zone + zoneWord.high, 1 << 20) },
  },
  Z2: { 'a count of free pages': { to: (s) => plus(s, s.zone + zoneWord.free, 1) } },
  Z3: { 'a count of pages': { to: (s) => plus(s, s.zone + zoneWord.pages, -1) } },
  Z4: {
    'a list that leads out of the zone': { to: (s) => [s.zone + zoneWord.lists + 3, 2 ** 20] },
    'a list that leads to a block in use': { to: (s) => [s.zone + zoneWord.lists + 2, s.block] },
    'a list in a circle': { to: (s) => [s.owner.pageMap.links.nextWord(s.freeBlock), s.freeBlock] },
    'a block that does not lead back': { to: (s) => [s.owner.pageMap.links.previousWord(s.freeBlock), 1] },
    'a free block in no list': {
      to: (s) => [s.zone + zoneWord.lists + orderOf(s.owner.pageMap.state(s.freeBlock)), 0],
    },
    'a free block of another order': { to: (s) => plus(s, s.owner.pageMap.stateWord(s.freeBlock), -16) },
  },
  Z5: {
    'two halves of a block': {
      to: (s) => {
        const { pageMap } = s.owner
        const order = orderOf(pageMap.state(s.freeBlock)) - 1
        const half = s.freeBlock + (1 << order)
        const lists = s.zone + zoneWord.lists
        return [
          [lists + order + 1, pageMap.links.next(s.freeBlock)],
          [lists + order, s.freeBlock],
          [pageMap.stateWord(s.freeBlock), FREE | (order << 4)],
          [pageMap.stateWord(half), FREE | (order << 4)],
          [pageMap.links.nextWord(s.freeBlock), half],
          [pageMap.links.previousWord(half), s.freeBlock],
        ]
      },
    },
  },
  D1: {
    'a block that is not aligned': { to: (s) => [s.owner.pageMap.stateWord(s.block), USED | (7 << 4)] },
    'a kind that there is not': { to: (s) => [s.owner.pageMap.stateWord(s.block), 5] },
    'a further page that is a first one': { to: (s) => [s.owner.pageMap.stateWord(s.block), SLAB | TAIL] },
  },
  D2: {
    'a page inside a block': { to: (s) => [s.owner.pageMap.stateWord(s.block + 1), USED] },
    'a page inside a free block': { to: (s) => [s.owner.pageMap.stateWord(s.freeBlock + 1), SLAB | TAIL] },
    'a page inside a plain block like a slab': {
      onlyQuiet: true,
      to: (s) => [s.owner.pageMap.stateWord(s.block + 1), SLAB | TAIL],
    },
  },
  D3: {
    'a block of an incarnation that is over': {
      to: (s) => plus(s, s.owner.pageMap.tagWord(s.block), 1 << 8),
    },
    'a block of a CPU that is offline': {
      onlyQuiet: true,
      to: (s) => [s.owner.pageMap.tagWord(s.block), (1 << 8) | 2],
    },
    'a block of a CPU that there is not': { to: (s) => [s.owner.pageMap.tagWord(s.block), (1 << 8) | 200] },
    'an object of an incarnation that is over': { to: (s) => plus(s, s.tagOf(s.object), 1 << 8) },
    'an owner that uses nothing': { to: (s) => [s.owner.map.heapCpu(0) + HeapCpu.words.used, 0] },
    'an owner that has ended': { to: (s) => [s.owner.map.heapCpu(0) + HeapCpu.words.ended, 1] },
  },
  P1: {
    'more pages than there is room for': {
      to: (s) => [s.owner.map.heapCpu(0) + HeapCpu.words.pageCount, 33],
    },
    'fewer pages than none, of another CPU': {
      onlyQuiet: true,
      to: (s) => [s.owner.map.heapCpu(1) + HeapCpu.words.pageCount, -1],
    },
  },
  P2: {
    'a page that is in a stack twice': {
      to: (s) => {
        const at = s.owner.map.heapCpu(0) + HeapCpu.words.pageCount
        return [plus(s, at, 1), [at + s.load(at) + 1, s.stacked]]
      },
    },
    'a page that is in a stack, and in flight': {
      to: (s) => [s.owner.pageMap.tagWord(s.stacked), 1 << 8],
    },
    'a page in a stack that is no block': {
      to: (s) => [s.owner.map.heapCpu(0) + HeapCpu.words.pageCount + 1, 7],
    },
    'a block that is lost': { onlyQuiet: true, to: (s) => [s.owner.pageMap.tagWord(s.block), 0] },
  },
  C1: {
    'another stride': { to: (s) => plus(s, s.small + cacheWord.stride, 8) },
    'no size': { to: (s) => [s.small + cacheWord.size, 0] },
    'a colour that there is not': { to: (s) => [s.small + cacheWord.colour, 1000] },
  },
  C2: {
    'a count of slabs': { to: (s) => plus(s, s.small + cacheWord.slabs, 1) },
    'a slab that does not lead back': { to: (s) => [s.smallSlab + slabWord.previous, 9] },
    'a list in a circle': { to: (s) => [s.smallSlab + slabWord.next, (s.smallSlab * 4) / PAGE_BYTES] },
  },
  C3: { 'a count of slabs without objects': { to: (s) => plus(s, s.wide + cacheWord.empty, 1) } },
  C4: {
    'a slab in the wrong list': {
      to: (s) => [
        [s.small + cacheWord.full, s.load(s.small + cacheWord.partial)],
        [s.small + cacheWord.partial, s.load(s.small + cacheWord.full)],
      ],
    },
  },
  C5: {
    'a slab that is none': { to: (s) => [s.small + cacheWord.partial, s.block] },
    'a slab of another cache': {
      to: (s) => [s.small + cacheWord.partial, s.load(s.wide + cacheWord.partial)],
    },
    'a further page that does not say so': {
      to: (s) => [s.owner.pageMap.stateWord((s.wideSlab * 4) / PAGE_BYTES + 1), NONE],
    },
    'a slab in no list': { onlyQuiet: true, to: (s) => [s.small + cacheWord.full, 0] },
  },
  C6: {
    'a block of a cache that is in flight': {
      onlyQuiet: true,
      to: (s) => plus(s, s.owner.pageMap.tagWord((s.small * 4) / PAGE_BYTES), -PERSISTENT),
    },
  },
  M1: {
    'more objects than there is room for': { to: (s) => [s.magazine, 65] },
    'fewer objects than none, of another CPU': {
      onlyQuiet: true,
      to: (s) => [magazineOf(s.small, 1, s.load(s.small + cacheWord.capacity)), -1],
    },
  },
  M2: {
    'an entry that is no object': { to: (s) => plus(s, s.magazine + 1, 1) },
    'an object in the magazine that is in flight': { to: (s) => [s.tagOf(s.inMagazine), 1 << 8] },
  },
  S1: {
    'a count of free objects': { to: (s) => plus(s, s.smallSlab + slabWord.free, 1) },
    'a list that leads out of the slab': { to: (s) => [s.wideSlab + slabWord.list, 1000] },
    'a list that leads nowhere': { to: (s) => [s.wideSlab + slabWord.list, -2] },
    'fresh objects that there are not': { to: (s) => [s.smallSlab + slabWord.fresh, 1000] },
  },
  S2: {
    'a free object without a link': {
      to: (s) => [s.wideSlab + TAGS + s.load(s.wideSlab + slabWord.list), 0],
    },
    'a fresh object with a tag': {
      to: (s) => [s.smallSlab + TAGS + s.load(s.smallSlab + slabWord.fresh), 1],
    },
  },
  S3: {
    'an object twice in the magazine': { to: (s) => [s.magazine + 1, s.load(s.magazine + 2)] },
    'an object in the magazine that is free in its slab': {
      to: (s) => {
        const slot = s.load(s.smallSlab + slabWord.fresh)
        const cache = readHeap(s.machine)
          .caches.all()
          .find(({ at }) => at === s.small)
        return [s.magazine + 1, (cache?.addressIn((s.smallSlab * 4) / PAGE_BYTES, slot) ?? 0) / 8]
      },
    },
    'an object that is lost': { onlyQuiet: true, to: (s) => [s.tagOf(s.object), 0] },
  },
  R1: { 'labels that there are not': { to: (s) => [s.owner.map.root + HeapRoot.words.labels, 256] } },
}

function apply({ machine: { memory } }: Subject, changes: readonly Change[]): () => void {
  const before = changes.map(([word]) => [word, load32(memory.i32, word)] as const)
  for (const [word, value] of changes) store32(memory.i32, word, value)
  return () => {
    for (const [word, value] of before.reverse()) store32(memory.i32, word, value)
  }
}
function faultsOf(machine: Machine, quiet: boolean): readonly string[] {
  try {
    machine.heap.verify({ quiet })
    return []
  } catch (error) {
    const { code, details } = error as { code?: string; details?: { faults?: readonly string[] } }
    if (code !== 'PERCPU_HEAP_CORRUPTION') throw error
    assert.ok(details?.faults && details.faults.length > 0)
    for (const fault of details.faults) assert.ok((error as Error).message.includes(fault))
    return details.faults
  }
}

describe('verify', () => {
  for (const [equation, ways] of Object.entries(breaks)) {
    for (const [what, { to, onlyQuiet }] of Object.entries(ways)) {
      it(`finds ${what}: ${equation}`, () => {
        const subject = new Subject()
        const { machine } = subject
        const find = (quiet: boolean) =>
          faultsOf(machine, quiet).filter((fault) => fault.startsWith(`${equation}: `))
        const changes = to(subject)
        const undo = apply(subject, (Array.isArray(changes[0]) ? changes : [changes]) as readonly Change[])
        assert.notDeepEqual(find(true), [])
        if (onlyQuiet) assert.deepEqual(find(false), [])
        else assert.notDeepEqual(find(false), [])
        undo()
        assert.deepEqual(faultsOf(machine, true), [])
      })
    }
  }

  it('finds boot memory that no zone has, and that would be freed: Z6', () => {
    const { machine } = new Subject()
    const { memblock } = machine.heap
    const address = memblock.alloc({ size: PAGE_BYTES, label: 'pages' })
    assert.deepEqual(
      faultsOf(machine, true).map((fault) => fault.slice(0, 2)),
      ['Z6', 'Z6'],
    )
    assert.deepEqual(faultsOf(machine, false), [])
    memblock.persist(address)
    assert.equal(faultsOf(machine, true).length, 1)
    memblock.free(address)
    assert.deepEqual(faultsOf(machine, true), [])
  })

  it('finds writes outside objects and into free ones in debug mode: S4', () => {
    const { machine, object } = new Subject({ debugHeap: true })
    const { bytes: view } = machine.memory
    for (const at of [object - 1, object + 256]) {
      const before = loadU8(view, at)
      storeU8(view, at, 1)
      for (const quiet of [false, true])
        assert.match(faultsOf(machine, quiet)[0] ?? '', /^S4: .* outside its bytes/)
      storeU8(view, at, before)
    }
    machine.heap.free(object)
    machine.heap.trim()
    assert.deepEqual(faultsOf(machine, true), [])
    storeU8(view, object + 8, 1)
    for (const quiet of [false, true])
      assert.match(faultsOf(machine, quiet)[0] ?? '', /^S4: .* after it was freed/)
  })

  it('lists all that is wrong', () => {
    const subject = new Subject()
    const { zone, small } = subject
    apply(subject, [plus(subject, zone + zoneWord.free, 1), plus(subject, small + cacheWord.slabs, 1)])
    const faults = faultsOf(subject.machine, true)
    assert.deepEqual(
      faults.map((fault) => fault.slice(0, 2)),
      ['Z2', 'C2'],
    )
    assert.deepEqual(verify(subject.machine).faults, faults)
  })

  it('finds nothing in a heap that was never used, and changes nothing', () => {
    for (const debugHeap of [false, true]) {
      const machine = boot({ memory: '1 MiB', debugHeap })
      const before = new Uint8Array(machine.handle.buffer).slice()
      machine.heap.verify()
      machine.heap.verify({ quiet: true })
      assert.deepEqual(new Uint8Array(machine.handle.buffer), before)
    }
  })

  it('takes no other options', () => {
    const machine = boot({ memory: '1 MiB' })
    throwsCode(() => machine.heap.verify({ quiet: 1 as never }), 'PERCPU_ARGUMENT', /quiet: 1/)
    throwsCode(() => machine.heap.verify({ loud: true } as never), 'PERCPU_ARGUMENT', /no option loud/)
  })
})
