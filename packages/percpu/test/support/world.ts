/**
 * A machine to explore: booted, with its booting thread gone offline again, so that every CPU is a
 * virtual one of the lab. That thread still supervises, as a main thread that is no CPU does, and
 * looks at everything from outside.
 */
import assert from 'node:assert/strict'
import { mem, nameStructs, percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import type { BootOptions, Machine, Memory, Struct } from 'percpu'
import { explore } from './explore.js'

const { CpuTable } = await import('../../dist/cpus/cpu-table.js')
const { Directory } = await import('../../dist/bootmem/directory.js')
const { NameTables } = await import('../../dist/names/names.js')
const { NamesMap } = await import('../../dist/names/names-map.js')
const { Inspector } = await import('../../dist/watch/inspect.js')
const { WatchMap } = await import('../../dist/watch/watch-map.js')
const { Memblock } = await import('../../dist/bootmem/memblock.js')
const { Doorbell } = await import('../../dist/cpus/doorbell.js')
const { Calls } = await import('../../dist/cpus/calls.js')
const { GracePeriods } = await import('../../dist/cpus/grace-period.js')
const { Idle } = await import('../../dist/cpus/idle.js')
const { VpaRegistry } = await import('../../dist/watch/vpa-registry.js')
const { threadKey } = await import('../../dist/machine/platform.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

export const { Cell } = { Cell: percpu.struct('Cell', { value: percpu.atomic(percpu.i32) }) }

/** The key of the thread whose body is CPU `number` of a scenario. */
const keyOf = (number: number) => 101 + number

/**
 * Makes the machine; `setUp` runs on its booting thread while that is still CPU 0, with the memory
 * that is kept.
 */
export async function prepare(
  options: BootOptions = {},
  setUp: (machine: Machine, world: World) => unknown = () => undefined,
): Promise<World> {
  const machine = percpu.boot({ memory: '512 KiB', cpus: 2, journal: 16, ...options })
  const world = new World(machine)
  await setUp(machine, world)
  await machine.offline()
  return world
}

export class World {
  readonly memory: Memory
  readonly table: InstanceType<typeof CpuTable>
  readonly memblock: InstanceType<typeof Memblock>
  readonly objects: InstanceType<typeof Directory>
  /** What users named; nothing can be named through it. */
  readonly names: InstanceType<typeof NameTables>
  readonly inspector: InstanceType<typeof Inspector>
  readonly watch: ReturnType<(typeof WatchMap)['open']>
  readonly vpas: InstanceType<typeof VpaRegistry>
  readonly #handle: Machine['handle']
  readonly #structs: ReturnType<Machine['watch']['structs']>
  readonly #reapers: Map<number, () => void>[] = []

  constructor(machine: Machine) {
    this.#handle = machine.handle
    this.#structs = machine.watch.structs()
    this.memory = mem.openMemory(machine.handle.buffer)
    const map = readMap(this.memory)
    this.table = new CpuTable(this.memory, map)
    this.memblock = new Memblock(this.memory, map, 0, 0)
    this.objects = new Directory(this.memory, this.memblock)
    this.names = new NameTables(this.memory, NamesMap.open(this.objects, map.cpus), () => assert.fail())
    this.watch = WatchMap.open({ own: { map }, objects: this.objects } as never)
    this.inspector = new Inspector(this.table, this.watch)
    this.vpas = new VpaRegistry(this.table, this.watch)
    this.addReaper(machine)
  }

  /** The thread of this machine object will supervise, also when it is no CPU any more. */
  addReaper(machine: Machine): void {
    const listeners = new Map<number, () => void>()
    this.#reapers.push(listeners)
    for (const key of [...Array.from({ length: 6 }, (_, number) => keyOf(number)), threadKey]) {
      machine.supervise({
        threadId: key - 1,
        once: (_event: 'exit', listener: () => void) => listeners.set(key, listener),
      })
    }
  }

  /** Names all words. */
  name(t: Scenario): void {
    nameStructs(t, this.memory, this.#structs)
  }

  /** Joins, as the thread of body `number`. */
  join(number: number): Machine {
    const never = { stallTimeout: Infinity, patience: Infinity }
    const options = { doorbell: 'waitAsync', thread: keyOf(number), ...never } as const
    return percpu.join(this.#handle, options)
  }

  /**
   * Joins before the first step of the body, and opens the heap, through which boot memory is
   * reached.
   */
  joined(cpu: CpuContext): Machine {
    return cpu.prepare(() => {
      const machine = this.join(cpu.number)
      assert.ok(machine.heap)
      return machine
    })
  }

  /**
   * Comes online before the first step of the body, without the layers above and with their modules
   * in reach.
   */
  bare(cpu: CpuContext): BareCpu {
    return cpu.prepare(() => new BareCpu(this, keyOf(cpu.number)))
  }

  /** As {@link bare}, in steps of the body. */
  unprepared(cpu: CpuContext): BareCpu {
    return new BareCpu(this, keyOf(cpu.number))
  }

  /** What the booting thread does when the thread of body `number` has ended. */
  reap(number: number, reaper = 0): void {
    this.#reapers[reaper]?.get(keyOf(number))?.()
  }
  /** What the second reaper does when the booting thread has ended as well. */
  reapReaper(): void {
    this.#reapers[1]?.get(threadKey)?.()
  }

  get used(): number {
    return this.memblock.report().used
  }
  /** Regions beside those that boot made, by label. */
  get regions() {
    return this.memblock.report().regions
  }
  states(): string[] {
    return this.table.select(() => true).map((cpu) => this.table.state(cpu))
  }
  /** The struct's accessor at an address. */
  at<S extends Struct>(type: S, address: number): ReturnType<S['at']> {
    return type.at(this.memory, address) as ReturnType<S['at']>
  }
}

/** What makes a thread a CPU, and nothing else. */
export class BareCpu {
  readonly cpu: number
  readonly table: InstanceType<typeof CpuTable>
  readonly doorbell: InstanceType<typeof Doorbell>
  readonly calls: InstanceType<typeof Calls>
  readonly gracePeriods: InstanceType<typeof GracePeriods>
  readonly idle: InstanceType<typeof Idle>
  /** It counts on others for ever, so that a wake-up that is lost shows. */
  readonly patience = Infinity
  readonly #incarnation: number

  constructor({ memory, table: { map } }: World, key: number) {
    const table = new CpuTable(memory, map)
    this.table = table
    this.cpu = table.claim(key)
    this.#incarnation = table.incarnation(this.cpu) + 1
    this.doorbell = new Doorbell(table, this.cpu)
    this.calls = new Calls(table, this.doorbell, this.cpu)
    this.gracePeriods = new GracePeriods(table, this.doorbell, this.cpu)
    this.idle = new Idle(table, this.cpu, this.doorbell, this.gracePeriods, this.calls)
    this.doorbell.start('waitAsync')
    this.calls.start()
    this.idle.start()
    table.setState(this.cpu, this.#incarnation, 'online')
    this.gracePeriods.comeOnline()
  }

  /** Rings CPU `cpu` for the reason that {@link rung} waits for. */
  ring(cpu: number): void {
    this.doorbell.ringer.ring(cpu, USER)
  }
  /** In its event loop, until it is rung. */
  async rung(): Promise<void> {
    await new Promise<void>((resolve) => this.doorbell.on(USER, resolve))
  }
  /** Leaves, with no call under way. */
  leave(): void {
    this.table.setState(this.cpu, this.#incarnation, 'offline')
    this.gracePeriods.leave()
    this.table.release(this.cpu)
  }
}
/** The reason of {@link BareCpu.ring}. */
export const USER = 1 << 8

/** Explores, with all words named. */
export async function check(
  world: Pick<World, 'name'>,
  test: NamedTest,
  describe: (t: Scenario) => void,
  options: TestExploreOptions = {},
): Promise<void> {
  const scenario = (t: Scenario) => {
    world.name(t)
    describe(t)
  }
  await explore(test, scenario, options)
}
