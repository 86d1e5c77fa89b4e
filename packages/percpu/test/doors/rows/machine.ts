/** The operations of a machine, of its CPUs and of its named objects. */
import { boot, join, joinInvited, type Machine } from 'percpu'
import * as kinds from '../kinds.js'
import { door, ending, exempt, free, getting, use, using, type Row } from '../row.js'
import { Pair, small } from '../world.js'

const { address, cpu, cpus, flag, func, int32, ms, name, oneOf, optional, size, text, wait, whole } = kinds

const doorbell = optional(oneOf('waitAsync', 'port'))
const joinFields = {
  doorbell,
  watchWaits: optional(flag),
  stallTimeout: optional({ name: 'ms', takes: (value: unknown) => typeof value === 'number' && value >= 1 }),
}
const mark = kinds.options({ callbacks: optional(whole(1, 2 ** 30)), bytes: optional(size) })
const bootOptions = kinds.options({
  ...joinFields,
  memory: optional(size),
  cpus: optional(whole(1, 256)),
  nodes: optional(whole(1, 8)),
  smp: optional(flag),
  mmu: optional(flag),
  fanout: optional(whole(2, 32)),
  debugHeap: optional(flag),
  debugRcu: optional(flag),
  journal: optional({ name: 'entries', takes: (value) => typeof value === 'number' && 'maybe' }),
  percpu: optional(kinds.options({ unit: optional(size), reserved: optional(size) })),
  callbacks: optional(kinds.options({ high: optional(mark), full: optional(mark) })),
})
const handle = kinds.object('handle')
const listen = kinds.options({ signal: optional(kinds.signal) })
const eventName = oneOf('died', 'offline', 'stall', 'callbacksLost', 'rcuMisuse')
const worker = kinds.object('worker')
const invitation = kinds.object('invitation')
const reason = whole(0, 15, 'reason')
const limitWaits = wait.fields ?? {}

const leave = (machine: Machine): Promise<void> => machine[Symbol.asyncDispose]()
/** The handle outlives the CPU. */
const withHandle = (machine: Machine) => ({ machine, handle: machine.handle })
const off = (end: () => void): void => {
  end()
}
/** As the worker of a thread that never ends. */
const fakeWorker = (): object => ({ threadId: 4711, once: () => undefined })

const machines: readonly Row[] = [
  free('boot', [optional(bootOptions)], () => using(boot, [small], leave)),
  free('join', [handle, optional(kinds.options(joinFields))], async () => {
    const { handle: own, machine } = withHandle(boot(small))
    await leave(machine)
    return using(join, [own, {}], leave)
  }),
  free('joinInvited', [invitation, optional(kinds.options({ ...joinFields, ...wait.fields }))], async () => {
    const machine = boot(small)
    const own = machine.invite()
    await leave(machine)
    return using(joinInvited, [own, {}], leave)
  }),
  door('Machine.poll', [], (world) =>
    using(() => {
      world.machine.poll()
    }),
  ),
  door('Machine.handle', [], (world) => getting(world.machine, 'handle')),
  door('Machine.memory', [], (world) => getting(world.machine, 'memory')),
  door('Machine.online', [], (world) => getting(world.machine, 'online')),
  door('Machine.heap', [], (world) => getting(world.machine, 'heap')),
  free('Machine.percpu', [], (world) => getting(world.machine, 'percpu')),
  door(
    'Machine.srcu',
    [name, optional(kinds.options({ flavour: optional(oneOf('fast', 'normal')) }))],
    (world) => use(world.machine, 'srcu', ['domain', {}]),
  ),
  door('Machine.supervise', [worker, optional(invitation)], (world) =>
    use(world.machine, 'supervise', [fakeWorker(), world.machine.invite()]),
  ),
  exempt('Supervision.terminate', 'takes nothing, and ends a thread: test/cpus/invitation.test.ts'),
  door('Machine.invite', [], (world) => use(world.machine, 'invite')),
  door('Machine.run', [text, func], (world) => use(world.machine, 'run', ['label', () => 5])),
  door('Machine.on', [eventName, func, optional(listen)], (world) =>
    use(world.machine, 'on', ['died', () => undefined, {}], off),
  ),
  door('Machine.offline', [optional(wait)], (world) => {
    let machine = world.joined()
    return using(
      (options: object) => (world.isOffline ? world.machine : machine).offline(options),
      [{}],
      () => (machine = world.joined()),
    )
  }),
  ending('Machine.[Symbol.asyncDispose]', [], (world) => {
    let { machine } = world
    return using(
      () => machine[Symbol.asyncDispose](),
      [],
      () => (machine = world.joined()),
    )
  }),
]

const processors: readonly Row[] = [
  door('Cpus.possible', [], (world) => getting(world.machine.cpus, 'possible')),
  door('Cpus.present', [], (world) => getting(world.machine.cpus, 'present')),
  door('Cpus.states', [], (world) => use(world.machine.cpus, 'states')),
  door('Cpus.configuration', [], (world) => getting(world.machine.cpus, 'configuration')),
  door(
    'Cpus.addHotplug',
    [
      kinds.options({
        name: kinds.name,
        startup: optional(func),
        teardown: optional(func),
        dead: optional(func),
      }),
    ],
    (world) => use(world.machine.cpus, 'addHotplug', [{ name: 'mine' }], off),
  ),
  door(
    'Cpus.declareDead',
    [
      cpu,
      optional(
        kinds.options({ incarnation: optional(whole(0, 2 ** 21 - 1)), reaperStopped: optional(flag) }),
      ),
    ],
    (world) => use(world.machine.cpus, 'declareDead', [2, {}]),
  ),
  door('Cpus.limit', [whole(1, 3)], (world) => use(world.machine.cpus, 'limit', [3])),
  door('Cpus.onRing', [reason, func], (world) =>
    use(world.machine.cpus, 'onRing', [3, () => undefined], off),
  ),
  door('Cpus.ring', [cpus, reason], (world) => use(world.machine.cpus, 'ring', [[], 3])),
  door('Cpus.registerFunction', [name, func], (world) =>
    use(world.machine.cpus, 'registerFunction', ['f', () => undefined], off),
  ),
  door(
    'Cpus.call',
    [cpus, name, optional(kinds.options({ ...limitWaits, argument: optional(int32), wait: optional(flag) }))],
    (world) => use(world.machine.cpus, 'call', [[], 'f', {}]),
  ),
  door('Cpus.park', [address, int32, optional(ms)], (world) =>
    use(world.machine.cpus, 'park', [world.sample().cell.address, 1, 0]),
  ),
  door('Cpus.deaf', [func], (world) => use(world.machine.cpus, 'deaf', [() => 5])),
]

const objects: readonly Row[] = [
  door('Objects.create', [name, kinds.struct, optional(func)], (world) => {
    let made = 0
    const create = (given: unknown, ...rest: [never, never?]): unknown =>
      world.machine.objects.create((given === 'object' ? `object ${made++}` : given) as string, ...rest)
    return using(create, ['object', Pair, () => undefined])
  }),
  door('Objects.open', [name, kinds.struct], (world) => {
    world.machine.objects.create('object', Pair)
    return use(world.machine.objects, 'open', ['object', Pair])
  }),
  door('Objects.openOrCreate', [name, kinds.struct, optional(func)], (world) =>
    use(world.machine.objects, 'openOrCreate', ['object', Pair, () => undefined]),
  ),
  door('Objects.remove', [name], (world) => {
    const { objects } = world.machine
    objects.create('object', Pair)
    return use(objects, 'remove', ['object'], () => objects.create('object', Pair))
  }),
  door('Objects.list', [], (world) => use(world.machine.objects, 'list')),
]

/** What users pass, and the library calls. */
const given: readonly Row[] = [
  'SupervisedWorker.once',
  'InvitedWorker.terminate',
  'AbortSignalLike.addEventListener',
  'AbortSignalLike.removeEventListener',
  'HotplugCallbacks.startup',
  'HotplugCallbacks.teardown',
  'HotplugCallbacks.dead',
].map((each) => exempt(each, 'made by the user and called by the library'))

export const machineRows: readonly Row[] = [...machines, ...processors, ...objects, ...given]
