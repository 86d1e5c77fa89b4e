/**
 * Magazines, with two CPUs at them: one allocates and frees, another one frees what the first had allocated. Either may be killed
 * anywhere, and is reaped. Whatever happens, each object is in exactly one place: allocated, in one magazine, or free in its slab.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type CpuContext, type ExploreOptions, type Scenario } from 'percpu-lab'
import { cellSpec, check as explored, prepare, type World } from '../../machine/explore/support.js'
import { counts } from './counts.js'

const { verify } = await import('../support/verify.js')
const { CacheWords, HeapCpu, HeapRoot, PageDescriptor, SlabWords } =
  await import('../../../dist/alloc/layouts.js')
const { HeapMap } = await import('../../../dist/alloc/page-map.js')
const { readMap } = await import('../../../dist/machine/memory-map.js')

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 150)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)
/** Seven of them in a slab of a page, and four in a magazine, of which two are exchanged with the slabs at a time. */
const Block = percpu.struct('Block', { words: percpu.array(percpu.racy(percpu.i32), 128) })
/** The tags of such a slab, which are racy; the layouts have no name for them. */
const Tags = percpu.struct('Tags', { tag: percpu.array(percpu.racy(percpu.i32), 7) })

interface Prepared {
  readonly world: World
  readonly objects: readonly number[]
  /** Address of a word for a link, guarded by the mutex 'links'. */
  readonly link: number
  /** The only slab, and the first page of the cache. */
  readonly slab: number
  readonly words: number
}

/** A machine with `kept` objects that outlive the CPU that took them. */
async function withObjects(kept: number): Promise<Prepared> {
  const objects: number[] = []
  let [link, slab, words] = [0, 0, 0]
  const world = await prepare({ cpus: 3 }, (machine) => {
    const cache = machine.cache('block', Block)
    for (let i = 0; i < kept; i++) objects.push(cache.allocate({ keep: true }))
    const free = cache.allocate()
    slab = free - (free % 4096)
    cache.free(free)
    words = (cache as unknown as { readonly word: number }).word * 4
    machine.mutex('links')
    link = machine.objects.create('link', cellSpec)
  })
  return { world, objects, link, slab, words }
}

/** Names the words of the heap. */
function name(t: Scenario, { world, slab, words }: Prepared): void {
  const { memory } = world
  const map = HeapMap.open(memory, world.objects, readMap(memory))
  t.name(memory, map.root * 4, HeapRoot, 'heap')
  for (let cpu = 0; cpu < map.cpus; cpu++) t.name(memory, map.heapCpu(cpu) * 4, HeapCpu, `heapCpu[${cpu}]`)
  for (let page = 0; page < map.pages; page++)
    t.name(memory, map.descriptor(page) * 4, PageDescriptor, `page[${page}]`)
  t.name(memory, words, CacheWords, 'cache')
  t.name(memory, slab, SlabWords, 'slab')
  t.name(memory, slab + SlabWords.stride, Tags, 'slab')
}

function open(world: World, cpu: CpuContext) {
  const machine = world.joined(cpu)
  const cache = cpu.prepare(() => machine.cache('block', Block))
  return { machine, cache }
}

/** Which objects are allocated. Each one that exists is in exactly one place. */
function allocated(world: World): number[] {
  const { memory, objects, memblock, table } = world
  const cpus = () => world.states().map((_, cpu) => table.info(cpu))
  const verdict = verify({ memory, objects, memblock, cpus })
  assert.deepEqual(verdict.faults, [])
  return [...verdict.objects.keys()].sort((a, b) => a - b)
}

/** Explores, with one of both CPUs killed anywhere. */
function check(
  prepared: Prepared,
  [what, victim]: readonly [string, number],
  describe: (t: Scenario) => void,
  options?: ExploreOptions,
): Promise<void> {
  const { world } = prepared
  const scenario = (t: Scenario) => {
    name(t, prepared)
    describe(t)
    t.kill(victim, {
      reaper: (cpu) => {
        const cache = cpu.prepare(() => world.join(4).cache('block', Block))
        world.reap(victim)
        // What was left because another one had the lock is free once somebody takes it.
        cache.shrink()
      },
    })
  }
  return explored(world, `${what}, ${victim} killed`, scenario, options, counts)
}

for (const victim of [0, 1]) {
  describe(`of two CPUs with magazines, CPU ${victim} is killed`, () => {
    it('while one takes and gives objects and the other frees one of them', async () => {
      const prepared = await withObjects(1)
      const { world, objects } = prepared
      const [given = 0] = objects
      await check(
        prepared,
        ['take and give', victim],
        (t) => {
          t.cpu(0, (cpu) => {
            const { cache } = open(world, cpu)
            cpu.prepare(() => {
              const both = [cache.allocate(), cache.allocate()]
              for (const address of both) cache.free(address)
            })
            const first = cache.allocate()
            const second = cache.allocate()
            cache.free(first)
            return second
          })
          t.cpu(1, (cpu) => {
            const { cache } = open(world, cpu)
            cache.disown(given)
            cache.free(given)
            return true
          })
          t.finally(([second, isFreed]) => {
            const left = allocated(world)
            const expected = second === undefined ? [] : [second as number]
            if (left.includes(given) && isFreed !== true) expected.push(given)
            assert.deepEqual(
              left,
              expected.sort((a, b) => a - b),
            )
          })
        },
        { preemptions: 1 },
      )
    })

    it('while one refills its magazine and the other spills its own', async () => {
      const prepared = await withObjects(5)
      const { world, objects } = prepared
      const [given = 0, ...others] = objects
      await check(
        prepared,
        ['refill and spill', victim],
        (t) => {
          t.cpu(0, (cpu) => open(world, cpu).cache.allocate())
          t.cpu(1, (cpu) => {
            const { cache } = open(world, cpu)
            cpu.prepare(() => {
              for (const address of others) cache.free(address)
              cache.disown(given)
            })
            cache.free(given)
            return true
          })
          t.finally(([taken]) => {
            assert.deepEqual(allocated(world), taken === undefined ? [] : [taken])
          })
        },
        { mode: 'pct', executions: EXECUTIONS, seed: SEED },
      )
    })

    it('while one links an object and the other unlinks and frees it', async () => {
      const prepared = await withObjects(0)
      const { world, link } = prepared
      const { i32 } = world.memory
      await check(
        prepared,
        ['link and unlink', victim],
        (t) => {
          t.cpu(0, (cpu) => {
            const { machine, cache } = open(world, cpu)
            const mutex = cpu.prepare(() => machine.mutex('links'))
            cpu.prepare(() => cache.free(cache.allocate()))
            const address = cache.allocate()
            mutex.run((section) => {
              section.write32(link / 4, address / 8)
              cache.keep(address, section)
            })
          })
          t.cpu(1, (cpu) => {
            const { machine, cache } = open(world, cpu)
            const mutex = cpu.prepare(() => machine.mutex('links'))
            const address = mutex.run((section) => {
              const found = mem.load32(i32, link / 4) * 8
              if (found === 0) return 0
              section.write32(link / 4, 0)
              cache.disown(found, section)
              return found
            })
            if (address !== 0) cache.free(address)
          })
          t.finally(() => {
            const linked = mem.load32(i32, link / 4) * 8
            assert.deepEqual(allocated(world), linked === 0 ? [] : [linked])
          })
        },
        { preemptions: 0 },
      )
    })
  })
}
