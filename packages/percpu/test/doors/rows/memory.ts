/** The operations of the heap, of its caches and pages, and of boot memory. */
import { flexible, i32, struct, type Heap, type Section } from 'percpu'
import * as kinds from '../kinds.js'
import { door, use, using, type Row } from '../row.js'
import { Pair, Sample, type World } from '../world.js'

const { address, flag, func, name, optional, text, whole } = kinds
const Tail = struct('Tail', { head: i32, rest: flexible(i32) })
const heapOf = (world: World): Heap => world.machine.heap
const section = kinds.object('section', (world) => [world.section(world.other)])
const objectFields = { zero: optional(flag), persist: optional(flag), label: optional(text) }
const powerOfTwo: kinds.Kind = {
  name: 'alignment',
  takes: (value) => (Number.isInteger(value) && Number(value) > 0 ? 'maybe' : false),
}
const bytes = whole(1, 2 ** 22, 'bytes')
const order = whole(0, 10, 'order')
const node = whole(0, 0, 'node')
const pageRequest = kinds.options({ node: optional(node), zero: optional(flag) })

/** Frees what a call took. */
const freed =
  (world: World) =>
  (taken: number): void =>
    heapOf(world).free(taken)

const heap: readonly Row[] = [
  door(
    'Heap.alloc',
    [bytes, optional(kinds.options({ ...objectFields, align: optional(powerOfTwo) }))],
    (world) => use(heapOf(world), 'alloc', [64, {}], freed(world)),
  ),
  door('Heap.create', [kinds.struct, optional(whole(0, 2 ** 19, 'length')), optional(func)], (world) =>
    use(heapOf(world), 'create', [Tail, 3, () => undefined], (made: { address: number }) =>
      heapOf(world).free(made.address),
    ),
  ),
  door('Heap.free', [address], (world) => {
    let own = heapOf(world).alloc(64)
    const free = (...given: [never]): void => heapOf(world).free(given[0] === MINE ? own : given[0])
    return using(free, [MINE], () => (own = heapOf(world).alloc(64)))
  }),
  ...(['persist', 'adopt'] as const).map((method) =>
    door(`Heap.${method}`, [address, optional(section)], (world) =>
      use(heapOf(world), method, [heapOf(world).alloc(64)]),
    ),
  ),
  door('Heap.cache', [name, kinds.struct], (world) => use(heapOf(world), 'cache', ['cache', Pair])),
  door('Heap.allocations', [], (world) => use(heapOf(world), 'allocations')),
  door('Heap.report', [], (world) => use(heapOf(world), 'report')),
  door('Heap.verify', [optional(kinds.options({ quiet: optional(flag) }))], (world) =>
    use(heapOf(world), 'verify', [{}]),
  ),
  door('Heap.trim', [], (world) => use(heapOf(world), 'trim')),
]

/** Stands for what the row has taken. */
const MINE = Symbol('taken by the row')
const cacheOf = (world: World) => heapOf(world).cache('samples', Sample)

const caches: readonly Row[] = [
  door('Cache.create', [optional(func)], (world) =>
    use(cacheOf(world), 'create', [() => undefined], (made: { address: number }) => {
      cacheOf(world).free(made.address)
    }),
  ),
  door('Cache.alloc', [optional(kinds.options(objectFields))], (world) =>
    use(cacheOf(world), 'alloc', [{}], freed(world)),
  ),
  door('Cache.free', [address], (world) => {
    let own = cacheOf(world).alloc()
    const free = (...given: [never]): void => cacheOf(world).free(given[0] === MINE ? own : given[0])
    return using(free, [MINE], () => (own = cacheOf(world).alloc()))
  }),
  ...(['persist', 'adopt'] as const).map((method) =>
    door(`Cache.${method}`, [address, optional(section)], (world) => {
      const cache = cacheOf(world)
      return use(cache, method, [cache.alloc()])
    }),
  ),
  door('Cache.trim', [], (world) => use(cacheOf(world), 'trim')),
]

const pages: readonly Row[] = [
  ...(['alloc', 'tryAlloc'] as const).map((method) =>
    door(`PageAllocator.${method}`, [order, optional(pageRequest)], (world) =>
      use(heapOf(world).pages, method, [1, {}], (taken: number) => {
        heapOf(world).pages.free(taken, 1)
      }),
    ),
  ),
  door('PageAllocator.free', [address, order], (world) => {
    let own = heapOf(world).pages.alloc(1)
    const free = (...given: [never, never]): void =>
      heapOf(world).pages.free(given[0] === MINE ? own : given[0], given[1])
    return using(free, [MINE, 1], () => (own = heapOf(world).pages.alloc(1)))
  }),
  ...(['persist', 'adopt'] as const).map((method) =>
    door(`PageAllocator.${method}`, [address, optional(section)], (world) =>
      use(heapOf(world).pages, method, [heapOf(world).pages.alloc(1)]),
    ),
  ),
  door('PageAllocator.report', [], (world) => use(heapOf(world).pages, 'report')),
  door('PageAllocator.trim', [], (world) => use(heapOf(world).pages, 'trim')),
]

const request = kinds.options({
  size: whole(1, 2 ** 20),
  align: optional(powerOfTwo),
  limit: optional({ name: 'limit', takes: (value) => typeof value === 'number' && value > 0 && 'maybe' }),
  node: optional(node),
  strict: optional(flag),
  noCross: optional(powerOfTwo),
  label: optional(text),
  zero: optional(flag),
})
const bootMemory: readonly Row[] = [
  door('Memblock.alloc', [request], (world) =>
    use(heapOf(world).memblock, 'alloc', [{ size: 64 }], (taken: number) => {
      heapOf(world).memblock.free(taken)
    }),
  ),
  door('Memblock.free', [address], (world) => {
    let own = heapOf(world).memblock.alloc({ size: 64 })
    const free = (...given: [never]): void => heapOf(world).memblock.free(given[0] === MINE ? own : given[0])
    return using(free, [MINE], () => (own = heapOf(world).memblock.alloc({ size: 64 })))
  }),
  door('Memblock.persist', [address], (world) =>
    use(heapOf(world).memblock, 'persist', [heapOf(world).memblock.alloc({ size: 64 })]),
  ),
  door('Memblock.report', [], (world) => use(heapOf(world).memblock, 'report')),
]

/** With a section of the machine. */
const linked: readonly Row[] = [
  ['Heap.persist', (world: World, own: Section, at: number) => heapOf(world).persist(at, own)],
  ['Heap.adopt', (world: World, own: Section, at: number) => heapOf(world).adopt(at, own)],
].map(([method, run]) =>
  door(
    `${method as string} in a section`,
    [optional(section)],
    (world) => {
      const at = heapOf(world).alloc(64)
      const own = world.section()
      return using((given: Section) => (run as (...given: unknown[]) => unknown)(world, given, at), [own])
    },
    { offline: 'over', isExtra: true },
  ),
)

export const memoryRows: readonly Row[] = [...heap, ...caches, ...pages, ...bootMemory, ...linked]
