/** The operations of locks, and of sections. */
import {
  CompletionLayout,
  ConditionLayout,
  MutexLayout,
  SemaphoreLayout,
  SeqlockLayout,
  type Locks,
  type Permits,
  type Section,
  type Struct,
} from 'percpu'
import * as kinds from '../kinds.js'
import { door, ending, free, getting, use, using, type Row } from '../row.js'
import { Pair, Sample, type World } from '../world.js'

const { address, cpu, func, name, number, optional, text, wait, whole } = kinds
const permits = whole(0, 2 ** 24 - 1, 'permits')
const count = optional(whole(1, 2, 'count'))
const anyMutex = kinds.object('mutex', (world) => [world.machine.locks.seqlock('no mutex')])
const guardKind = kinds.object('guard', (world) => [
  world.guard('stranger'),
  world.guard('foreign', world.other),
])
const lockKind = kinds.oneOf('mutex', 'completion', 'condition', 'seqlock', 'semaphore')
const locksOf = (world: World): Locks => world.machine.locks
const placed = ({ machine }: World, layout: Struct): number =>
  machine.heap.memblock.alloc({ size: layout.stride })
interface Disposed {
  [Symbol.dispose](): void
}
const dispose = (guard: Disposed): void => {
  guard[Symbol.dispose]()
}

const makers: readonly Row[] = [
  door('Locks.mutex', [name], (world) => use(locksOf(world), 'mutex', ['lock'])),
  door('Locks.completion', [name], (world) => use(locksOf(world), 'completion', ['lock'])),
  door('Locks.condition', [name, anyMutex], (world) =>
    use(locksOf(world), 'condition', ['lock', locksOf(world).mutex('of it')]),
  ),
  door('Locks.seqlock', [name], (world) => use(locksOf(world), 'seqlock', ['lock'])),
  door('Locks.semaphore', [name, permits], (world) => use(locksOf(world), 'semaphore', ['lock', 3])),
  door('Locks.mutexAt', [address, optional(text)], (world) =>
    use(locksOf(world), 'mutexAt', [placed(world, MutexLayout)]),
  ),
  door('Locks.completionAt', [address, optional(text)], (world) =>
    use(locksOf(world), 'completionAt', [placed(world, CompletionLayout)]),
  ),
  door('Locks.conditionAt', [address, anyMutex, optional(text)], (world) =>
    use(locksOf(world), 'conditionAt', [placed(world, ConditionLayout), locksOf(world).mutex('of it')]),
  ),
  door('Locks.seqlockAt', [address, optional(text)], (world) =>
    use(locksOf(world), 'seqlockAt', [placed(world, SeqlockLayout)]),
  ),
  door('Locks.semaphoreAt', [address, optional(text)], (world) =>
    use(locksOf(world), 'semaphoreAt', [placed(world, SemaphoreLayout)]),
  ),
  door('Locks.initSemaphore', [address, permits], (world) =>
    use(locksOf(world), 'initSemaphore', [placed(world, SemaphoreLayout), 3]),
  ),
  door('Locks.remove', [lockKind, name], (world) => {
    const locks = locksOf(world)
    locks.mutex('lock')
    return use(locks, 'remove', ['mutex', 'lock'], () => locks.mutex('lock'))
  }),
  door('Locks.heldBy', [cpu], (world) => use(locksOf(world), 'heldBy', [0])),
]

const mutexes: readonly Row[] = [
  door('Mutex.lock', [optional(wait)], (world) =>
    use(locksOf(world).mutex('m'), 'lock', [{ timeout: 1 }], dispose),
  ),
  door('Mutex.tryLock', [], (world) => use(locksOf(world).mutex('m'), 'tryLock', [], dispose)),
  door('Mutex.lockAsync', [optional(wait)], (world) =>
    use(locksOf(world).mutex('m'), 'lockAsync', [{ timeout: 1 }], dispose),
  ),
  door('Mutex.unlock', [], (world) => {
    world.guard('m')
    const own = locksOf(world).mutex('m')
    return use(own, 'unlock', [], () => own.lock())
  }),
  door('Mutex.run', [func, optional(wait)], (world) => use(locksOf(world).mutex('m'), 'run', [() => 5, {}])),
  door('Mutex.runAsync', [func, optional(wait)], (world) =>
    use(locksOf(world).mutex('m'), 'runAsync', [() => 5, {}]),
  ),
  free('Mutex.isHeldHere', [], (world) => getting(locksOf(world).mutex('m'), 'isHeldHere')),
  door('Mutex.owner', [], (world) => getting(locksOf(world).mutex('m'), 'owner')),
  free('MutexGuard.predecessorDied', [], (world) => getting(world.guard(), 'predecessorDied')),
  free('MutexGuard.isHeld', [], (world) => getting(world.guard(), 'isHeld')),
  door('MutexGuard.unlock', [], (world) => {
    const own = locksOf(world).mutex('m')
    let guard = own.lock()
    world.atEnd(() => guard[Symbol.dispose]())
    return using(
      () => guard.unlock(),
      [],
      () => (guard = own.lock()),
    )
  }),
  door('MutexGuard.begin', [], (world) => use(world.guard(), 'begin', [], dispose)),
  door('MutexGuard.run', [func], (world) => use(world.guard(), 'run', [() => 5])),
  ending('MutexGuard.[Symbol.dispose]', [], (world) => use(world.guard(), Symbol.dispose)),
]

const conditions: readonly Row[] = [
  door('Condition.wait', [guardKind, optional(wait)], (world) => {
    const condition = locksOf(world).condition('c', locksOf(world).mutex('guarded'))
    return use(condition, 'wait', [world.guard(), { timeout: 1 }])
  }),
  door('Condition.waitAsync', [guardKind, optional(wait)], (world) => {
    const condition = locksOf(world).condition('c', locksOf(world).mutex('guarded'))
    return use(condition, 'waitAsync', [world.guard(), { timeout: 1 }])
  }),
  door('Condition.notify', [], (world) => {
    world.guard()
    return use(locksOf(world).condition('c', locksOf(world).mutex('guarded')), 'notify')
  }),
  door('Condition.notifyAll', [], (world) => {
    world.guard()
    return use(locksOf(world).condition('c', locksOf(world).mutex('guarded')), 'notifyAll')
  }),
]

const completed = (world: World) => {
  const completion = locksOf(world).completion('c')
  completion.completeAll()
  return completion
}
const completions: readonly Row[] = [
  door('Completion.isDone', [], (world) => getting(completed(world), 'isDone')),
  door('Completion.complete', [], (world) => use(completed(world), 'complete')),
  door('Completion.completeAll', [], (world) => use(completed(world), 'completeAll')),
  door('Completion.wait', [optional(wait)], (world) => use(completed(world), 'wait', [{ timeout: 1 }])),
  door('Completion.waitAsync', [optional(wait)], (world) =>
    use(completed(world), 'waitAsync', [{ timeout: 1 }]),
  ),
  door('Completion.tryWait', [], (world) => use(completed(world), 'tryWait')),
  door('Completion.reset', [], (world) => use(completed(world), 'reset')),
]

const sequences: readonly Row[] = [
  door('Seqlock.read', [func, optional(wait)], (world) =>
    use(locksOf(world).seqlock('s'), 'read', [() => 5, {}]),
  ),
  door('Seqlock.readAsync', [func, optional(wait)], (world) =>
    use(locksOf(world).seqlock('s'), 'readAsync', [() => 5, {}]),
  ),
  door('Seqlock.write', [func, optional(wait)], (world) =>
    use(locksOf(world).seqlock('s'), 'write', [() => 5, {}]),
  ),
  door('Seqlock.writeAsync', [func, optional(wait)], (world) =>
    use(locksOf(world).seqlock('s'), 'writeAsync', [() => 5, {}]),
  ),
  door('Seqlock.writeLock', [optional(wait)], (world) =>
    use(locksOf(world).seqlock('s'), 'writeLock', [{}], dispose),
  ),
  door('Seqlock.writeLockAsync', [optional(wait)], (world) =>
    use(locksOf(world).seqlock('s'), 'writeLockAsync', [{}], dispose),
  ),
  door('Seqlock.tryWriteLock', [], (world) => use(locksOf(world).seqlock('s'), 'tryWriteLock', [], dispose)),
]

const two = (world: World) => locksOf(world).semaphore('two', 2)
const taken = (world: World): Permits => {
  const own = two(world).acquire(2)
  world.atEnd(() => {
    dispose(own)
  })
  return own
}
const semaphores: readonly Row[] = [
  door('Semaphore.acquire', [count, optional(wait)], (world) => use(two(world), 'acquire', [1, {}], dispose)),
  door('Semaphore.acquireAsync', [count, optional(wait)], (world) =>
    use(two(world), 'acquireAsync', [1, {}], dispose),
  ),
  door('Semaphore.tryAcquire', [count], (world) => use(two(world), 'tryAcquire', [1], dispose)),
  door('Semaphore.available', [], (world) => getting(two(world), 'available')),
  free('Semaphore.total', [], (world) => getting(two(world), 'total')),
  free('Semaphore.held', [], (world) => getting(two(world), 'held')),
  free('Permits.count', [], (world) => getting(taken(world), 'count')),
  free('Permits.isHeld', [], (world) => getting(taken(world), 'isHeld')),
  door('Permits.release', [count], (world) => {
    let own = taken(world)
    world.atEnd(() => {
      dispose(own)
    })
    const release = (...given: [number?]): void => own.release(...given)
    return using(release, [2], () => (own = two(world).acquire(2)))
  }),
  ending('Permits.[Symbol.dispose]', [], (world) => use(taken(world), Symbol.dispose)),
]

const inSection = (
  method: string,
  takes: readonly kinds.Kind[],
  make: (section: Section, world: World) => ReturnType<Row['make']>,
): Row => door(`Section.${method}`, takes, (world) => make(world.section(), world), { offline: 'over' })

const word = kinds.whole(1024, 2 ** 18 - 1, 'word index')
const sections: readonly Row[] = [
  inSection('isOpen', [], (section) => getting(section, 'isOpen')),
  inSection('room', [], (section) => getting(section, 'room')),
  inSection('at', [kinds.struct, address], (section, world) =>
    use(section, 'at', [Sample, world.sample().address]),
  ),
  door(
    'Section.at an accessor',
    [kinds.object('accessor', (world) => [world.sample(world.other)])],
    (world) => use(world.section(), 'at', [world.sample()]),
    { offline: 'over', isExtra: true },
  ),
  inSection('write32', [word, number], (section, world) =>
    use(section, 'write32', [world.sample().address / 4, 5]),
  ),
  inSection('writeF64', [kinds.whole(512, 2 ** 17 - 1), number], (section, world) =>
    use(section, 'writeF64', [world.sample().address / 8, 5]),
  ),
  inSection('writeU64', [kinds.whole(512, 2 ** 17 - 1), kinds.bigint], (section, world) =>
    use(section, 'writeU64', [world.sample().address / 8, 5n]),
  ),
  ...(['commit', 'rollback', Symbol.dispose] as const).map((method) =>
    door(
      `Section.${typeof method === 'string' ? method : '[Symbol.dispose]'}`,
      [],
      (world) => {
        const guard = world.guard()
        let section = guard.begin()
        world.atEnd(() => {
          dispose(section)
        })
        return using(
          () => section[method](),
          [],
          () => (section = guard.begin()),
        )
      },
      { offline: 'over' },
    ),
  ),
]

/** What is written through the accessors of a section. */
const sectionFields: readonly Row[] = (
  [
    ['plain', number, 5],
    ['wide', kinds.bigint, 5n],
    ['real', number, 5],
    ['byte', number, 5],
    ['held', number, 5],
    ['link', kinds.addressValue, 0],
  ] as const
).map(([field, kind, value]) =>
  door(
    `field ${field} in a section`,
    [kind],
    (world) => {
      const object = world.section().at(world.sample())
      return using(
        (given: never) => {
          object[field] = given
        },
        [value],
      )
    },
    { offline: 'over', isExtra: true },
  ),
)
const sectionViews: readonly Row[] = [
  door(
    'ArrayView.set in a section',
    [kinds.index(4), number],
    (world) => use(world.section().at(world.sample()).numbers, 'set', [1, 5]),
    { offline: 'over', isExtra: true },
  ),
  door(
    'Section.at a small struct',
    [kinds.struct, address],
    (world) => use(world.section(), 'at', [Pair, world.sample().address]),
    { offline: 'over', isExtra: true },
  ),
]

export const syncRows: readonly Row[] = [
  ...makers,
  ...mutexes,
  ...conditions,
  ...completions,
  ...sequences,
  ...semaphores,
  ...sections,
  ...sectionFields,
  ...sectionViews,
]
