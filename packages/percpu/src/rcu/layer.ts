/**
 * The layer: its memory, the callbacks of one thread, and what is done when a CPU leaves or dies. A
 * thread makes what it works with when it first needs it.
 */
import { exchangeAtomic32, load32, loadAtomic32, store32, storeAtomic32 } from '#mem'
import type { AllocLayer } from '../alloc/layer.js'
import type { LayerContext } from '../bootmem/layer.js'
import { tellUsers, type AttachedLayer, type Recovery } from '../cpus/layer.js'
import { REASON_CALLBACKS } from '../cpus/ringer.js'
import { SCHED, type Sleep } from '../cpus/stall.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { Deadline } from '../machine/wait-options.js'
import type { Allocator } from '../percpu/allocator.js'
import type { PercpuLayer } from '../percpu/layer.js'
import { LAYER_CALLBACKS } from '../sync/layer-lock.js'
import type { SyncLayer } from '../sync/layer.js'
import {
  anyEntries,
  endWork,
  finishLists,
  loseFunctions,
  type CallbackLists,
  pendingIn,
} from './callback-lists.js'
import { Callbacks, handOver, type CallbackParts } from './callbacks.js'
import { ListRunner } from './list-runner.js'
import { readMarks, type CallbackOptions } from './options.js'
import type { Queueing } from './queueing.js'
import { RcuMap } from './rcu-map.js'
import type { GracePeriodSnapshot } from '../watch/grace-periods.js'
import type { GracePeriodSource } from './source.js'
import type { SrcuLayer } from './srcu-layer.js'

/** Functions that ended with their thread; those of a domain, or of sched RCU. */
export interface LostCallbacks {
  readonly cpu: number
  readonly count: number
  /** The name of the SRCU domain; undefined: `machine.rcu`. */
  readonly domain: string | undefined
}

/** What a thread works with. */
interface RcuState extends Queueing {
  readonly parts: CallbackParts
  /** Of all kinds of grace periods for which this thread has any. */
  readonly all: Set<Callbacks>
}

/** At boot. */
export function bootRcu({ own, objects }: LayerContext, options?: CallbackOptions): void {
  RcuMap.create(own.memory, objects, own.map.cpus, readMarks(options, own.memory.byteLength))
}

/** The layers that it works with. */
interface RcuBelow {
  readonly context: LayerContext
  readonly sync: SyncLayer
  readonly alloc: AllocLayer
  readonly percpu: PercpuLayer
  readonly srcu: SrcuLayer
}

/** What only domains have. */
const noDomain = {
  domain: undefined,
  key: SCHED,
  flavour: undefined,
  sections: 0,
  handedOver: 0,
  oldest: undefined,
} as const

export class RcuLayer implements AttachedLayer {
  readonly name = 'rcu'
  readonly #context: LayerContext
  readonly #sync: SyncLayer
  readonly #alloc: AllocLayer
  readonly #percpu: PercpuLayer
  readonly #srcu: SrcuLayer
  #state: RcuState | undefined
  #hasLeft = false
  /** Where things are; known in any case once this CPU has gone offline. */
  #map: RcuMap | undefined
  #tellLost: (lost: LostCallbacks) => void = () => undefined

  constructor({ context, sync, alloc, percpu, srcu }: RcuBelow) {
    this.#context = context
    this.#sync = sync
    this.#alloc = alloc
    this.#percpu = percpu
    this.#srcu = srcu
    srcu.makeQueueing = (...of) => this.#makeQueueing(...of)
  }

  /** Once, when the CPU is online. `tellLost` is told of functions that ended with their thread. */
  start(tellLost: (lost: LostCallbacks) => void): void {
    const { own } = this.#context
    this.#tellLost = tellLost
    own.doorbell.on(REASON_CALLBACKS, () => this.#help())
    own.idle.handOver = () => this.#handOver()
    own.idle.takeBack = () => this.#takeBack()
    this.#alloc.relieve = () => this.#relieve()
    // CM(rcu.leftOver) after this CPU is online; pairs with CN in handOver: what it does not find
    // here, the other CPU rings this one for. Mutant: rcu/left-alone.
    if (this.#isLeftOver) this.#help()
  }
  get #isLeftOver(): boolean {
    // atomic: as CM.
    return loadAtomic32(this.#context.own.memory.i32, this.#open().leftOver) !== 0
  }

  /** Looks at the lists of CPUs that are away. */
  #help(): void {
    const { parts } = this.use()
    // atomic: as CM. Whatever is left over from now on sets it again.
    exchangeAtomic32(parts.memory.i32, this.#open().leftOver, 0)
    for (const { lists, open } of this.#kinds()) if (anyEntries(parts.memory, lists)) open().kick()
    // Mutant: rcu/srcu-end-forgotten.
    this.#srcu.adoptOrphans()
  }
  /**
   * This CPU is idle now, and its thread may be blocked for long. It may have been rung, too, and
   * not have answered. Mutant: rcu/rung-in-vain.
   */
  #handOver(): void {
    const { own } = this.#context
    const isPumping = [...(this.#state?.all ?? [])].some((callbacks) => callbacks.isPumping)
    if (isPumping || this.#isLeftOver) handOver(own, this.#open().leftOver, own.doorbell.ringer)
  }
  /** This CPU has queued something while it is idle. Whoever was rung before looks for it, too. */
  #tell(): void {
    const { own } = this.#context
    // Mutant: rcu/deaf-queues-alone.
    if (!this.#isLeftOver) handOver(own, this.#open().leftOver, own.doorbell.ringer)
  }
  /**
   * A CPU does not know of what its number has pending: another thread had the number then. Should
   * it end before it answers, others find it left over.
   */
  #passOnTo(cpu: number): void {
    const { memory, doorbell } = this.#context.own
    // atomic: as CN in handOver.
    storeAtomic32(memory.i32, this.#open().leftOver, 1)
    doorbell.ringer.ring(cpu, REASON_CALLBACKS)
  }
  /** This CPU is not idle any more. Another one may have found nobody to ring. */
  #takeBack(): void {
    const { doorbell, cpu } = this.#context.own
    // Mutant: rcu/left-while-idle.
    if (this.#isLeftOver) doorbell.ringer.ring(cpu, REASON_CALLBACKS)
  }
  /** The lists of all kinds of grace periods. `recovery`: through whose views. */
  *#kinds(recovery: Recovery = this.#ownEnd): Generator<CallbackLists> {
    yield { domain: undefined, lists: this.#open().lists, open: () => this.use().callbacks }
    yield* this.#srcu.callbackLists(recovery)
  }
  /** What this thread would be given to clean up after itself. */
  get #ownEnd(): Recovery {
    const { table, doorbell, cpu, incarnation } = this.#context.own
    return { table, ringer: doorbell.ringer, cpu, incarnation }
  }

  /** @throws OfflineError. */
  use(): RcuState {
    return this.#state ?? this.#attach()
  }

  /** @throws UnansweredError at the deadline; UnsupportedError. */
  synchronizeBlocking(deadline: Deadline): void {
    const { waiting } = this.#sync.state
    waiting.assertMayBlock()
    const sleep: Sleep = (done, until) => waiting.sleep(done, until)
    this.#context.own.gracePeriods.synchronizeBlocking(sleep, deadline)
  }

  /**
   * Before {@link detach}: calls what this thread has to call. What waits for grace periods that
   * have not ended when a stall would be told of is lost, and told of as such. Mutant:
   * rcu/settle-without-limit.
   */
  async settle(isOver: () => boolean): Promise<void> {
    const deadline = new Deadline({ timeout: this.#context.own.gracePeriods.stalls.limit })
    for (const callbacks of this.#state?.all ?? []) await callbacks.settle(isOver, deadline)
  }

  /** What is to be freed is for the others. Functions are lost. */
  detach(): void {
    this.#open()
    const hasAny = this.#state !== undefined
    this.#close()
    if (hasAny) this.#leave(this.#ownEnd)
    else this.#passOn(this.#ownEnd)
  }

  abandon(): void {
    this.#open()
    this.#close()
  }

  #close(): void {
    this.#hasLeft = true
    for (const callbacks of this.#state?.all ?? []) callbacks.close()
    this.#state = undefined
  }

  /** While the lock of a list shows whether it was being freed. Mutant: rcu/rescued-unexamined. */
  rescue(recovery: Recovery): void {
    this.examine(recovery)
  }
  /** Before the heap frees what the dead CPU had in flight. */
  examine(recovery: Recovery): void {
    const { table, cpu } = recovery
    const { memory } = table
    if (load32(memory.i32, this.#open().used(cpu)) === 0) return
    const tags = this.#alloc.tagsOf(recovery)
    for (const { lists } of this.#kinds(recovery)) finishLists(memory, lists, cpu, tags)
  }

  recover(recovery: Recovery): void {
    const { table, cpu } = recovery
    if (load32(table.memory.i32, this.#open().used(cpu)) !== 0) this.#leave(recovery)
    else this.#passOn(recovery)
  }
  /** It may have been rung for what others have left, and not have answered. */
  #passOn(recovery: Recovery): void {
    const { table, cpu, ringer } = recovery
    const { memory } = table
    const { leftOver } = this.#open()
    // atomic: as CM. Mutant: rcu/rung-and-gone.
    if (this.#srcu.orphan(recovery) || loadAtomic32(memory.i32, leftOver) !== 0)
      handOver({ memory, table, cpu }, leftOver, ringer)
  }

  /** Grace periods of `machine.rcu`, for watchers. */
  inspect(): GracePeriodSnapshot {
    const { own } = this.#context
    const callbacks = this.#open().lists.map((list) => pendingIn(own.memory, list))
    const state = own.gracePeriods.inspect()
    return { ...noDomain, ...state, callbacks }
  }

  structs(): readonly PlacedStruct[] {
    return this.#open().structs()
  }

  #open(): RcuMap {
    const { own, objects } = this.#context
    return (this.#map ??= RcuMap.open(objects, own.map.cpus))
  }

  #attach(): RcuState {
    const { own } = this.#context
    if (this.#hasLeft) throw own.offlineError()
    const { memory, table, doorbell, cpu, incarnation } = own
    const map = this.#open()
    // Before anything that a reaper must know of. Mutant: rcu/use-unannounced.
    store32(memory.i32, map.used(cpu), 1)
    const { heap } = this.#alloc
    const percpu = (): Allocator => this.#percpu.use().allocator
    const lock = this.#sync.layerLock(table, cpu, incarnation, LAYER_CALLBACKS)
    const runner = new ListRunner({ memory, heap, percpu, copies: map.cpus, lock })
    const marks = map.marks(memory)
    const { waiting } = this.#sync.state
    const { idle } = own
    const others = {
      tell: () => this.#tell(),
      passOn: (other: number) => this.#passOnTo(other),
      offlineError: () => own.offlineError(),
    }
    const parts = { memory, table, doorbell, cpu, incarnation, heap, runner, marks, idle, ...others }
    const callbacks = new Callbacks(parts, own.gracePeriods, map.lists)
    return (this.#state = {
      machine: own.map.id,
      callbacks,
      heap,
      percpu,
      copies: map.cpus,
      waiting,
      parts,
      all: new Set([callbacks]),
    })
  }

  #makeQueueing(domain: string, source: GracePeriodSource, lists: readonly number[]): Queueing {
    const { parts, all, ...queueing } = this.use()
    const callbacks = new Callbacks(parts, source, lists, domain)
    // Those of domains that have ended.
    for (const other of all) if (other.isOver) all.delete(other)
    all.add(callbacks)
    return { ...queueing, callbacks }
  }

  /**
   * Frees what a predecessor of this CPU had to queue in a list of its, by the word index of the
   * list, and had not. @throws OfflineError.
   */
  freeLeft(list: number, reference: number): void {
    const { cpu } = this.#context.own
    const { tags } = this.#alloc.heap
    const address = reference * 8
    for (const { lists, open } of this.#kinds())
      if (lists[cpu] === list) void open().free(reference, tags.wordOf(address), tags.bytesOf(address) >>> 3)
  }

  /** Memory runs short. Returns whether anything was freed. */
  #relieve(): boolean {
    if (this.#hasLeft) return false
    let isRelieved = false
    for (const { lists, open } of this.#kinds())
      if (anyEntries(this.#context.own.memory, lists) && open().drain()) isRelieved = true
    // After what was due has been freed, per-CPU memory among it. Mutant: rcu/chunks-kept.
    return this.#percpu.relieve() || isRelieved
  }

  /** The end of an incarnation, by its CPU or its reaper. Every step can be repeated. */
  #leave(recovery: Recovery): void {
    const { table, cpu, ringer } = recovery
    const { memory } = table
    const map = this.#open()
    const losses: LostCallbacks[] = []
    let isPending = this.#srcu.orphan(recovery)
    for (const { domain, lists } of this.#kinds(recovery)) {
      const list = lists[cpu] ?? 0
      const count = loseFunctions(memory, list)
      if (count > 0) losses.push({ cpu, count, domain })
      if (anyEntries(memory, lists)) isPending = true
      endWork(memory, list)
    }
    if (isPending) handOver({ memory, table, cpu }, map.leftOver, ringer)
    ringer.wakeWaiters(cpu)
    store32(memory.i32, map.used(cpu), 0)
    tellUsers(recovery, () => {
      for (const lost of losses) this.#tellLost(lost)
    })
  }
}
