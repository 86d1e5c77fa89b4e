/** The operations of per-CPU memory and of what is made of it. */
import {
  NamedMemoryError,
  type Percpu,
  type PercpuCounter,
  type PercpuRef,
  type PercpuRwSemaphore,
} from 'percpu'
import * as kinds from '../kinds.js'
import { door, ending, exempt, free, getting, setting, use, using, type Row } from '../row.js'
import { Pair, type World } from '../world.js'

const { amount, bigint, cpu, flag, limit, name, number, optional, pointer, wait, whole } = kinds
const percpuOf = (world: World): Percpu => world.machine.percpu
const type: kinds.Kind = kinds.struct
const objectOptions = optional(kinds.options({ name: optional(name), reserved: optional(flag) }))
/** What got a name stays. */
const freeIt = (made: { free(): void }): void => {
  try {
    made.free()
  } catch (error) {
    if (!(error instanceof NamedMemoryError)) throw error
  }
}

const numbers = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'u64', 'f32', 'f64'] as const
const makers: readonly Row[] = [
  ...numbers.map((scalar) => exempt(`PercpuScalarMakers.${scalar}`, 'inherited by Percpu')),
  door('Percpu()', [type, objectOptions], (world) => using(percpuOf(world), [Pair, {}], freeIt)),
  ...numbers.map((scalar) =>
    door(`Percpu.${scalar}`, [objectOptions], (world) => use(percpuOf(world), scalar, [{}], freeIt)),
  ),
  door('Percpu.at', [pointer, type], (world) => {
    const own = percpuOf(world)(Pair)
    world.atEnd(() => {
      own.free()
    })
    return use(percpuOf(world), 'at', [own.pointer, Pair])
  }),
  door(
    'Percpu.alloc',
    [
      whole(1, 8192),
      optional(
        kinds.options({
          align: optional({
            name: 'alignment',
            takes: (value) => (Number.isInteger(value) ? 'maybe' : false),
          }),
          nowait: optional(flag),
          reserved: optional(flag),
          into: optional({
            name: 'address of a word that is 0',
            takes: (value) => (Number.isInteger(value) && Number(value) >= 4 ? 'maybe' : false),
          }),
        }),
      ),
    ],
    (world) =>
      use(percpuOf(world), 'alloc', [8, {}], (taken: number) => {
        percpuOf(world).free(taken)
      }),
  ),
  door('Percpu.free', [pointer], (world) => {
    let own = percpuOf(world).alloc(8)
    const freeing = (...given: [never]): void => percpuOf(world).free(given[0] === MINE ? own : given[0])
    return using(freeing, [MINE], () => (own = percpuOf(world).alloc(8)))
  }),
  door('Percpu.sizeOf', [pointer], (world) => use(percpuOf(world), 'sizeOf', [percpuOf(world).alloc(8)])),
  door('Percpu.address', [pointer, cpu, optional(whole(0, 8191, 'offset'))], (world) =>
    use(percpuOf(world), 'address', [percpuOf(world).alloc(8), 1, 4]),
  ),
  door('Percpu.counter', [name, optional(kinds.options({ batch: optional(whole(1, 2 ** 30)) }))], (world) =>
    use(percpuOf(world), 'counter', ['counter', {}]),
  ),
  door('Percpu.ref', [name], (world) => use(percpuOf(world), 'ref', ['ref'])),
  door('Percpu.rwSemaphore', [name], (world) => use(percpuOf(world), 'rwSemaphore', ['lock'])),
  door('Percpu.remove', [kinds.oneOf('object', 'counter', 'ref', 'rwSemaphore'), name], (world) => {
    const percpu = percpuOf(world)
    percpu.counter('counter')
    return use(percpu, 'remove', ['counter', 'counter'], () => percpu.counter('counter'))
  }),
  ...(['trim', 'verify', 'report', 'reportText'] as const).map((method) =>
    door(`Percpu.${method}`, [], (world) => use(percpuOf(world), method)),
  ),
]

/** Stands for what the row has taken. */
const MINE = Symbol('taken by the row')
const own32 = (world: World) => percpuOf(world).i32({ name: 'n32' })
const own64 = (world: World) => percpuOf(world).u64({ name: 'n64' })
const pairs = (world: World) => percpuOf(world)(Pair, { name: 'pairs' })

const scalars: readonly Row[] = [
  door('PercpuScalar.local', [], (world) => getting(own32(world), 'local'), { isExtra: true }),
  door('PercpuScalar.local =', [number], (world) => setting(own32(world), 'local', 5)),
  door('PercpuScalar.local = of 64 bits', [bigint], (world) => setting(own64(world), 'local', 5n), {
    isExtra: true,
  }),
  door('PercpuScalar.add', [number], (world) => use(own32(world), 'add', [5])),
  door('PercpuScalar.add of 64 bits', [bigint], (world) => use(own64(world), 'add', [5n]), { isExtra: true }),
  free('PercpuScalar.pointer', [], (world) => getting(own32(world), 'pointer')),
  door('PercpuScalar.addReturn', [number], (world) => use(own32(world), 'addReturn', [5])),
  door('PercpuScalar.exchange', [number], (world) => use(own32(world), 'exchange', [5])),
  door('PercpuScalar.compareExchange', [number, number], (world) =>
    use(own32(world), 'compareExchange', [own32(world).local, 0]),
  ),
  door('PercpuScalar.of', [cpu], (world) => use(own32(world), 'of', [1])),
  door('PercpuScalar.[Symbol.iterator]', [], (world) => using(() => [...own32(world)])),
  door('PercpuScalar.sum', [], (world) => use(own32(world), 'sum')),
  door('PercpuScalar.free', [], (world) => {
    let made = percpuOf(world).i32()
    return using(
      () => made.free(),
      [],
      () => (made = percpuOf(world).i32()),
    )
  }),
  door('PercpuCell.value =', [number], (world) => setting(own32(world).of(1), 'value', 5)),
  free('PercpuStruct.pointer', [], (world) => getting(pairs(world), 'pointer')),
  door('PercpuStruct.of', [cpu], (world) => use(pairs(world), 'of', [1])),
  door('PercpuStruct.[Symbol.iterator]', [], (world) => using(() => [...pairs(world)])),
  door('PercpuStruct.sum', [kinds.oneOf('a', 'b')], (world) => use(pairs(world), 'sum', ['a'])),
  door('PercpuStruct.free', [], (world) => {
    let made = percpuOf(world)(Pair)
    return using(
      () => made.free(),
      [],
      () => (made = percpuOf(world)(Pair)),
    )
  }),
]

const counter = (world: World): PercpuCounter => percpuOf(world).counter('counter')
const counters: readonly Row[] = [
  door('PercpuCounter.add', [amount], (world) => use(counter(world), 'add', [5])),
  door('PercpuCounter.addLocal', [amount], (world) => use(counter(world), 'addLocal', [5])),
  door('PercpuCounter.estimate', [], (world) => getting(counter(world), 'estimate')),
  door('PercpuCounter.estimatePositive', [], (world) => getting(counter(world), 'estimatePositive')),
  free('PercpuCounter.maxError', [], (world) => getting(counter(world), 'maxError')),
  free('PercpuCounter.maxValue', [], (world) => getting(counter(world), 'maxValue')),
  door('PercpuCounter.sum', [], (world) => use(counter(world), 'sum')),
  door('PercpuCounter.sumPositive', [], (world) => use(counter(world), 'sumPositive')),
  door('PercpuCounter.set', [amount], (world) => use(counter(world), 'set', [5])),
  door('PercpuCounter.sync', [], (world) => use(counter(world), 'sync')),
  door('PercpuCounter.compare', [limit], (world) => use(counter(world), 'compare', [5])),
  door('PercpuCounter.limitedAdd', [limit, amount], (world) =>
    use(counter(world), 'limitedAdd', [2 ** 40, 1]),
  ),
]

const ref = (world: World): PercpuRef => percpuOf(world).ref('ref')
const refCount = optional(whole(1, 2 ** 27 - 1, 'count'))
const killed = async (world: World): Promise<PercpuRef> => {
  await ref(world).kill()
  return ref(world)
}
const refs: readonly Row[] = [
  door('PercpuRef.get', [refCount], (world) =>
    use(ref(world), 'get', [1], () => {
      ref(world).put()
    }),
  ),
  door('PercpuRef.tryGet', [], (world) =>
    use(ref(world), 'tryGet', [], () => {
      ref(world).put()
    }),
  ),
  door('PercpuRef.tryGetLive', [], (world) =>
    use(ref(world), 'tryGetLive', [], () => {
      ref(world).put()
    }),
  ),
  door('PercpuRef.put', [refCount], (world) => {
    ref(world).get()
    return use(ref(world), 'put', [1], () => {
      ref(world).get()
    })
  }),
  ...(['isZero', 'isDying', 'isAtomic'] as const).map((property) =>
    door(`PercpuRef.${property}`, [], (world) => getting(ref(world), property)),
  ),
  door('PercpuRef.report', [], (world) => use(ref(world), 'report')),
  door('PercpuRef.settle', [], (world) => use(ref(world), 'settle')),
  door('PercpuRef.released', [optional(wait)], async (world) => use(await killed(world), 'released', [{}])),
  door('PercpuRef.kill', [optional(wait)], (world) =>
    use(ref(world), 'kill', [{}], () => ref(world).resurrect()),
  ),
  door('PercpuRef.switchToAtomic', [optional(wait)], (world) => use(ref(world), 'switchToAtomic', [{}])),
  door('PercpuRef.switchToPercpu', [optional(wait)], (world) => use(ref(world), 'switchToPercpu', [{}])),
  door('PercpuRef.reinit', [optional(wait)], async (world) =>
    use(await killed(world), 'reinit', [{}], () => ref(world).kill()),
  ),
  door('PercpuRef.resurrect', [optional(wait)], async (world) =>
    use(await killed(world), 'resurrect', [{}], () => ref(world).kill()),
  ),
]

const lock = (world: World): PercpuRwSemaphore => percpuOf(world).rwSemaphore('lock')
interface Disposed {
  [Symbol.dispose](): void
}
const dispose = (guard: Disposed): void => {
  guard[Symbol.dispose]()
}
function guardRows(
  kind: 'ReadGuard' | 'WriteGuard',
  take: (world: World) => Promise<Disposed & { unlock(): void; readonly isHeld: boolean }>,
): Row[] {
  const held = async (world: World) => {
    const guard = await take(world)
    world.atEnd(() => {
      dispose(guard)
    })
    return guard
  }
  return [
    free(`${kind}.isHeld`, [], async (world) => getting(await held(world), 'isHeld')),
    door(`${kind}.unlock`, [], async (world) => {
      let guard = await held(world)
      return using(
        () => guard.unlock(),
        [],
        async () => (guard = await held(world)),
      )
    }),
    ending(`${kind}.[Symbol.dispose]`, [], async (world) => use(await held(world), Symbol.dispose)),
  ]
}
const rwSemaphores: readonly Row[] = [
  door('PercpuRwSemaphore.readLock', [optional(wait)], (world) =>
    use(lock(world), 'readLock', [{}], dispose),
  ),
  door('PercpuRwSemaphore.readLockAsync', [optional(wait)], (world) =>
    use(lock(world), 'readLockAsync', [{}], dispose),
  ),
  door('PercpuRwSemaphore.tryReadLock', [], (world) => use(lock(world), 'tryReadLock', [], dispose)),
  door('PercpuRwSemaphore.writeLock', [optional(wait)], (world) =>
    use(lock(world), 'writeLock', [{}], dispose),
  ),
  ...(['readers', 'isWriting', 'isSlow'] as const).map((property) =>
    door(`PercpuRwSemaphore.${property}`, [], (world) => getting(lock(world), property)),
  ),
  ...guardRows('ReadGuard', (world) => lock(world).readLockAsync()),
  ...guardRows('WriteGuard', (world) => lock(world).writeLock()),
]

export const percpuRows: readonly Row[] = [...makers, ...scalars, ...counters, ...refs, ...rwSemaphores]
