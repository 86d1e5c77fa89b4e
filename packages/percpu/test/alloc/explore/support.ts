/** A machine whose heap is explored: what there is before, and what must hold in the end. */
import assert from 'node:assert/strict'
import { percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import type { Machine } from 'percpu'
import { Cell, check as explored, prepare, type World } from '../../support/world.js'

const { readHeap, verify } = await import('../support/verify.js')
const { CacheLayout, HeapCpu, HeapRoot, PageDescriptor, SlabLayout, ZoneLayout } =
  await import('../../../dist/alloc/layouts.js')
const { HeapMap } = await import('../../../dist/alloc/heap-map.js')
const { USED } = await import('../../../dist/alloc/page-map.js')
const { Heap } = await import('../../../dist/alloc/heap.js')
const { Owner } = await import('../../../dist/alloc/owner.js')
const { PageAllocator } = await import('../../../dist/alloc/pages.js')
const { openBootMemory } = await import('../../../dist/bootmem/layer.js')
const { tokenOf } = await import('../../../dist/machine/token.js')
const { readMap } = await import('../../../dist/machine/memory-map.js')
const { LayerLock, LAYER_OBJECTS, LAYER_PAGES } = await import('../../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')

/**
 * Seven of them in a slab of a page, and four in a magazine, of which two are exchanged with the
 * slabs at a time.
 */
const Block = percpu.struct('Block', { words: percpu.array(percpu.racy(percpu.i32), 128) })
/** The tags of such a slab, which are racy; the layouts have no name for them. */
const Tags = percpu.struct('Tags', { tag: percpu.array(percpu.racy(percpu.i32), 7) })

export interface Prepared {
  readonly world: World
  /** Objects and single pages that outlive the CPU that took them. */
  readonly objects: readonly number[]
  readonly pages: readonly number[]
  /** Address of a word for a link, guarded by the mutex 'links'. */
  readonly link: number
  /** The slabs that there are, and the first page of the cache. */
  readonly slabs: readonly number[]
  readonly words: number
}

/** A machine with so many `objects` and `pages`. */
export async function withHeap(wanted: { objects?: number; pages?: number }): Promise<Prepared> {
  const objects: number[] = []
  const pages: number[] = []
  let [link, words, free] = [0, 0, 0]
  const world = await prepare({ cpus: 3 }, (machine) => {
    const cache = blocks(machine)
    for (let i = 0; i < (wanted.objects ?? 0); i++) objects.push(cache.alloc({ persist: true }))
    free = cache.alloc()
    cache.free(free)
    for (let i = 0; i < (wanted.pages ?? 0); i++) {
      const page = machine.heap.pages.alloc(0)
      machine.heap.pages.persist(page)
      pages.push(page)
    }
    words = (readHeap(machine).caches.all()[0]?.at ?? 0) * 4
    machine.locks.mutex('links')
    link = machine.objects.create('link', Cell).address
  })
  const slabs = [...new Set([...objects, free].map((address) => address - (address % 4096)))]
  return { world, objects, pages, link, slabs, words }
}

export function blocks(machine: Machine) {
  return machine.heap.cache('block', Block)
}

export function open(world: World, cpu: CpuContext) {
  const machine = world.joined(cpu)
  const cache = cpu.prepare(() => blocks(machine))
  return { machine, cache }
}

// The declarations leave out how the layer makes them.
type Make<Made> = new (...parts: readonly unknown[]) => Made
const makePages = PageAllocator as unknown as Make<Machine['heap']['pages']>
const makeHeap = Heap as unknown as Make<Machine['heap']>

/**
 * The heap of the CPU, which comes online before the first step of its body. Unlike the machine's,
 * it is made in the body, and remembers nothing of earlier executions.
 */
export function heapOf(world: World, cpu: CpuContext): Machine['heap'] {
  const { table } = world
  const { number, map, sync, memblock } = cpu.prepare(() => {
    const { cpu: number } = world.join(cpu.number)
    return {
      number,
      map: HeapMap.open(world.memory, world.objects, table.map),
      sync: SyncMap.open(world.memory, world.objects),
      memblock: openBootMemory(table, number, table.incarnation(number)).memblock,
    }
  })
  const token = tokenOf(number, table.incarnation(number))
  const level = (index: number) => new LayerLock(world.memory, sync.layerRecord(number, index), token)
  const locks = { pageLock: level(LAYER_PAGES), objectLock: level(LAYER_OBJECTS) }
  const owner = new Owner({ table, map, memblock, cpu: number, token, ...locks, isReaper: false })
  return new makeHeap(owner, new makePages(owner), memblock)
}

/** Names the words of the heap. */
export function name(
  t: Scenario,
  { world, slabs, words }: Pick<Prepared, 'world' | 'slabs' | 'words'>,
): void {
  const { memory } = world
  const map = HeapMap.open(memory, world.objects, readMap(memory))
  t.name(memory, map.root * 4, HeapRoot, 'heap')
  t.name(memory, map.zone(0) * 4, ZoneLayout, 'zone')
  for (let cpu = 0; cpu < map.cpus; cpu++) t.name(memory, map.heapCpu(cpu) * 4, HeapCpu, `heapCpu[${cpu}]`)
  for (let page = 0; page < map.pages; page++)
    t.name(memory, map.descriptor(page) * 4, PageDescriptor, `page[${page}]`)
  t.name(memory, words, CacheLayout, 'cache')
  for (const slab of slabs) {
    t.name(memory, slab, SlabLayout, 'slab')
    t.name(memory, slab + SlabLayout.stride, Tags, 'slab')
  }
}

function verified(world: World): ReturnType<typeof verify> {
  const verdict = verify(world)
  assert.deepEqual(verdict.faults, [])
  return verdict
}
/** Which objects are allocated. Each one that exists is in exactly one place. */
export function allocated(world: World): number[] {
  return [...verified(world).objects.keys()].sort((a, b) => a - b)
}
/** Addresses of the blocks of pages that are allocated, but for those of the heap itself. */
export function allocatedPages(world: World): number[] {
  const { blocks: all, cacheBlocks } = verified(world)
  const plain = [...all].filter(([page, { kind }]) => kind === USED && !cacheBlocks.has(page))
  return plain.map(([page]) => page * 4096).sort((a, b) => a - b)
}
export function slabsOf(world: World): number {
  return verified(world).blocks.size
}

/** Explores, with one of both CPUs killed anywhere. */
export function check(
  prepared: Prepared,
  test: NamedTest,
  victim: number,
  describe: (t: Scenario) => void,
  options?: TestExploreOptions,
): Promise<void> {
  const { world } = prepared
  const scenario = (t: Scenario) => {
    name(t, prepared)
    describe(t)
    t.kill(victim, {
      reaper: (cpu) => {
        const machine = cpu.prepare(() => world.join(4))
        const cache = cpu.prepare(() => blocks(machine))
        world.reap(victim)
        // What was left because another one had the lock is free once somebody takes it.
        cache.trim()
        machine.heap.pages.free(machine.heap.pages.alloc(1), 1)
      },
    })
  }
  return explored(world, test, scenario, options)
}
