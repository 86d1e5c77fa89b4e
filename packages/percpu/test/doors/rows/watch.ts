/** The operations by which CPUs are watched from outside. */
import { setImmediate } from 'node:timers/promises'
import { findDeadlocks, type Monitor, type VpaRegistry, type Watch } from 'percpu'
import * as kinds from '../kinds.js'
import { door, ending, free, getting, use, using, type Row } from '../row.js'
import type { World } from '../world.js'

const { address, cpu, cpus, func, optional, whole } = kinds
const incarnation = whole(1, 2 ** 21 - 1, 'incarnation')
const watchOf = (world: World): Watch => world.machine.watch
const monitorOf = (world: World): Monitor => {
  const monitor = watchOf(world).monitor({ interval: 60_000 })
  world.atEnd(() => {
    monitor.stop()
  })
  return monitor
}
const off = (end: () => void): void => {
  end()
}

/** The registry, with the VPA of CPU 2 for a stay of its own. */
const registry = (world: World): VpaRegistry => watchOf(world).registrations
const areas = (world: World): { vpa: number; log: number } => {
  const found = registry(world).areas(2)
  if (!found) throw new Error('no areas')
  prepare(world, found)
  return found
}
/** Copies the descriptors of CPU 0's areas. */
function prepare(world: World, { vpa, log }: { vpa: number; log: number }): void {
  const own = registry(world).areas(0)
  const bytes = new Uint8Array(world.machine.handle.buffer)
  if (own) bytes.copyWithin(vpa, own.vpa, own.vpa + 8)
  if (own) bytes.copyWithin(log, own.log, own.log + 8)
}

const monitors: readonly Row[] = [
  free(
    'Monitor.on',
    [
      kinds.oneOf('blocked', 'recovered', 'died'),
      func,
      optional(kinds.options({ signal: optional(kinds.signal) })),
    ],
    (world) => use(monitorOf(world), 'on', ['died', () => undefined, {}], off),
  ),
  free('Monitor.once', [kinds.oneOf('blocked', 'recovered', 'died'), optional(func)], (world) => {
    const monitor = monitorOf(world)
    // Its promise waits for an event.
    return using((...given: ['died']) => Promise.race([monitor.once(...given), setImmediate()]), ['died'])
  }),
  free('Monitor.has', [kinds.oneOf('blocked', 'recovered', 'died')], (world) =>
    use(monitorOf(world), 'has', ['died']),
  ),
  free('Monitor.heartbeats', [], (world) => getting(monitorOf(world), 'heartbeats')),
  ending('Monitor.stop', [], (world) => use(monitorOf(world), 'stop')),
]

const registrations: readonly Row[] = [
  door('VpaRegistry.areas', [cpu], (world) => use(registry(world), 'areas', [2])),
  door('VpaRegistry.find', [cpu], (world) => use(registry(world), 'find', [0])),
  door('VpaRegistry.register', [cpu, address, incarnation], (world) =>
    use(registry(world), 'register', [2, areas(world).vpa, 5], () => {
      registry(world).unregister(2)
    }),
  ),
  door('VpaRegistry.unregister', [cpu], (world) => use(registry(world), 'unregister', [2])),
  door('VpaRegistry.registerLog', [cpu, address, incarnation], (world) => {
    const found = areas(world)
    registry(world).register(2, found.vpa, 5)
    return use(registry(world), 'registerLog', [2, found.log, 5], () => {
      registry(world).unregisterLog(2)
    })
  }),
  door('VpaRegistry.unregisterLog', [cpu], (world) => use(registry(world), 'unregisterLog', [2])),
]

export const watchRows: readonly Row[] = [
  door(
    'Watch.inspect',
    [
      optional(
        kinds.options({
          blockedAfter: optional(kinds.ms),
          dispatches: optional({
            name: 'count',
            takes: (value) => typeof value === 'number' && value >= 0 && 'maybe',
          }),
        }),
      ),
    ],
    (world) => use(watchOf(world), 'inspect', [{}]),
  ),
  door(
    'Watch.monitor',
    [
      optional(
        kinds.options({
          interval: optional(whole(1, 60_000)),
          blockedAfter: optional(whole(1, 2 ** 31 - 1)),
        }),
      ),
    ],
    (world) =>
      use(watchOf(world), 'monitor', [{}], (monitor: Monitor) => {
        monitor.stop()
      }),
  ),
  door('Watch.trace', [cpus, whole(0, 15, 'mask')], (world) => use(watchOf(world), 'trace', [[], 0])),
  door('Watch.postMortem', [cpu], (world) => use(watchOf(world), 'postMortem', [1])),
  door('Watch.areasOf', [cpu], (world) => use(watchOf(world), 'areasOf', [1])),
  door('Watch.homeNode', [], (world) => getting(watchOf(world), 'homeNode')),
  door('Watch.setHomeNode', [cpu, whole(0, 0, 'node')], (world) =>
    use(watchOf(world), 'setHomeNode', [1, 0]),
  ),
  door('Watch.registrations', [], (world) => getting(watchOf(world), 'registrations')),
  door('Watch.structs', [], (world) => use(watchOf(world), 'structs')),
  free('CpuAreas.dataOffset', [], (world) => getting(watchOf(world).areasOf(0), 'dataOffset')),
  free('CpuAreas.vpa', [], (world) => getting(watchOf(world).areasOf(0), 'vpa')),
  free('findDeadlocks', [kinds.object('states')], () => using(findDeadlocks, [new Map()]), {
    exempt: 'works on what inspect returned',
  }),
  ...monitors,
  ...registrations,
]
