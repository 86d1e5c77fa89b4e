/**
 * The layer: its memory, the callbacks of one thread, and what is done when a CPU leaves or dies. A
 * thread makes what it works with when it first needs it.
 */
import { addAtomic32, load32, loadAtomic32, store32, storeAtomic32, type Memory } from '#mem'
import type { Heap } from '../alloc/heap.js'
import type { AllocLayer } from '../alloc/layer.js'
import type { LayerContext } from '../bootmem/layer.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { REASON_CALLBACKS } from '../cpus/ringer.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import type { Deadline } from '../machine/wait-options.js'
import type { Allocator } from '../percpu/allocator.js'
import type { PercpuLayer } from '../percpu/layer.js'
import { LAYER_CALLBACKS } from '../sync/layer-lock.js'
import type { SyncLayer } from '../sync/layer.js'
import { passedOf, tailOf } from './callback-list.js'
import { Callbacks, handOver } from './callbacks.js'
import { finishFreeing, finishQueueing } from './dead.js'
import { CallbackList } from './layouts.js'
import { ListRunner } from './list-runner.js'
import { defaultMarks } from './pressure.js'
import { RcuMap } from './rcu-map.js'

const { words } = CallbackList

/** What the machine's face works with. */
export interface RcuState {
  readonly callbacks: Callbacks
  readonly heap: Heap
  readonly percpu: () => Allocator
}

/** At boot. */
export function bootRcu({ own, objects }: LayerContext): void {
  RcuMap.create(own.memory, objects, own.map.cpus)
}

export class RcuLayer implements AttachedLayer {
  readonly name = 'rcu'
  readonly #context: LayerContext
  readonly #sync: SyncLayer
  readonly #alloc: AllocLayer
  readonly #percpu: PercpuLayer
  #state: RcuState | undefined
  #hasLeft = false
  /** Where things are; known in any case once this CPU has gone offline. */
  #map: RcuMap | undefined
  #tellLost: (cpu: number, count: number) => void = () => undefined

  constructor(context: LayerContext, sync: SyncLayer, alloc: AllocLayer, percpu: PercpuLayer) {
    this.#context = context
    this.#sync = sync
    this.#alloc = alloc
    this.#percpu = percpu
  }

  /** Once, when the CPU is online. `tellLost` is told of functions that ended with their thread. */
  start(tellLost: (cpu: number, count: number) => void): void {
    const { own } = this.#context
    this.#tellLost = tellLost
    own.doorbell.on(REASON_CALLBACKS, () => this.use().callbacks.kick())
    own.idle.handOver = () => this.#state?.callbacks.handOver()
    this.#alloc.relieve = () => this.#relieve()
    // CM(rcu.leftOver) after this CPU is online; pairs with CN in handOver: what it does not find
    // here, the other CPU rings this one for. Mutant: rcu/left-alone.
    if (loadAtomic32(own.memory.i32, this.#open().leftOver) !== 0) this.use().callbacks.kick()
  }

  /** @throws OfflineError. */
  use(): RcuState {
    return this.#state ?? this.#attach()
  }

  /** @throws UnansweredError at the deadline; UnsupportedError. */
  synchronizeBlocking(deadline: Deadline): void {
    const { waiting } = this.#sync.state
    waiting.assertMayBlock()
    const sleep = (done: () => boolean): boolean => waiting.sleep(done, deadline)
    this.#context.own.gracePeriods.synchronizeBlocking(sleep, deadline)
  }

  /** Before {@link detach}: calls what this thread has to call. */
  async settle(isOver: () => boolean): Promise<void> {
    await this.#state?.callbacks.settle(isOver)
  }

  /** What is to be freed is for the others. Functions are lost. */
  detach(): void {
    const map = this.#open()
    this.#hasLeft = true
    const state = this.#state
    if (!state) return
    const { table, doorbell, cpu } = this.#context.own
    state.callbacks.close()
    this.#state = undefined
    this.#leave({ table, cpu, map, ringer: doorbell.ringer })
  }

  abandon(): void {
    this.#open()
    this.#hasLeft = true
    this.#state?.callbacks.close()
    this.#state = undefined
  }

  /** Before the heap frees what the dead CPU had in flight. */
  examine(recovery: Recovery): void {
    const { table, cpu } = recovery
    const { memory } = table
    const map = this.#open()
    if (load32(memory.i32, map.used(cpu)) === 0) return
    const tags = this.#alloc.tagsOf(recovery)
    for (const [other, list] of map.lists.entries()) {
      if (other === cpu) finishQueueing(memory, list, tags)
      finishFreeing(memory, list, tags)
    }
  }

  recover({ table, cpu, ringer }: Recovery): void {
    const map = this.#open()
    if (load32(table.memory.i32, map.used(cpu)) !== 0) this.#leave({ table, cpu, map, ringer })
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
    const { leftOver } = map
    const marks = defaultMarks(memory.byteLength)
    const parts = { memory, table, doorbell, cpu, heap, runner, leftOver, marks }
    return (this.#state = { callbacks: new Callbacks(parts, own.gracePeriods, map.lists), heap, percpu })
  }

  /** Memory runs short. Returns whether anything was freed. */
  #relieve(): boolean {
    if (this.#hasLeft) return false
    const { i32 } = this.#context.own.memory
    const isEmpty = this.#open().lists.every((list) => passedOf(i32, list) === tailOf(i32, list))
    return !isEmpty && this.use().callbacks.drain()
  }

  /** The end of an incarnation, by its CPU or its reaper. Every step can be repeated. */
  #leave({ table, cpu, map, ringer }: Pick<Recovery, 'table' | 'cpu' | 'ringer'> & { map: RcuMap }): void {
    const { memory } = table
    const { leftOver } = map
    const lost = loseCallbacks(memory, map.lists[cpu] ?? 0)
    const isPending = map.lists.some((list) => passedOf(memory.i32, list) !== tailOf(memory.i32, list))
    if (isPending) handOver({ memory, table, leftOver, cpu }, ringer)
    ringer.wakeWaiters(cpu)
    store32(memory.i32, map.used(cpu), 0)
    if (lost > 0) this.#tellLost(cpu, lost)
  }
}

/**
 * Counts what ended with a thread, and lets nobody wait for it. A reaper that dies in between has
 * the next one count it again.
 */
function loseCallbacks({ i32 }: Memory, list: number): number {
  // atomic: the CPU's own words, or those of a dead one.
  const tail = loadAtomic32(i32, list + words.functionsTail)
  const lost = (tail - loadAtomic32(i32, list + words.functionsHead)) >>> 0
  // atomic: a statistic.
  if (lost > 0) addAtomic32(i32, list + words.functionsLost, lost)
  // atomic: as CK in FunctionQueue, in the CPU's place. Mutant: rcu/lost-waited-for.
  if (lost > 0) storeAtomic32(i32, list + words.functionsHead, tail)
  return lost
}
