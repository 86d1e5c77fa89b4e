import type { WaitResult } from '#mem'
import { ArgumentError } from '../errors.js'
import {
  checkFlag,
  checkFunction,
  checkInt32,
  checkOptions,
  checkPlace,
  checkRange,
  checkStored,
  refused,
} from '../machine/check.js'
import { checkLimits, checkTimeout, Deadline } from '../machine/wait-options.js'
import { NAME_BYTES } from '../machine/limits.js'
import type { MemoryMap } from '../machine/memory-map.js'
import { MAX_INCARNATION } from '../machine/token.js'
import type { CallFunction, CallOptions, CallOutcome } from './calls.js'
import { CLAIMING, type CpuInfo } from './cpu-table.js'
import { USER_REASONS, USER_REASONS_SHIFT } from './ringer.js'
import type { Hotplug, HotplugCallbacks } from './hotplug.js'
import type { AttachedLayer } from './layer.js'
import type { CpuSet, OwnCpu } from './own-cpu.js'
import type { Supervisor } from './supervisor.js'
import { showAs } from '../inspect.js'
import { isThenable } from '../thenable.js'
import { ofThisThread } from '../unsendable.js'

/** How a machine was booted. `memory`: bytes. */
export type Configuration = Pick<MemoryMap, 'cpus' | 'nodes' | 'smp' | 'mmu'> & {
  readonly memory: number
}

/** What `cpus.declareDead` takes. */
export interface DeclareDeadOptions {
  /** The incarnation that has ended; if the CPU has another one by now, nothing happens. */
  readonly incarnation?: number
  /**
   * The thread that was cleaning up after this CPU has certainly stopped, too: go on in its place.
   * Needed only if that thread was neither supervised nor a CPU any more.
   */
  readonly reaperStopped?: boolean
}

interface Parts {
  readonly own: OwnCpu
  readonly hotplug: Hotplug
  readonly supervisor: Supervisor
  readonly layers: readonly AttachedLayer[]
}

/** `machine.cpus`: which CPUs there are, and how they ring, call and wait for each other. */
export class Cpus {
  static {
    showAs(this, ({ node, incarnation }) => ({ node, incarnation }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** NUMA node of this thread's CPU. */
  readonly node: number
  /**
   * How many threads have been this thread's CPU, this one included. With `machine.cpu` it names
   * this thread's time on the machine. After 2^21 - 1 the count begins at 1 again.
   */
  readonly incarnation: number
  readonly #parts: Parts
  readonly #own: OwnCpu

  /** @internal */
  constructor(parts: Parts) {
    this.#parts = parts
    this.#own = parts.own
    this.node = parts.own.node
    this.incarnation = parts.own.incarnation
  }

  /**
   * CPUs that could ever come online: 0 to `cpus - 1` as booted, without those given up since.
   *
   * @throws OfflineError.
   */
  get possible(): readonly number[] {
    this.#own.assertOnline()
    const { table } = this.#own
    return table.select((cpu) => table.isPossible(cpu))
  }
  /**
   * CPUs that have a thread: starting, online, stopping, or dead and not yet cleaned up after. A
   * snapshot.
   *
   * @throws OfflineError.
   */
  get present(): readonly number[] {
    this.#own.assertOnline()
    const { table } = this.#own
    return table.select((cpu) => table.isPresent(cpu))
  }
  /** State, node and incarnation of every possible CPU. A snapshot. @throws OfflineError. */
  states(): readonly CpuInfo[] {
    return this.possible.map((cpu) => this.#own.table.info(cpu))
  }
  /** How the machine was booted. @throws OfflineError. */
  get configuration(): Configuration {
    this.#own.assertOnline()
    const { map, memory } = this.#own
    const { cpus, nodes, smp, mmu } = map
    return { cpus, nodes, smp, mmu, memory: memory.byteLength }
  }

  /**
   * Adds callbacks that bring a layer's per-CPU state up now, and down when this CPU leaves or
   * another one dies. Returns a function that takes them back, without a teardown.
   *
   * @throws HotplugError if `startup` throws; nothing is added then. ArgumentError; OfflineError.
   */
  addHotplug(callbacks: HotplugCallbacks): () => void {
    this.#own.assertOnline()
    return this.#parts.hotplug.add(callbacks)
  }

  /**
   * Cleans up after a CPU whose thread has certainly stopped, where no exit event tells so. If the
   * thread still runs, it goes on writing to memory that is given to others. A browser's
   * `terminate()` does not stop a busy thread at once: docs/machine.md says how to be certain.
   *
   * @returns false if the CPU has no thread, or another thread cleans up.
   * @throws ArgumentError for a CPU that is not possible, and for the calling thread's;
   *   OfflineError.
   */
  declareDead(cpu: number, options: DeclareDeadOptions = {}): boolean {
    const { table, cpu: ownNumber } = this.#own
    const checked = this.#own.checkCpu(cpu)
    checkOptions('declareDead', options, { incarnation: true, reaperStopped: true })
    if (checked === ownNumber) throw new ArgumentError(`CPU ${cpu} is the calling thread itself`, { cpu })
    checkFlag('reaperStopped', options.reaperStopped)
    const { incarnation = table.incarnation(checked) } = options
    checkRange('incarnation', incarnation, 0, MAX_INCARNATION)
    if (incarnation !== table.incarnation(checked)) return false
    const { supervisor, own } = this.#parts
    // Given up for good, or this thread cleans up at this moment. Mutant: cpus/dead-beyond-limit.
    if (!table.isPossible(checked) || table.thread(checked) === -own.key) return false
    const thread = table.thread(checked)
    const key = table.isClaiming(thread) ? thread - CLAIMING : thread
    if (key < 0) return options.reaperStopped === true && supervisor.reapAll(-key).includes(checked)
    return key > 0 && supervisor.reapAll(key).includes(checked)
  }

  /**
   * Gives up the CPUs from number `limit` on, none of which may have a thread, and returns the
   * memory that was made for them. For good: they are not possible any more. If the calling thread
   * dies half-way, calling it again finishes the job.
   *
   * @throws ArgumentError if one of them has a thread; all stay possible then. OfflineError.
   */
  limit(limit: number): void {
    this.#own.assertOnline()
    const { table } = this.#own
    checkRange('limit', limit, 1, table.map.cpus)
    const above = table.select((cpu) => cpu >= limit)
    const withdrawn: number[] = []
    for (const cpu of above) {
      const wasPossible = table.isPossible(cpu)
      if (table.withdraw(cpu)) {
        if (wasPossible) withdrawn.push(cpu)
        continue
      }
      for (const given of withdrawn) table.restore(given)
      throw new ArgumentError(`CPU ${cpu} has a thread: it cannot be given up`, { cpu, limit })
    }
    for (const cpu of above) for (const layer of this.#parts.layers) layer.giveUp?.(cpu)
  }

  /**
   * Does `handler` whenever this CPU is rung for `reason`, 0 to 15. Several rings may be answered
   * at once. Returns a function that ends it.
   *
   * @throws ArgumentError for a reason that is no such number, or has a handler; OfflineError.
   */
  onRing(reason: number, handler: () => void): () => void {
    this.#own.assertOnline()
    checkFunction('handler', handler)
    const off = this.#own.doorbell.add(userReason(reason), handler)
    if (off) return off
    throw new ArgumentError(`reason ${reason} has a handler already: end that one first`, { reason })
  }
  /**
   * Rings CPUs for a reason, 0 to 15, that they gave a handler for with {@link onRing}. Those that
   * are not online are left out.
   *
   * @throws ArgumentError for a CPU that is not possible, or another reason; OfflineError.
   */
  ring(cpus: CpuSet, reason: number): void {
    const checked = this.#own.checkCpus(cpus)
    const bit = userReason(reason)
    const { table, doorbell } = this.#own
    for (const cpu of checked) if (table.state(cpu) === 'online') doorbell.ringer.ring(cpu, bit)
  }

  /**
   * Lets {@link call} of any thread run `run` on this CPU, by its name. Returns a function that
   * takes it back.
   *
   * @throws ArgumentError for a name that is registered already, or that no object could have (1 to
   *   56 bytes of UTF-8); OfflineError.
   */
  registerFunction(name: string, run: CallFunction): () => void {
    this.#own.assertOnline()
    checkStored('name', name, NAME_BYTES)
    checkFunction('run', run)
    return this.#own.calls.register(name, run)
  }
  /**
   * Runs the function registered under `name` on each of these CPUs, as a job of its own or inside
   * its `poll`. The calling CPU may be one of them. Resolves when every CPU has run it, or turned
   * out to be unable to. CPUs that leave or die meanwhile do not hold it up. Calls of one thread
   * run in the order in which they were made. (After the kernel's smp_call_function_many.)
   *
   * @throws UnansweredError after `options.timeout` ms; the reason of `options.signal` when that
   *   aborts; ArgumentError for a CPU that is not possible, a bad name or another option;
   *   OfflineError.
   */
  async call(cpus: CpuSet, name: string, options: CallOptions = {}): Promise<CallOutcome> {
    this.#own.assertOnline()
    checkStored('name', name, NAME_BYTES)
    checkOptions('call', options, { argument: true, wait: true, timeout: true, signal: true })
    checkFlag('wait', options.wait)
    checkLimits(options)
    if (options.argument !== undefined) checkInt32('argument', options.argument)
    return this.#own.calls.call(this.#own.checkCpus(cpus), name, options)
  }

  /**
   * `Atomics.wait` on the 32-bit word at the byte address `address`, as an idle CPU: grace periods
   * do not wait for it, and rings are answered before it returns. May return `'ok'` spuriously,
   * after a ring: check the condition again, in a loop. `timeout`: ms.
   *
   * @throws UnsupportedError where blocking is forbidden; ArgumentError for an address that is not
   *   that of a word; OfflineError.
   */
  park(address: number, value: number, timeout = Infinity): WaitResult {
    this.#own.assertOnline()
    checkPlace('address', address, this.#own.memory, { name: '32-bit word', size: 4, align: 4 })
    checkInt32('value', value)
    checkTimeout(timeout)
    return this.#own.idle.park(address / 4, value, new Deadline({ timeout }))
  }

  /**
   * Runs `run`, a long synchronous stretch that never polls, as a deaf CPU: calls leave it out and
   * grace periods do not wait for it. So `run` must not read anything that is freed after a grace
   * period.
   *
   * @throws what `run` throws; ArgumentError if it is no function, or returns a promise;
   *   OfflineError.
   */
  deaf<Result>(run: () => Result): Result {
    this.#own.assertOnline()
    checkFunction('run', run)
    const result = this.#own.idle.deaf(run)
    if (isThenable(result))
      throw refused('run', run, 'asynchronous: only what came before its first await was deaf')
    return result
  }
}

function userReason(reason: number): number {
  checkRange('reason', reason, 0, USER_REASONS - 1)
  return 1 << (USER_REASONS_SHIFT + reason)
}
