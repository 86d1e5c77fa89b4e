/**
 * The calling thread as a CPU: its number and incarnation, and what it rings, calls, waits and
 * sleeps with. Made when the number is claimed; online when all layers are attached.
 */
import { interceptWaits, poisonMemory, reopenMemory, type Memory } from '#mem'
import { array, atomic, i32, struct } from '../layout/index.js'
import { checkCpu, checkCpus, checkFlag, checkMilliseconds, type OptionNames } from '../machine/check.js'
import { AlreadyJoinedError, OfflineError } from '../machine/errors.js'
import { Cpu, Header, RcuNode } from '../machine/layouts.js'
import type { MemoryMap } from '../machine/memory-map.js'
import { ownOsThread, tellsOfThreads } from '../machine/os-thread.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { invitedKeys, parentKey, threadKey } from '../machine/platform.js'
import { nextIncarnation } from '../machine/token.js'
import { ensureStack, MANY } from '../stack.js'
import { Calls } from './calls.js'
import { CpuTable } from './cpu-table.js'
import { chooseDoorbellMode, Doorbell, type DoorbellMode } from './doorbell.js'
import { GracePeriods } from './grace-period.js'
import { Idle } from './idle.js'

/** One CPU or several, by number. */
export type CpuSet = number | Iterable<number>

/** What {@link join} takes. */
export interface JoinOptions {
  /**
   * How this thread hears its doorbell. Default: `'waitAsync'` where the engine has
   * `Atomics.waitAsync`, else `'port'`.
   */
  readonly doorbell?: DoorbellMode
  /**
   * True: while this thread is blocked in an `Atomics.wait` of whatever code, its CPU is deaf: no
   * grace period and no call waits for it. For threads whose loop is not their own, such as the
   * workers of thread pools. What grace periods protect must not be read across such a wait. Rings
   * are answered later, in the event loop. Default false.
   */
  readonly watchWaits?: boolean
  /**
   * Milliseconds without progress after which this thread, waiting for a grace period, tells who
   * holds it up: in the event `stall`, or on the console if nobody listens. Infinity: never.
   * Default 10000.
   */
  readonly stallTimeout?: number
  /**
   * @internal Key of this thread, as it was invited; or of another one that it stands for, in tests
   * that run several CPUs on one.
   */
  readonly thread?: number
  /** @internal The thread that started it. */
  readonly parent?: number
  /** @internal ms after which it no longer counts on another thread's progress. Default 10. */
  readonly patience?: number
}

/** The options of `join`; the record has every one, so that none is forgotten. */
export const joinOptions: OptionNames<JoinOptions> = {
  doorbell: true,
  watchWaits: true,
  stallTimeout: true,
  thread: true,
  parent: true,
  patience: true,
}
/** Those that are not told of. */
export const internalJoinOptions = ['thread', 'parent', 'patience']

export class OwnCpu {
  readonly memory: Memory
  readonly map: MemoryMap
  /** The thread's key, by which its supervisors find its CPU. */
  readonly key: number
  readonly cpu: number
  readonly node: number
  readonly incarnation: number
  readonly table: CpuTable
  readonly doorbell: Doorbell
  readonly calls: Calls
  readonly gracePeriods: GracePeriods
  readonly idle: Idle
  readonly patience: number
  /** Whether the system tells this thread of others, and it does not count on them for ever. */
  readonly tellsOfThreads: boolean
  readonly #watchesWaits: boolean
  #ignoreWaits: () => void = () => undefined
  /** Set by the machine: is told once that this CPU was declared dead by mistake. */
  onDeposed: (() => void) | undefined
  /** Those of {@link openViews}. */
  readonly #views = new Set<Memory>()
  #isDeposed = false
  #isOffline = false

  /**
   * Claims the lowest free number for the calling thread. Its state is starting then.
   *
   * @throws AlreadyJoinedError; NoFreeCpuError; ArgumentError and UnsupportedError for the
   *   options.
   */
  constructor(memory: Memory, map: MemoryMap, options: JoinOptions) {
    this.memory = memory
    this.map = map
    this.key = options.thread ?? threadKey
    this.table = new CpuTable(memory, map)
    const mode = chooseDoorbellMode(options.doorbell)
    checkFlag('watchWaits', options.watchWaits)
    checkMilliseconds('stallTimeout', options.stallTimeout, 1)
    this.#watchesWaits = options.watchWaits === true
    this.patience = options.patience ?? 10
    // Not of a thread that stands for another one.
    const isItself = options.thread === undefined || invitedKeys.has(this.key)
    checkNotJoined(this.table, isItself ? [threadKey, ...invitedKeys] : [this.key])
    ensureStack(MANY)
    const parent = options.parent ?? (isItself ? parentKey : 0)
    const cpu = this.table.claim(this.key, parent)
    this.cpu = cpu
    this.tellsOfThreads = isItself && tellsOfThreads && this.patience !== Infinity
    if (isItself) this.table.setOsThread(cpu, this.key, ownOsThread())
    this.incarnation = nextIncarnation(this.table.incarnation(cpu))
    this.table.setState(cpu, this.incarnation, 'starting')
    this.node = this.table.node(cpu)
    this.doorbell = new Doorbell(this.table, cpu)
    this.calls = new Calls(this.table, this.doorbell, cpu)
    this.gracePeriods = new GracePeriods(this.table, this.doorbell, cpu, options.stallTimeout)
    this.idle = new Idle(this.table, cpu, this.doorbell, this.gracePeriods, this.calls)
    this.doorbell.holdsNumber = () => !this.#findDeposed()
    this.idle.holdsNumber = this.doorbell.holdsNumber
    try {
      this.doorbell.start(mode)
      this.calls.start()
      this.idle.start()
    } catch (error) {
      this.giveUp()
      throw error
    }
  }

  /** After the layers are attached. */
  comeOnline(): void {
    this.table.setState(this.cpu, this.incarnation, 'online')
    this.gracePeriods.comeOnline()
    if (this.#watchesWaits) this.#ignoreWaits = interceptWaits((wait) => this.idle.blocked(wait))
  }

  /** Gives the number back of a CPU that could not come online, or not wholly. */
  giveUp(): void {
    this.#ignoreWaits()
    this.#isOffline = true
    this.doorbell.close()
    if (!this.holdsNumber()) return
    this.table.setState(this.cpu, this.incarnation, 'offline')
    this.gracePeriods.leave()
    this.table.release(this.cpu)
  }

  /**
   * False if it was declared dead by mistake: then the number is somebody else's, or soon will be.
   */
  holdsNumber(): boolean {
    const { table, cpu } = this
    return table.thread(cpu) === this.key && table.incarnation(cpu) === this.incarnation
  }

  /**
   * Whether another thread has declared this CPU dead: looked at wherever it hears its bell. From
   * then on this thread writes nothing in the name of a number that may be another thread's.
   */
  #findDeposed(): boolean {
    if (this.#isDeposed || this.#isOffline || this.holdsNumber()) return this.#isDeposed
    this.#isDeposed = true
    this.gracePeriods.abandon()
    this.onDeposed?.()
    return true
  }

  /** @throws OfflineError if another thread has declared this CPU dead, or it is offline. */
  assertHoldsNumber(): void {
    if (this.#findDeposed() || this.#isOffline) throw this.offlineError()
  }

  /** From now on others do not count on this CPU any more; it still answers. */
  stop(): void {
    if (this.holdsNumber()) this.table.setState(this.cpu, this.incarnation, 'stopping')
  }

  /** Gives the number back, unless somebody else has it, and makes the memory throw from now on. */
  leave(): void {
    this.#ignoreWaits()
    if (this.holdsNumber()) {
      this.table.setState(this.cpu, this.incarnation, 'offline')
      this.gracePeriods.leave()
      this.table.release(this.cpu)
    }
    this.#isOffline = true
    this.doorbell.close()
    for (const views of [this.memory, ...this.#views]) poisonMemory(views, () => this.offlineError())
  }

  /** Other views of the memory, which are taken away with those of this CPU, or before. */
  openViews(): Memory {
    const views = reopenMemory(this.memory)
    this.#views.add(views)
    return views
  }
  closeViews(views: Memory, makeError: () => Error): void {
    this.#views.delete(views)
    poisonMemory(views, makeError)
  }

  get isOnline(): boolean {
    return !this.#isOffline
  }
  /** @throws OfflineError once this CPU has left. */
  assertOnline(): void {
    if (this.#isOffline) throw this.offlineError()
  }
  offlineError(): OfflineError {
    const { cpu, incarnation } = this
    const why = this.#isDeposed
      ? `another thread has declared this thread's CPU ${cpu} dead`
      : `this thread has taken its CPU ${cpu} offline`
    return new OfflineError(`${why}; join the machine again to use it`, { cpu, incarnation })
  }

  /** The CPUs as a list. @throws ArgumentError for one that is not possible; OfflineError. */
  checkCpus(cpus: CpuSet): readonly number[] {
    this.assertOnline()
    return checkCpus(cpus, this.map.cpus)
  }
  /** @throws as {@link checkCpus}. */
  checkCpu(cpu: number): number {
    this.assertOnline()
    return checkCpu(cpu, this.map.cpus)
  }

  /** The header, and what there is for each CPU. */
  structs(): PlacedStruct[] {
    const { map } = this
    const placed: PlacedStruct[] = [{ name: 'header', address: 0, struct: Header }]
    const answers = struct('CallAnswers', { to: array(atomic(i32), map.cpus) })
    for (let cpu = 0; cpu < map.cpus; cpu++) {
      placed.push({ name: `cpu[${cpu}]`, address: this.table.record(cpu) * 4, struct: Cpu })
      const address = (map.callTable + cpu * map.cpus) * 4
      placed.push({ name: `cpu[${cpu}].answers`, address, struct: answers })
    }
    const nodes = map.rcuLevels.reduce((sum, count) => sum + count, 0)
    for (let node = 0; node < nodes; node++)
      placed.push({
        name: `rcu[${node}]`,
        address: map.rcuNodes * 4 + node * RcuNode.stride,
        struct: RcuNode,
      })
    return placed
  }
}

function checkNotJoined(table: CpuTable, keys: readonly number[]): void {
  const [cpu] = table.select((other) => keys.includes(table.thread(other)))
  if (cpu === undefined) return
  throw new AlreadyJoinedError(`this thread already is CPU ${cpu} of this machine: use its machine object`, {
    cpu,
  })
}
