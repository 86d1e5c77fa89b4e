/** The operations of grace periods and of SRCU domains. */
import { SrcuLayout, type Rcu, type Srcu, type SrcuFlavour } from 'percpu'
import * as kinds from '../kinds.js'
import { door, ending, free, getting, use, using, type Row } from '../row.js'
import type { World } from '../world.js'

const { address, func, oneOf, optional, wait } = kinds
const cookie: kinds.Kind = { name: 'cookie', takes: (value) => Number.isInteger(value) && 'maybe' }
const token = kinds.whole(0, 1, 'token')
const freeable: kinds.Kind = {
  name: 'what can be freed',
  takes: (value) => (Number.isInteger(value) ? 'maybe' : false),
}
const flavour = optional(kinds.options({ flavour: optional(oneOf('fast', 'normal')) }))

interface Dying {
  free(what: number): Promise<void>
  freeBlocking(what: number, options?: object): void
}
/** Stands for what the row has taken. */
const MINE = Symbol('taken by the row')

/** What `machine.rcu` and domains have in common. */
function common(type: 'Rcu' | 'Srcu', of: (world: World) => Rcu | Srcu): Row[] {
  const waits = (['synchronize', 'synchronizeExpedited', 'barrier'] as const).map((method) =>
    door(`${type}.${method}`, [optional(wait)], (world) => use(of(world), method, [{}])),
  )
  const frees = (method: keyof Dying, extra: readonly kinds.Kind[]): Row =>
    door(`${type}.${method}`, [freeable, ...extra], (world) => {
      const taken = (): number => world.machine.heap.alloc(64)
      let own = taken()
      const dying = of(world) as Dying
      return using(
        (...given: [never, never?]) => dying[method](given[0] === MINE ? own : given[0], given[1] as never),
        [MINE],
        () => (own = taken()),
      )
    })
  return [
    ...waits,
    frees('free', []),
    frees('freeBlocking', [optional(wait)]),
    door(`${type}.synchronizeBlocking`, [optional(wait)], (world) =>
      use(of(world), 'synchronizeBlocking', [{ timeout: 1000 }]),
    ),
    door(`${type}.barrierBlocking`, [optional(wait)], (world) =>
      use(of(world), 'barrierBlocking', [{ timeout: 1000 }]),
    ),
    door(`${type}.getState`, [], (world) => use(of(world), 'getState')),
    door(`${type}.startPoll`, [], (world) => use(of(world), 'startPoll')),
    door(`${type}.poll`, [cookie], (world) => use(of(world), 'poll', [of(world).getState()])),
    door(`${type}.call`, [func], (world) => use(of(world), 'call', [() => undefined])),
    door(`${type}.callBlocking`, [func, optional(wait)], (world) =>
      use(of(world), 'callBlocking', [() => undefined, { timeout: 1000 }]),
    ),
  ]
}

const domain = (world: World, wanted: SrcuFlavour = 'fast'): Srcu =>
  world.machine.srcu(wanted, { flavour: wanted })
const readers = (wanted: SrcuFlavour, isExtra: boolean): Row[] => {
  const suffix = isExtra ? ` of a ${wanted} domain` : ''
  const of = (world: World): Srcu => domain(world, wanted)
  return [
    door(
      `Srcu.readLock${suffix}`,
      [],
      (world) =>
        use(of(world), 'readLock', [], (own: number) => {
          of(world).readUnlock(own)
        }),
      { isExtra },
    ),
    door(
      `Srcu.readUnlock${suffix}`,
      [token],
      (world) => {
        let own = of(world).readLock()
        const unlock = (...given: [never]): void => of(world).readUnlock(given[0] === MINE ? own : given[0])
        return using(unlock, [MINE], () => (own = of(world).readLock()))
      },
      { isExtra },
    ),
    door(
      `Srcu.downRead${suffix}`,
      [],
      (world) =>
        use(of(world), 'downRead', [], (own: number) => {
          of(world).upRead(own)
        }),
      { isExtra },
    ),
    door(
      `Srcu.upRead${suffix}`,
      [token],
      (world) => {
        let own = of(world).downRead()
        const up = (...given: [never]): void => of(world).upRead(given[0] === MINE ? own : given[0])
        return using(up, [MINE], () => (own = of(world).downRead()))
      },
      { isExtra },
    ),
  ]
}

const placed = ({ machine }: World): number =>
  machine.heap.memblock.alloc({ size: SrcuLayout.stride, align: 64 })

const domains: readonly Row[] = [
  ...common('Srcu', (world) => domain(world)),
  ...readers('fast', false),
  ...readers('normal', true),
  door('Srcu.section', [], (world) =>
    use(domain(world), 'section', [], (own: { end(): void }) => {
      own.end()
    }),
  ),
  door('Srcu.protect', [func], (world) => use(domain(world), 'protect', [() => 5])),
  door('Srcu.expediteCurrent', [], (world) => use(domain(world), 'expediteCurrent')),
  door('Srcu.cleanup', [optional(wait)], (world) => {
    let made = 0
    const make = (): Srcu => world.machine.srcu(`ending ${made++}`)
    let own = make()
    return using(
      (options: object) => own.cleanup(options),
      [{}],
      () => (own = make()),
    )
  }),
  free('SrcuSection.isOpen', [], (world) => {
    const own = domain(world).section()
    world.atEnd(() => {
      own[Symbol.dispose]()
    })
    return getting(own, 'isOpen')
  }),
  door('SrcuSection.end', [], (world) => {
    let own = domain(world).section()
    world.atEnd(() => {
      own[Symbol.dispose]()
    })
    return using(
      () => own.end(),
      [],
      () => (own = domain(world).section()),
    )
  }),
  ending('SrcuSection.[Symbol.dispose]', [], (world) => use(domain(world).section(), Symbol.dispose)),
  door('Machine.initSrcu', [address, flavour], (world) => {
    // The list of domains lies in boot memory, of which a full heap leaves none.
    world.machine.initSrcu(placed(world))
    let own = placed(world)
    const init = (...given: [never, never?]): unknown =>
      world.machine.initSrcu(given[0] === MINE ? own : given[0], given[1])
    return using(init, [MINE, {}], async (made) => {
      await (made as Srcu).cleanup()
      own = placed(world)
    })
  }),
  door('Machine.srcuAt', [address, flavour], (world) => {
    const own = placed(world)
    world.machine.initSrcu(own)
    return use(world.machine, 'srcuAt', [own, {}])
  }),
]

export const rcuRows: readonly Row[] = [
  ...common('Rcu', ({ machine }) => machine.rcu),
  door('Rcu.completed', [], ({ machine }) => getting(machine.rcu, 'completed')),
  ...domains,
]
