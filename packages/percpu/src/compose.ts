/**
 * The whole machine: the CPU layer and everything above it, put together. Only the index imports this file.
 */
import { checkFlag, checkOptions, type OptionNames } from './machine/check.js'
import { bootMachine, joinMachine, type JoinOptions, type MachineOptions } from './boot.js'
import type { Layer } from './machine/layer.js'
import type { MachineParts } from './machine.js'
import type { MachineHandle } from './machine/memory-map.js'
import { VpaLayer } from './watch/layer.js'
import { WatchedMachine } from './watch/watched-machine.js'
import { Alloc } from './alloc/layer.js'
import type { Cache } from './alloc/cache.js'
import type { Allocation, HeapReport } from './alloc/heap.js'
import type { PageAllocator } from './alloc/pages.js'
import type { AllocationRequest } from './alloc/request.js'
import type { Struct } from './layout/index.js'
import { makePercpu, type Percpu } from './percpu/api.js'
import { PercpuLayer } from './percpu/layer.js'
import type { PercpuOptions } from './percpu/setup.js'
import type { Completion } from './sync/completion.js'
import type { Condition } from './sync/condition.js'
import type { Undoable } from './sync/layer-lock.js'
import type { Mutex } from './sync/mutex.js'
import type { Semaphore } from './sync/semaphore.js'
import type { Seqlock } from './sync/seqlock.js'
import { Sync, type LockInterest } from './sync/layer.js'

export interface BootOptions extends MachineOptions {
  /** Writes of one section: entries of each CPU's undo journal, 8 bytes each; one of 64 bits takes two. Default 512. */
  readonly journal?: number
  /** True: the heap finds writes outside objects and into free ones, and labels objects; slower and larger. Default false. */
  readonly debugHeap?: boolean
  /** Sizes of per-CPU memory. */
  readonly percpu?: PercpuOptions
}

/** The layers of one machine object, in the order in which they come up and clean up. */
interface Layers {
  readonly sync: Sync
  readonly vpa: VpaLayer
  readonly alloc: Alloc
  readonly percpu: PercpuLayer
  readonly list: readonly Layer[]
}

function makeLayers({ journal, debugHeap, percpu: sizes }: BootOptions = {}): Layers {
  const sync = new Sync(journal)
  const vpa = new VpaLayer()
  vpa.provideLocks((table, cpu) => sync.lockState(table, cpu))
  // First, so that a post-mortem is read before the locks of the dead are released.
  const alloc = new Alloc(sync, debugHeap)
  const percpu = new PercpuLayer(sync, alloc, sizes)
  return { sync, vpa, alloc, percpu, list: [vpa, sync, alloc, percpu] }
}

/**
 * The calling thread's view of a machine, as one of its CPUs. Made by {@link boot} and {@link join}; not to be passed to other
 * threads (pass `machine.handle`). After `offline` every use throws an OfflineError and writes nothing.
 */
export class Machine extends WatchedMachine {
  readonly #sync: Sync
  readonly #alloc: Alloc
  readonly #percpuLayer: PercpuLayer
  #percpu: Percpu | undefined

  /** @internal */
  constructor(parts: MachineParts, layers: Layers) {
    super(parts, layers.vpa, layers.list)
    this.#sync = layers.sync
    this.#alloc = layers.alloc
    this.#percpuLayer = layers.percpu
  }

  /** Memory with one copy for each possible CPU. */
  get percpu(): Percpu {
    return (this.#percpu ??= makePercpu(this.#percpuLayer))
  }

  /** The mutex of this name, for all threads. Look it up once, not in loops. */
  mutex(name: string): Mutex {
    return this.#sync.mutex(name)
  }
  /** The mutex at this address: the MutexWords inside an object of yours, zeroed at first. */
  mutexAt(address: number): Mutex {
    return this.#sync.mutexAt(address)
  }
  /** The completion of this name, or at this address (CompletionWords). */
  completion(name: string): Completion {
    return this.#sync.completion(name)
  }
  completionAt(address: number): Completion {
    return this.#sync.completionAt(address)
  }
  /** The condition of this name, or at this address (ConditionWords), to be waited for under `mutex`. */
  condition(name: string, mutex: Mutex): Condition {
    return this.#sync.condition(name, mutex)
  }
  conditionAt(address: number, mutex: Mutex): Condition {
    return this.#sync.conditionAt(address, mutex)
  }
  /** The semaphore of this name; who creates it gives it its permits, 0 to 2^24 - 1. */
  semaphore(name: string, permits: number): Semaphore {
    return this.#sync.semaphore(name, permits)
  }
  /** The semaphore at this address (SemaphoreWords, zeroed at first: no permits; see {@link initSemaphore}). */
  semaphoreAt(address: number): Semaphore {
    return this.#sync.semaphoreAt(address)
  }
  /** Gives the semaphore in zeroed memory its permits, before anybody uses it. */
  initSemaphore(address: number, permits: number): void {
    this.#sync.initSemaphore(this.memory, address, permits)
  }
  /** The sequence lock of this name, or at this address (SeqlockWords). */
  seqlock(name: string): Seqlock {
    return this.#sync.seqlock(name)
  }
  seqlockAt(address: number): Seqlock {
    return this.#sync.seqlockAt(address)
  }

  /**
   * Takes `bytes` of the heap that all threads share, 1 to 4 MiB; its address is a multiple of 8, or of `align`. The memory is
   * *in flight*: freed should this thread die, until it is kept ({@link keep}) or freed.
   *
   * Cost: up to 2048 bytes some ns, no lock; see docs/alloc.md.
   * @throws OutOfMemoryError; ArgumentError; LockTimeoutError if another thread died in the middle of a change and cannot be
   *   cleaned up after meanwhile; in debug mode HeapCorruptionError.
   */
  alloc(bytes: number, request?: AllocationRequest): number {
    return this.#alloc.heap.alloc(bytes, request)
  }
  /**
   * Gives memory of {@link alloc}, or an object of a cache, back; any CPU may if it is kept. The caller sees to it that nobody still reads it, and
   * that no section is open which has kept or disowned it.
   *
   * @throws DoubleFreeError, ForeignAddressError; in debug mode HeapCorruptionError. Nothing is changed then.
   */
  free(address: number): void {
    this.#alloc.heap.free(address)
  }
  /**
   * From now on what lies at `address` outlives this thread. Given a `section`, when that is committed: the one that links it.
   * Without, before others can find it.
   *
   * @throws ForeignAddressError unless it is in flight with this CPU, or kept already.
   */
  keep(address: number, section?: Undoable): void {
    this.#alloc.heap.keep(address, section)
  }
  /** The opposite of {@link keep}, for what is being unlinked, and freed after the section. */
  disown(address: number, section?: Undoable): void {
    this.#alloc.heap.disown(address, section)
  }
  /**
   * The cache of this name, of objects of this struct, for all threads. Look it up once, not in loops.
   *
   * @throws CacheMismatchError if it exists for something else; ArgumentError; OutOfMemoryError.
   */
  cache(name: string, layout: Pick<Struct, 'size' | 'align' | 'hash'>): Cache {
    return this.#alloc.heap.cache(name, layout)
  }
  /**
   * What {@link alloc} and caches gave and nobody freed, and who has it; in debug mode with labels. A snapshot; takes time in proportion.
   *
   * @throws HeapCorruptionError in debug mode, if something was written outside an object.
   */
  leaks(): Allocation[] {
    return this.#alloc.heap.allocations()
  }
  /** Of what the heap consists. A snapshot; takes time in proportion. */
  heapReport(): HeapReport {
    return this.#alloc.heap.report()
  }
  /** Gives what this CPU keeps for itself back to all: free objects, free pages, slabs without objects. */
  shrinkHeap(): void {
    this.#alloc.heap.shrink()
  }
  /** Blocks of pages. */
  get pages(): PageAllocator {
    // Nothing of a CPU that went offline.
    this.checkCpus([])
    return this.#alloc.pages
  }

  /** The locks that a CPU holds or waits for. A snapshot: for a CPU that runs, a guess. */
  locksOf(cpu: number): readonly LockInterest[] {
    const [checked = cpu] = this.checkCpus(cpu)
    return this.#sync.interestsOf(checked)
  }
}

/** What `boot` takes; the record has every option, so that none is forgotten here. */
const bootOptions: OptionNames<BootOptions> = {
  memory: true,
  cpus: true,
  nodes: true,
  smp: true,
  mmu: true,
  debugHeap: true,
  journal: true,
  doorbell: true,
  percpu: true,
  thread: true,
  buffer: true,
}

/** Types and names; the layers check the rest. */
function checkBootOptions(options: BootOptions): void {
  checkOptions('boot', options, bootOptions, ['thread', 'buffer'])
  checkOptions('percpu of boot', options.percpu, { unit: true, reserved: true })
  for (const name of ['smp', 'mmu', 'debugHeap'] as const) checkFlag(name, options[name])
}

/**
 * Makes a machine; the calling thread becomes its CPU 0, online.
 *
 * @throws ArgumentError for options out of range or contradicting each other; UnsupportedError where there is no
 *   SharedArrayBuffer, or not enough address space for one of this size.
 */
export function boot(options: BootOptions = {}): Machine {
  checkBootOptions(options)
  return bootMachine(options, (parts) => new Machine(parts, makeLayers(options)))
}

/**
 * Makes the calling thread a CPU of the machine behind `handle`: the lowest free number comes online.
 *
 * @throws BadHandleError, VersionMismatchError, TruncatedBufferError, ForeignBufferError, AlreadyJoinedError, NoFreeCpuError;
 *   ArgumentError for an option that there is not.
 */
export function join(handle: MachineHandle, options: JoinOptions = {}): Machine {
  checkOptions('join', options, { doorbell: true, thread: true }, ['thread'])
  return joinMachine(handle, options, (parts) => new Machine(parts, makeLayers()))
}
