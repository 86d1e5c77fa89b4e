import type { Memory } from '#mem'
import type { Heap } from './alloc/heap.js'
import { Objects } from './bootmem/objects.js'
import type { MapKeyKind, MapKeys } from './collections/keys.js'
import type { SharedMap } from './collections/map/map.js'
import type { OpenOptions } from './collections/opening.js'
import { COLLECTION_KINDS, type CollectionKind } from './collections/presence.js'
import type { RingOptions } from './collections/ring/options.js'
import type { SharedRing } from './collections/ring/ring.js'
import type { RangeKeyKind, RangeKeys } from './collections/range/keys.js'
import type { RangeMapOptions } from './collections/range/options.js'
import type { SharedRangeMap } from './collections/range/range-map.js'
import type { MapOptions } from './collections/map/options.js'
import type { MapValueKind, MapValueOf, MapValueType, MapViewOf } from './collections/values.js'
import type { Layers } from './compose.js'
import { CpuTable } from './cpus/cpu-table.js'
import { Cpus } from './cpus/cpus.js'
import { Departure } from './cpus/departure.js'
import { Hotplug, hotplugOf } from './cpus/hotplug.js'
import { Inviting, type Invitation } from './cpus/invitation.js'
import type { OwnCpu } from './cpus/own-cpu.js'
import { Patrol } from './cpus/patrol.js'
import type { Stalled } from './cpus/stall.js'
import { Supervisor, type Supervision } from './cpus/supervisor.js'
import { tendingOf } from './cpus/tending.js'
import type { AnyWorker, InvitedWorker, SupervisedWorker } from './cpus/worker-end.js'
import { checkChoice, checkFunction, refused } from './machine/check.js'
import { HotplugError, UnsupportedError } from './machine/errors.js'
import { Emitter, type ListenOptions } from './machine/events.js'
import type { MachineHandle } from './machine/handle.js'
import { tellsOfThreads } from './machine/os-thread.js'
import { host, reportError } from './machine/platform.js'
import { checkHurry, Deadline, type WaitOptions } from './machine/wait-options.js'
import type { PagingLayer } from './paging/layer.js'
import type { SpaceReport } from './paging/report.js'
import type { AddressSpace } from './paging/space.js'
import type { SparseArray, SparseOptions } from './paging/sparse-array.js'
import type { SparseKind } from './paging/sparse-kinds.js'
import { makePercpu, type Percpu } from './percpu/api.js'
import type { LostCallbacks } from './rcu/layer.js'
import { Rcu } from './rcu/rcu.js'
import type { SrcuMisuseError } from './rcu/srcu-errors.js'
import { ensureStack, MANY } from './stack.js'
import type { SrcuOptions } from './rcu/srcu-layer.js'
import type { Srcu } from './rcu/srcu.js'
import type { Locks } from './sync/locks.js'
import type { WatchLayer } from './watch/layer.js'
import type { DiedEvent } from './watch/monitor.js'
import { describeStall, type StallEvent } from './watch/stall-event.js'
import { Watch } from './watch/watch.js'
import { showAs } from './inspect.js'
import { ofThisThread } from './unsendable.js'

/** What listeners of `machine.on` are given, by the names of the events. */
export interface MachineEvents {
  /** This thread has cleaned up after a CPU whose thread died. */
  readonly died: DiedEvent
  /** This thread's CPU has gone offline. */
  readonly offline: { readonly cpu: number; readonly incarnation: number }
  /**
   * A grace period that this thread waits for has not got on for `stallTimeout` ms, or a multiple.
   * If nobody listens, the console has it. Listeners are called also while the thread blocks for
   * it.
   */
  readonly stall: StallEvent
  /**
   * Functions that a CPU had queued by `call` ended with its thread: so many, of `machine.rcu` or
   * of the SRCU domain of that name.
   */
  readonly callbacksLost: LostCallbacks
  /**
   * In debug mode of SRCU: a section of this thread was misused in a way that no call can throw. If
   * nobody listens, the console has it.
   */
  readonly rcuMisuse: { readonly error: SrcuMisuseError }
}
const events = ['died', 'offline', 'stall', 'callbacksLost', 'rcuMisuse'] as const

/**
 * The calling thread's view of a machine, as one of its CPUs. Made by `boot` and `join`; not to be
 * passed to other threads (pass {@link Machine.handle}). After {@link Machine.offline} every use
 * throws an OfflineError and writes nothing.
 */
export class Machine {
  static {
    showAs(this, (machine) => ({ cpu: machine.cpu, isOnline: machine.#own.isOnline }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** This thread's CPU number, 0 to `possible - 1`. */
  readonly cpu: number
  /** Which CPUs there are, and how they ring, call and wait for each other. */
  readonly cpus: Cpus
  /** Named objects, by which threads find the same memory. */
  readonly objects: Objects
  /** Locks that survive their thread. */
  readonly locks: Locks
  /** A look at every CPU from outside. */
  readonly watch: Watch
  /** Grace periods, and what is freed or called after them. */
  readonly rcu: Rcu

  /**
   * Answers rings in the middle of a long synchronous stretch; about one plain load and store if
   * nobody rang. It is a quiescent state: what was read from shared structures before must not be
   * used after. Call it on the machine object: a copy of the function outlives {@link offline}.
   */
  poll: () => void

  readonly #own: OwnCpu
  readonly #layers: Layers
  readonly #handle: MachineHandle
  readonly #watching: WatchLayer
  readonly #hotplug: Hotplug
  readonly #supervisor: Supervisor
  readonly #events = new Emitter<MachineEvents>('a machine', events)
  #percpu: Percpu | undefined
  #leaving: Promise<void> | undefined
  readonly #departure: Departure

  /**
   * @internal Comes online. `supervisorMemory`: views of its own for the supervisor, which outlives
   *   the CPU.
   */
  constructor(own: OwnCpu, layers: Layers, handle: MachineHandle, supervisorMemory: Memory) {
    this.#own = own
    this.#layers = layers
    this.#handle = handle
    this.#watching = layers.watch
    this.cpu = own.cpu
    this.poll = own.doorbell.makePoll()
    this.#departure = new Departure(() => own.doorbell.recheck())
    this.#hotplug = new Hotplug(own.map.id, own.key)
    const table = new CpuTable(supervisorMemory, own.map)
    this.#supervisor = new Supervisor(table, own.key, layers.list, (dead, incarnation) => {
      const error = hotplugOf(own.map.id, own.key)?.dead(dead, incarnation)
      if (error) reportError(error)
      const postMortem = layers.watch.postMortemOf(dead)
      this.#events.emit('died', { cpu: dead, incarnation, postMortem })
    })
    const { list } = layers
    this.cpus = new Cpus({ own, hotplug: this.#hotplug, supervisor: this.#supervisor, layers: list })
    this.objects = new Objects(layers.bootmem)
    this.locks = layers.locks
    this.watch = new Watch(layers.watch, list)
    this.rcu = new Rcu(own, layers.rcu)
    own.comeOnline()
    own.onDeposed = () => this.#abandon()
    const patrol = new Patrol(own.table, own.cpu)
    own.idle.tending = tendingOf(this.#supervisor, own.tellsOfThreads ? patrol : undefined)
    if (own.tellsOfThreads)
      own.doorbell.vigil.onPatrol = () => {
        if (own.isOnline) this.#supervisor.reap(patrol.ended(), false)
      }
    own.gracePeriods.stalls.warning = () => warningOf(this.#supervisor)
    own.gracePeriods.stalls.tell = (stalled) => this.#tellStall(stalled)
    layers.srcu.tellMisuse = (error) => this.#tellMisuse(error)
    layers.rcu.start((lost) => this.#events.emit('callbacksLost', lost))
  }

  /**
   * For the other threads: structured-cloneable, passed by `workerData` or `postMessage`, and given
   * to `join` there.
   *
   * @throws OfflineError.
   */
  get handle(): MachineHandle {
    this.#own.assertOnline()
    return this.#handle
  }
  /** The shared memory, for `Struct.at` and the functions of `percpu/mem`. @throws OfflineError. */
  get memory(): Memory {
    this.#own.assertOnline()
    return this.#own.memory
  }
  /** CPUs that are online. A snapshot: others may come and go meanwhile. @throws OfflineError. */
  get online(): readonly number[] {
    this.#own.assertOnline()
    return this.#own.table.online()
  }
  /** Memory of any size for all threads. @throws OfflineError. */
  get heap(): Heap {
    // No check here: it would cost a sixth of an allocation. The end replaces the property.
    return this.#layers.alloc.heap
  }
  /** Memory with one copy for each possible CPU. Throws an OfflineError when used after the end. */
  get percpu(): Percpu {
    return (this.#percpu ??= makePercpu(this.#layers.percpu))
  }

  /**
   * The SRCU domain of this name, for all threads: read sections that may await, and grace periods
   * that wait for them.
   *
   * @throws ArgumentError for a bad name or option, or another flavour than the domain has;
   *   OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  srcu(name: string, options: SrcuOptions = {}): Srcu {
    return this.#layers.srcu.open(name, options)
  }
  /**
   * Makes a domain inside a struct of yours: at a field of type {@link SrcuLayout}, all zero,
   * before another thread finds the struct. Other threads open it with {@link srcuAt}. Call
   * `srcu.cleanup()` before the struct is freed.
   *
   * @throws SrcuMisuseError if there is a domain already; ArgumentError for a bad address or
   *   option; OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  initSrcu(address: number, options: SrcuOptions = {}): Srcu {
    return this.#layers.srcu.initialise(address, options)
  }
  /**
   * The domain that {@link initSrcu} made at this address.
   *
   * @throws SrcuMisuseError if there is none; ArgumentError for a bad address, or another flavour
   *   than the domain has; OfflineError.
   */
  srcuAt(address: number, options: SrcuOptions = {}): Srcu {
    return this.#layers.srcu.at(address, options)
  }

  /**
   * The map of this name, for all threads: `{ key: 'string', value: 'json' }` and the like. It is
   * made if need be, unless `create` says otherwise. The kinds are those of {@link MapKeys} and
   * {@link MapValues}; values may be structs.
   *
   * `name`: 1 to 56 bytes of UTF-8; maps have a name space of their own.
   *
   * @throws MapMismatchError if the map has other keys or values; ObjectMissingError,
   *   ObjectExistsError as `create` says; ArgumentError; RemovedError while it is being removed;
   *   OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  map<K extends MapKeyKind, V extends MapValueType>(
    name: string,
    options: MapOptions<K, V>,
  ): SharedMap<MapKeys[K], MapValueOf<V>, MapViewOf<V>> {
    return this.#layers.maps.map(name, options) as unknown as SharedMap<
      MapKeys[K],
      MapValueOf<V>,
      MapViewOf<V>
    >
  }
  /**
   * The map of ranges of this name, for all threads: `{ key: 'u32', value: 'string' }` and the
   * like. It is made if need be, unless `create` says otherwise. The kinds are those of
   * {@link RangeKeys} and {@link MapValues}.
   *
   * `name`: 1 to 56 bytes of UTF-8; maps of ranges have a name space of their own.
   *
   * @throws MapMismatchError if the map has other keys or values; ObjectMissingError,
   *   ObjectExistsError as `create` says; ArgumentError; RemovedError while it is being removed;
   *   OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  rangeMap<K extends RangeKeyKind, V extends MapValueKind>(
    name: string,
    options: RangeMapOptions<K, V>,
  ): SharedRangeMap<RangeKeys[K], MapValueOf<V>> {
    return this.#layers.rangeMaps.rangeMap(name, options) as unknown as SharedRangeMap<
      RangeKeys[K],
      MapValueOf<V>
    >
  }

  /**
   * The ring of this name, a queue of messages for all threads: `{ value: 'json', bytes: '1 MiB' }`
   * and the like. It is made if need be, unless `create` says otherwise. Messages are of one of the
   * kinds of {@link MapValues}, or of a struct.
   *
   * `name`: 1 to 56 bytes of UTF-8; rings have a name space of their own.
   *
   * @throws RingMismatchError if the ring has other messages or another size; ObjectMissingError,
   *   ObjectExistsError as `create` says; ArgumentError; RemovedError while it is being removed;
   *   OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  ring<V extends MapValueType = 'bytes'>(
    name: string,
    options: RingOptions<V> = {},
  ): SharedRing<MapValueOf<V>> {
    return this.#layers.rings.ring(name, options) as SharedRing<MapValueOf<V>>
  }

  /**
   * The address space of this name, for all threads: sparse memory that can be mapped, unmapped and
   * forked while it is read. It is made if need be, with nothing mapped, unless `create` says
   * otherwise.
   *
   * `name`: 1 to 56 bytes of UTF-8; address spaces have a name space of their own.
   *
   * @throws UnsupportedError on a machine without an MMU; ObjectMissingError, ObjectExistsError as
   *   `create` says; ArgumentError; RemovedError while it is being made or removed;
   *   OutOfMemoryError; LockTimeoutError; OfflineError.
   */
  space(name: string, options: OpenOptions = {}): AddressSpace {
    return this.#paging('space').space(name, options)
  }
  /**
   * The sparse array of this name, for all threads: numbers of one kind, `{ value: 'f64' }` and the
   * like, at 2^39 bytes of indices. It is made if need be, unless `create` says otherwise. It takes
   * memory where values are set.
   *
   * `name`: 1 to 56 bytes of UTF-8; sparse arrays have a name space of their own.
   *
   * @throws SparseMismatchError if the array has other values; else as {@link space}.
   */
  sparseArray<Kind extends SparseKind>(name: string, options: SparseOptions<Kind>): SparseArray<Kind> {
    return this.#paging('sparseArray').sparseArray(name, options)
  }
  /**
   * What all address spaces, sparse arrays and their snapshots have: areas and tables. They come by
   * kind and name. Each one is looked at piece by piece, while others go on. One that is removed
   * meanwhile is left out.
   *
   * Cost: steps in proportion to the pages that have memory; a lock is held for one table's at a
   * time.
   * @throws LockTimeoutError; OfflineError.
   */
  spaces(): readonly SpaceReport[] {
    this.#own.assertOnline()
    return this.#layers.paging?.spaces() ?? []
  }
  #paging(what: string): PagingLayer {
    this.#own.assertOnline()
    const { paging } = this.#layers
    if (paging !== undefined) return paging
    throw new UnsupportedError(
      `machine.${what}: this machine was booted without an MMU (mmu: false), so it has no page tables`,
    )
  }

  /**
   * Removes a map, a map of ranges, a ring, an address space or a sparse array with all that is in
   * it. Resolves when its memory is free. The name can be given anew then.
   *
   * All handles of it throw a RemovedError, in each thread from the end of its synchronous stretch
   * on. Who waits for a message, for room or for a barrier of it gets that error; those who watch
   * it are told nothing more. It waits for each `hold` that is under way.
   *
   * After an error it cannot be opened any more, and its removal can be called again. If the thread
   * ends meanwhile, another one may do that.
   *
   * @throws ObjectMissingError if there is none of this name; PinnedError if a page of the space
   *   is pinned; UnansweredError after `timeout` ms, SrcuBusyError if holds have not ended by
   *   then; the reason of `signal` when that aborts; OutOfMemoryError; LockTimeoutError;
   *   ArgumentError; OfflineError.
   */
  async remove(kind: CollectionKind, name: string, options?: WaitOptions): Promise<void> {
    this.#own.assertOnline()
    checkChoice('kind', kind, COLLECTION_KINDS)
    await this.#layers.removal.remove(kind, name, options)
  }

  /**
   * From now on, when the worker's thread ends, for whatever reason, its CPU is cleaned up after
   * and becomes free. Call it right after `new Worker`. Several threads may supervise the same
   * worker.
   *
   * `invitation`: what {@link invite} gave, if the worker joins by that. In Deno and in browsers it
   * is needed; elsewhere it may be there.
   *
   * @throws ArgumentError if the worker has ended, or the invitation is none of this machine's and
   *   thread's; UnsupportedError if it has no exit event (browsers), or one that comes too early
   *   (Deno), and there is no invitation; OfflineError.
   */
  supervise(worker: SupervisedWorker): Supervision
  supervise(worker: InvitedWorker, invitation: Invitation): Supervision
  supervise(worker: AnyWorker, invitation?: Invitation): Supervision {
    this.#own.assertOnline()
    return this.#supervisor.supervise(worker, invitation)
  }

  /**
   * Invites one worker, which joins by `joinInvited`. Where no event tells of a worker's end, an
   * invitation does. Send it with `invitation.ports` as what is transferred, and give it to
   * {@link supervise} on the same thread.
   *
   * @throws UnsupportedError where nothing tells of ends: in a page that is no secure context;
   *   OfflineError.
   */
  invite(): Invitation {
    return new Inviting(this.handle, this.#own.map.id).invitation
  }

  /**
   * Runs `work` under a label, which everybody can see while it runs, also when it never returns.
   * If `work` returns a promise, it is listed as pending until that settles, and a promise with the
   * same outcome is returned. May be nested. A CPU has at most 128 labels, of 44 bytes of UTF-8;
   * they are not for values that differ each time.
   *
   * Cost: a few ns; while the work is traced or monitored two clock readings more.
   *
   * @throws what `work` throws; ArgumentError; OfflineError.
   */
  run<Result>(label: string, work: () => Result): Result {
    if (typeof label !== 'string' || typeof work !== 'function') checkWork(label, work)
    const { own } = this.#watching
    if (own === undefined) throw this.#own.offlineError()
    return own.run(label, work)
  }

  /**
   * Calls `listener` for each event of this name, until the returned function is called or
   * `options.signal` aborts.
   *
   * @throws ArgumentError for a name that no event has, a listener that is no function, or another
   *   option; OfflineError.
   */
  on<Name extends keyof MachineEvents>(
    name: Name,
    listener: (event: MachineEvents[Name]) => void,
    options?: ListenOptions,
  ): () => void {
    this.#own.assertOnline()
    return this.#events.on(name, listener, options)
  }

  /**
   * Takes this CPU off the machine: waits for its own calls under way, for its snapshots to be
   * freed, and for functions that it has queued, at most for `stallTimeout` ms each, or 10 s if
   * that is infinite; waits for users' teardowns; tears the layers down; and poisons this object
   * and everything obtained from it. The thread lives on, and may join again.
   *
   * At the end of `timeout`, or when `signal` aborts or has aborted before, nothing is waited for
   * any longer, and the CPU goes offline all the same.
   *
   * @throws HotplugError if a teardown failed, or has not ended in time; the CPU is offline all the
   *   same. Also if it is called while a teardown is under way, which might be waiting for itself.
   *   ArgumentError for other options; OfflineError if it was offline before.
   */
  async offline(options: WaitOptions = {}): Promise<void> {
    this.#own.assertOnline()
    checkHurry(options)
    const { running } = this.#hotplug
    if (running !== undefined)
      throw new HotplugError(
        `this CPU is going offline, and teardown of '${running}' is under way: it must not wait for the end of it`,
        { failed: [running] },
      )
    const hurry = (): void => this.#departure.hurry()
    const stop = new Deadline(options).watch(hurry, hurry)
    if (options.signal?.aborted) hurry()
    try {
      // It begins, or can be begun again. Mutant: cpus/offline-too-deep.
      ensureStack(2 * MANY)
      this.#leaving ??= this.#leave()
      await this.#leaving
    } finally {
      stop()
    }
  }

  /** Another thread has declared this CPU dead by mistake, and may have given its number away. */
  #abandon(): void {
    for (const layer of [...this.#layers.list].reverse()) {
      try {
        layer.abandon?.()
      } catch (error) {
        reportError(error)
      }
    }
    this.#end()
    void this.#hotplug.tearDownUsers().then((error) => {
      if (error) reportError(error)
    })
  }

  /** As {@link offline}, and nothing if the CPU is offline already: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#own.isOnline) await this.offline()
  }

  #tellStall(stalled: Stalled): void {
    const { table } = this.#own
    const event = describeStall(stalled, this.watch.inspect(), (cpu) => table.osState(cpu))
    // Not here: this may be in the middle of anything that blocks.
    host.queueMicrotask(() => this.#supervisor.reap(stalled.cpus, false))
    if (this.#events.has('stall')) this.#events.emit('stall', event)
    else host.console?.warn(`percpu: ${event.text}`)
  }

  #tellMisuse(error: SrcuMisuseError): void {
    if (this.#events.has('rcuMisuse')) this.#events.emit('rcuMisuse', { error })
    else host.console?.warn(`percpu: ${error.message}`)
  }

  async #leave(): Promise<void> {
    const own = this.#own
    const departure = this.#departure
    own.stop()
    // Whoever called this may still be in the middle of reading.
    await departure.within(own.calls.drain(), own.gracePeriods.stalls.limit)
    // It was declared dead meanwhile, and has gone.
    const isOver = (): boolean => !own.isOnline || !own.holdsNumber()
    if (own.isOnline)
      await departure.within(
        this.#layers.paging?.settle() ?? Promise.resolve(),
        own.gracePeriods.stalls.limit,
      )
    if (own.isOnline) await this.#layers.rcu.settle(() => departure.isHurried || isOver())
    if (!own.isOnline) return
    const error = await this.#hotplug.teardown(this.#layers.list, {
      isOver,
      answer: () => own.doorbell.answer(),
      leave: () => this.#end(),
      hurried: departure.hurried,
    })
    if (error) throw error
  }

  #end(): void {
    if (!this.#own.isOnline) return
    this.#own.leave()
    this.#hotplug.close()
    const refuse = (): never => {
      throw this.#own.offlineError()
    }
    this.poll = refuse
    Object.defineProperty(this, 'heap', { get: refuse })
    const { cpu, incarnation } = this.#own
    this.#events.emit('offline', { cpu, incarnation })
  }
}

/** What a thread says that has blocked in vain, where it cannot have heard of deaths. */
function warningOf({ supervised }: Supervisor): string {
  if (supervised === 0 || tellsOfThreads) return ''
  return `; this thread supervises ${supervised} workers, and does not hear of their deaths while it blocks: use an async wait`
}

function checkWork(label: unknown, work: unknown): void {
  if (typeof label !== 'string') throw refused('label', label, 'not a string')
  checkFunction('work', work)
}
