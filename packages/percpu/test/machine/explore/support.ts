/**
 * A machine to explore: booted, with its booting thread gone offline again, so that every CPU is a virtual one of the lab. That thread
 * still supervises, as a main thread that is no CPU does, and looks at everything from outside.
 */
import {
  explore,
  mem,
  nameStructs,
  percpu,
  type CpuContext,
  type ExploreOptions,
  type Scenario,
} from 'percpu-lab'
import type { BootOptions, Machine, Memory, Struct } from 'percpu'

const { CpuTable } = await import('../../../dist/machine/cpu-table.js')
const { Directory } = await import('../../../dist/machine/directory.js')
const { Inspector } = await import('../../../dist/machine/inspect.js')
const { Clock } = await import('../../../dist/machine/clock.js')
const { Memblock } = await import('../../../dist/machine/memblock.js')
const { VpaRegistry } = await import('../../../dist/machine/vpa-registry.js')
const { readMap } = await import('../../../dist/machine/memory-map.js')

export const { Cell } = { Cell: percpu.struct('Cell', { value: percpu.atomic(percpu.i32) }) }
export const cellSpec = { type: 'Cell', layout: Cell }

/** The key of the thread whose body is CPU `number` of a scenario. */
const keyOf = (number: number) => 101 + number

/** Makes the machine; `setUp` runs on its booting thread while that is still CPU 0, with the memory that is kept. */
export async function prepare(
  options: BootOptions = {},
  setUp: (machine: Machine, world: World) => void = () => undefined,
): Promise<World> {
  const machine = percpu.boot({ memory: '512 KiB', cpus: 2, journal: 16, ...options })
  const world = new World(machine)
  setUp(machine, world)
  await machine.offline()
  return world
}

export class World {
  readonly memory: Memory
  readonly table: InstanceType<typeof CpuTable>
  readonly memblock: InstanceType<typeof Memblock>
  readonly objects: InstanceType<typeof Directory>
  readonly inspector: InstanceType<typeof Inspector>
  readonly vpas: InstanceType<typeof VpaRegistry>
  readonly #handle: Machine['handle']
  readonly #structs: ReturnType<Machine['structs']>
  readonly #reapers = new Map<number, () => void>()

  constructor(machine: Machine) {
    this.#handle = machine.handle
    this.#structs = machine.structs()
    this.memory = mem.openMemory(machine.handle.buffer)
    const map = readMap(this.memory)
    this.table = new CpuTable(this.memory, map)
    this.memblock = new Memblock(this.memory, map, 0, 0)
    this.objects = new Directory(this.memory, this.memblock)
    this.inspector = new Inspector(this.table, new Clock(this.memory), 0)
    this.vpas = new VpaRegistry(this.table)
    for (let number = 0; number < 6; number++) {
      machine.supervise({
        threadId: keyOf(number) - 1,
        once: (_event: 'exit', listener: () => void) => this.#reapers.set(number, listener),
      })
    }
  }

  /** Names all words. */
  name(t: Scenario): void {
    nameStructs(t, this.memory, this.#structs)
  }

  /** Joins, as the thread of body `number`. */
  join(number: number): Machine {
    const options = { doorbell: 'waitAsync', thread: keyOf(number) } as const
    return percpu.join(this.#handle, options)
  }

  /** Joins before the first step of the body. */
  joined(cpu: CpuContext): Machine {
    return cpu.prepare(() => this.join(cpu.number))
  }

  /** What the booting thread does when the thread of body `number` has ended. */
  reap(number: number): void {
    this.#reapers.get(number)?.()
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

/** What `run` throws, by its code; 'none' if it does not. */
export function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    if (!(error instanceof percpu.PercpuError)) throw error
    return error.code
  }
}

/** Explores, with all words named. */
export async function check(
  world: World,
  name: string,
  describe: (t: Scenario) => void,
  options: ExploreOptions = {},
): Promise<void> {
  const dev = process.env['EXPLORE_MS']
  const { expect, ...rest } = options
  const report = await explore(
    name,
    (t) => {
      world.name(t)
      describe(t)
    },
    dev ? { ...rest, maxMs: Number(dev) } : options,
  )
  if (dev) {
    const { executions, blocked, redundant, operations, milliseconds, truncated } = report
    const ok = expect?.executions === executions && (expect.blocked ?? 0) === blocked
    console.log(
      `${name}: { executions: ${executions}, blocked: ${blocked} } ${redundant} redundant, ${operations} ops, ${Math.round(milliseconds)} ms ${truncated ? 'TRUNCATED' : ''} ${ok ? '' : 'EXPECT'}`,
    )
  }
}
