import { poisonMemory, type Memory, type WaitResult } from '#mem'
import { ArgumentError } from './errors.js'
import { Calls, type CallFunction, type CallOptions, type CallOutcome } from './cpus/calls.js'
import { checkCpus, checkFlag, checkFunction, checkInt32, checkName, checkOptions } from './machine/check.js'
import { CpuTable, type CpuInfo } from './cpus/cpu-table.js'
import { Directory } from './bootmem/directory.js'
import { Doorbell, USER_REASONS, USER_REASONS_SHIFT, type DoorbellMode } from './cpus/doorbell.js'
import { OfflineError } from './machine/errors.js'
import { announceQuiescent, GracePeriods } from './cpus/grace-period.js'
import { Hotplug, hotplugOf, type HotplugCallbacks } from './cpus/hotplug.js'
import { Idle } from './cpus/idle.js'
import type { Layer, LayerContext } from './machine/layer.js'
import { Memblock } from './bootmem/memblock.js'
import type { MachineHandle, MemoryMap } from './machine/memory-map.js'
import { placedStructs, type PlacedStruct } from './machine/placed-structs.js'
import { reportError } from './machine/platform.js'
import { checkLimits, checkTimeout, checkWait, Deadline, type WaitOptions } from './machine/wait-options.js'
import { Supervisor, type SupervisedWorker, type Supervision } from './cpus/supervisor.js'

/** One CPU or several, by number. */
export type Cpus = number | Iterable<number>

/** Where a thread's machine object gets its parts from. boot.ts */
export interface MachineParts {
  readonly memory: Memory
  readonly handle: MachineHandle
  readonly map: MemoryMap
  readonly cpu: number
  readonly key: number
  readonly mode: DoorbellMode
  /** On the booting thread: lets others join, after the layers have made their memory. */
  readonly publish: (() => void) | undefined
  /** Views of its own for the supervisor, which outlives the CPU. */
  readonly supervisorMemory: Memory
}

/**
 * The calling thread's view of a machine, as one of its CPUs. Made by `boot` and `join`; not to be passed to other threads
 * (pass {@link Machine.handle}). After {@link Machine.offline} every use throws an OfflineError and writes nothing.
 */
export class Machine {
  /** This thread's CPU number, 0 to `possible - 1`. */
  readonly cpu: number
  /** NUMA node of this CPU. */
  readonly node: number
  /**
   * How many threads have been this CPU, this one included; with `cpu` it names this thread. After
   * 2^21 - 1 the count begins at 1 again.
   */
  readonly incarnation: number

  /**
   * Answers rings in the middle of a long synchronous stretch; about one plain load and store if nobody rang. It is a quiescent
   * state: what was read from shared structures before must not be used after. Call it on the machine object: a copy of the
   * function outlives {@link offline}.
   */
  poll: () => void

  readonly #parts: MachineParts
  readonly #table: CpuTable
  readonly #doorbell: Doorbell
  readonly #calls: Calls
  readonly #gracePeriods: GracePeriods
  readonly #idle: Idle
  readonly #memblock: Memblock
  readonly #objects: Directory
  readonly #hotplug: Hotplug
  readonly #supervisor: Supervisor
  readonly #layers: readonly Layer[]
  #leaving: Promise<void> | undefined
  #isOffline = false

  /** @internal The CPU is claimed and in state starting; comes online. */
  constructor(parts: MachineParts, layers: readonly Layer[] = []) {
    const { memory, map, cpu, key } = parts
    this.#parts = parts
    this.#table = new CpuTable(memory, map)
    this.cpu = cpu
    this.node = this.#table.node(cpu)
    this.incarnation = this.#table.incarnation(cpu)
    this.#doorbell = new Doorbell(this.#table, cpu)
    this.poll = this.#doorbell.makePoll()
    this.#calls = new Calls(this.#table, this.#doorbell, cpu)
    this.#gracePeriods = new GracePeriods(this.#table, this.#doorbell, cpu)
    this.#idle = new Idle(this.#table, cpu, this.#doorbell, this.#gracePeriods, this.#calls)
    this.#memblock = new Memblock(memory, map, cpu, this.incarnation)
    this.#objects = new Directory(memory, this.#memblock)
    this.#hotplug = new Hotplug(map.id, key)
    const supervised = new CpuTable(parts.supervisorMemory, map)
    this.#layers = layers
    this.#supervisor = new Supervisor(supervised, key, layers, (dead, incarnation) => {
      const error = hotplugOf(map.id, key)?.dead(dead, incarnation)
      if (error) reportError(error)
    })
    this.#doorbell.start(parts.mode)
    this.#calls.start()
    this.#idle.start()
    this.#attachLayers()
    this.#table.setState(cpu, this.incarnation, 'online')
    this.#gracePeriods.comeOnline()
  }

  /** A layer that cannot come up leaves the number free again. */
  #attachLayers(): void {
    const context: LayerContext = {
      machine: this,
      table: this.#table,
      doorbell: this.#doorbell,
      idle: this.#idle,
      gracePeriods: this.#gracePeriods,
    }
    try {
      if (this.#parts.publish) for (const layer of this.#layers) layer.boot?.(context)
      this.#parts.publish?.()
      for (const layer of this.#layers) layer.attach?.(context)
    } catch (error) {
      this.#hotplug.close()
      this.#doorbell.close()
      this.#memblock.reclaim((address, size) => this.#objects.isLinked(address, size))
      this.#table.release(this.cpu)
      throw error
    }
  }

  /** For the other threads: structured-cloneable, passed by `workerData` or `postMessage`, and given to `join` there. */
  get handle(): MachineHandle {
    this.#use()
    return this.#parts.handle
  }
  /** The shared memory, for the functions of `percpu/mem` and for `Struct.at`. */
  get memory(): Memory {
    this.#use()
    return this.#parts.memory
  }
  /** The boot allocator: few, large regions. */
  get memblock(): Memblock {
    this.#use()
    return this.#memblock
  }
  /** The directory of named objects. */
  get objects(): Directory {
    this.#use()
    return this.#objects
  }
  /** Which of the library's structs lies where in the memory, for tools that show memory. Objects of users are not listed. */
  structs(): readonly PlacedStruct[] {
    this.#use()
    const layers = this.#layers.flatMap((layer) => layer.structs?.() ?? [])
    return [...placedStructs(this.#table, this.#objects.entries()), ...layers]
  }

  // -------------------------------------------------------------------------------------------------------------------
  // CPUs

  /** CPUs that could ever come online: 0 to `cpus - 1` as booted, without those given up since. */
  get possible(): readonly number[] {
    this.#use()
    return this.#table.select((cpu) => this.#table.isPossible(cpu))
  }
  /** CPUs that have a thread: starting, online, stopping, or dead and not yet cleaned up after. A snapshot. */
  get present(): readonly number[] {
    this.#use()
    return this.#table.select((cpu) => this.#table.isPresent(cpu))
  }
  /** CPUs that are online. A snapshot: others may come and go meanwhile. */
  get online(): readonly number[] {
    this.#use()
    return this.#table.online()
  }
  /** State, node and incarnation of every possible CPU. */
  cpus(): readonly CpuInfo[] {
    this.#use()
    return this.possible.map((cpu) => this.#table.info(cpu))
  }
  /** How the machine was booted. */
  get configuration(): Pick<MemoryMap, 'cpus' | 'nodes' | 'smp' | 'mmu'> & { readonly memory: number } {
    this.#use()
    const { cpus, nodes, smp, mmu } = this.#parts.map
    return { cpus, nodes, smp, mmu, memory: this.#parts.memory.byteLength }
  }

  /**
   * Adds callbacks that bring a layer's state up now and down when this CPU leaves or another one dies.
   *
   * @throws HotplugError if `startup` throws; nothing is added then.
   */
  addHotplug(callbacks: HotplugCallbacks): void {
    this.#use()
    this.#hotplug.add(callbacks)
  }

  /**
   * Takes this CPU off the machine: waits for its own calls under way, tears the layers down, and poisons this object and
   * everything obtained from it. The thread lives on and may join again.
   *
   * @throws HotplugError if a teardown failed; the CPU is offline all the same.
   */
  async offline(): Promise<void> {
    this.#use()
    this.#leaving ??= this.#leave()
    await this.#leaving
  }

  async #leave(): Promise<void> {
    if (this.#holdsCpu()) this.#table.setState(this.cpu, this.incarnation, 'stopping')
    // Whoever called this may still be in the middle of reading.
    await this.#calls.drain()
    const error = await this.#hotplug.teardown(this.#layers, {
      isOver: () => !this.#holdsCpu(),
      answer: () => this.#doorbell.answer(),
      leave: () => this.#end(),
    })
    if (error) throw error
  }

  #end(): void {
    if (this.#holdsCpu()) this.#giveBack()
    this.#isOffline = true
    this.#hotplug.close()
    this.#doorbell.close()
    this.poll = () => {
      throw this.#offlineError()
    }
    poisonMemory(this.#parts.memory, () => this.#offlineError())
  }

  /** False if it was declared dead by mistake: then the number is somebody else's, or soon will be. */
  #holdsCpu(): boolean {
    return (
      this.#table.thread(this.cpu) === this.#parts.key &&
      this.#table.incarnation(this.cpu) === this.incarnation
    )
  }

  #giveBack(): void {
    // Regions not kept end with this stay, as they would at its death.
    this.#memblock.reclaim((address, size) => this.#objects.isLinked(address, size))
    this.#table.setState(this.cpu, this.incarnation, 'offline')
    announceQuiescent(this.#table, this.#doorbell.ringer, this.cpu)
    this.#table.release(this.cpu)
  }

  /**
   * From now on, when the worker's thread ends, for whatever reason, its CPU is cleaned up after and becomes free. Call it
   * right after `new Worker`. Several threads may supervise the same worker.
   *
   * @throws ArgumentError if the worker has ended; UnsupportedError if it has no exit event (browsers).
   */
  supervise(worker: SupervisedWorker): Supervision {
    this.#use()
    return this.#supervisor.supervise(worker)
  }

  /**
   * Cleans up after a CPU whose thread has certainly stopped, where no exit event tells so. If the thread still runs, it goes on
   * writing to memory that is given to others.
   *
   * `reaperStopped`: the thread that was cleaning up after this CPU has certainly stopped, too; go on in its place. (Needed only
   * if that thread was neither supervised nor a CPU any more: otherwise cleaning up after it includes what it left undone.)
   *
   * `incarnation`: the stay that has ended; if the CPU has another one by now, nothing happens.
   *
   * @returns false if the CPU has no thread, or another thread cleans up.
   */
  declareDead(
    cpu: number,
    options: { readonly incarnation?: number; readonly reaperStopped?: boolean } = {},
  ): boolean {
    this.#use()
    checkOptions('declareDead', options, { incarnation: true, reaperStopped: true })
    const [checked = cpu] = this.#checkCpus(cpu)
    if (checked === this.cpu) throw new ArgumentError(`CPU ${cpu} is the calling thread itself`, { cpu })
    const { incarnation = this.#table.incarnation(checked) } = options
    if (incarnation !== this.#table.incarnation(checked)) return false
    const key = this.#table.thread(checked)
    if (key < 0) return options.reaperStopped === true && this.#supervisor.reapAll(-key).includes(checked)
    return key > 0 && this.#supervisor.reapAll(key).includes(checked)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Doorbells and calls

  /** Does `handler` whenever this CPU is rung for `reason` (0 to 15); several rings may be answered at once. */
  onRing(reason: number, handler: () => void): void {
    this.#use()
    checkFunction('handler', handler)
    this.#doorbell.on(userReason(reason), handler)
  }
  /** Rings CPUs for a reason (0 to 15) that they gave a handler for with {@link onRing}. Offline ones are left out. */
  ring(cpus: Cpus, reason: number): void {
    this.#use()
    const bit = userReason(reason)
    for (const cpu of this.#checkCpus(cpus))
      if (this.#table.state(cpu) === 'online') this.#doorbell.ringer.ring(cpu, bit)
  }

  /** Lets {@link callFunctionMany} of any thread run `run` on this CPU, by its name. Returns a function that takes it back. */
  registerFunction(name: string, run: CallFunction): () => void {
    this.#use()
    checkName('name', name)
    checkFunction('run', run)
    return this.#calls.register(name, run)
  }
  /**
   * Runs the function registered under `name` on each of these CPUs (the calling one too, if it is among them), as a job of its
   * own or inside its {@link poll}. Resolves when every CPU has run it, or turned out to be unable to; CPUs that leave or
   * die meanwhile do not hold it up. Calls of one thread run in the order in which they were made.
   *
   * @throws UnansweredError after `options.timeout` ms; the reason of `options.signal` when that aborts.
   */
  async callFunctionMany(cpus: Cpus, name: string, options: CallOptions = {}): Promise<CallOutcome> {
    this.#use()
    checkName('name', name)
    checkOptions('callFunctionMany', options, { argument: true, wait: true, timeout: true, signal: true })
    checkFlag('wait', options.wait)
    checkLimits(options)
    checkInt32('argument', options.argument ?? 0)
    return this.#calls.call(this.#checkCpus(cpus), name, options)
  }

  /**
   * `Atomics.wait` on the 32-bit word at `address`, as an idle CPU: grace periods do not wait for it, and rings are answered before
   * it returns. May return `'ok'` spuriously, after a ring: check the condition again, in a loop.
   *
   * @throws UnsupportedError where blocking is forbidden; ArgumentError for an address that is not an aligned word.
   */
  park(address: number, value: number, timeout = Infinity): WaitResult {
    this.#use()
    if (!Number.isInteger(address / 4) || address < 0 || address >= this.#parts.memory.byteLength) {
      throw new ArgumentError(`address ${address} is not that of a 32-bit word of this machine`, { address })
    }
    checkInt32('value', value)
    checkTimeout(timeout)
    return this.#idle.park(address / 4, value, new Deadline({ timeout }))
  }

  /**
   * Runs `run`, a long synchronous stretch that never polls, as a deaf CPU: calls leave it out and grace periods do not wait for
   * it. So `run` must not read anything that is freed after a grace period.
   */
  deaf<Result>(run: () => Result): Result {
    this.#use()
    checkFunction('run', run)
    return this.#idle.deaf(run)
  }

  /**
   * A grace period: resolves when every CPU that was online has returned to its event loop, was parked, deaf, or left. What was
   * unlinked before the call may be freed then. Cost: a doorbell round trip.
   *
   * @throws UnansweredError after `options.timeout` ms (default: none), naming the CPUs that are busy; the reason of
   *   `options.signal` when that aborts; ArgumentError for options that are none.
   */
  async synchronize(options?: WaitOptions): Promise<void> {
    this.#use()
    checkWait(options)
    await this.#gracePeriods.synchronize(new Deadline(options))
  }

  /** @internal For the layers. @throws ArgumentError for a CPU that is not possible. */
  checkCpus(cpus: Cpus): readonly number[] {
    this.#use()
    return this.#checkCpus(cpus)
  }
  #checkCpus(cpus: Cpus): readonly number[] {
    return checkCpus(cpus, this.#parts.map.cpus)
  }
  #use(): void {
    if (this.#isOffline) throw this.#offlineError()
  }
  #offlineError(): OfflineError {
    return new OfflineError(
      `this thread has taken its CPU ${this.cpu} offline; join the machine again to use it`,
      {
        cpu: this.cpu,
        incarnation: this.incarnation,
      },
    )
  }
}

function userReason(reason: number): number {
  if (Number.isInteger(reason) && reason >= 0 && reason < USER_REASONS)
    return 1 << (USER_REASONS_SHIFT + reason)
  throw new ArgumentError(`reason ${reason} is not a number from 0 to ${USER_REASONS - 1}`, { reason })
}
