import { loadAtomic32, storeAtomicU64, storeU32 } from '#mem'
import type { NamedThing } from '../bootmem/names.js'
import { ArgumentError } from '../errors.js'
import { showAs } from '../inspect.js'
import type { Struct } from '../layout/index.js'
import { checkCpu, checkInstance, checkPlace, checkRange, checkText, shown } from '../machine/check.js'
import { NameInUseError } from '../machine/errors.js'
import { Completion } from './completion.js'
import { Condition } from './condition.js'
import { KIND_MUTEX, KIND_SEMAPHORE, KIND_SEQLOCK, readHeldLocks } from './held-locks.js'
import type { SyncLayer } from './layer.js'
import { CompletionLayout, ConditionLayout, MutexLayout, SemaphoreLayout, SeqlockLayout } from './layouts.js'
import { Mutex } from './mutex.js'
import { ownerCpu } from './mutex-words.js'
import { Semaphore } from './semaphore.js'
import { layouts, useOf, type LockKind } from './named-locks.js'
import { MAX_PERMITS, packValue } from './semaphore-words.js'
import { Seqlock } from './seqlock.js'
import type { SyncState } from './state.js'
import { ofThisThread } from '../unsendable.js'

type Layout = Pick<Struct, 'name' | 'size' | 'align' | 'hash'>

/** A lock that this thread has an object for. */
interface Known {
  readonly lock: WeakRef<object>
  /** What it was found as, if it was found by a name. */
  named: { readonly kind: LockKind; readonly thing: NamedThing } | undefined
}

/** A lock that a CPU holds or waits for; a snapshot, which may be torn while the CPU runs. */
export interface HeldLock {
  /** Byte address of the lock. */
  readonly address: number
  readonly kind: 'mutex' | 'seqlock' | 'semaphore' | 'queue'
  /** Of a mutex or seqlock: the CPU that has it locked. */
  readonly owner: number | undefined
}

/**
 * `machine.locks`: locks that survive their thread, by name or inside objects of yours. Each kind
 * has names of its own, of 1 to 56 bytes of UTF-8; there may be millions. Look a lock up once, not
 * in loops: that takes some microseconds.
 *
 * An address is that of a zeroed struct of the lock's layout, such as `MutexLayout`. In methods
 * that take one, `name` is the name of the lock in errors.
 */
export class Locks {
  static {
    showAs(this, (locks) => ({ held: locks.heldBy(locks.#layer.state.cpu).length }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly #layer: SyncLayer
  /** One object for each lock, so that all users of one thread share its state. */
  readonly #objects = new Map<string, Known>()
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (this.#objects.get(key)?.lock.deref() === undefined) this.#objects.delete(key)
  })

  /** @internal */
  constructor(layer: SyncLayer) {
    this.#layer = layer
  }

  /**
   * The mutex of this name, for all threads.
   *
   * @throws ArgumentError for a bad name; OutOfMemoryError; OfflineError; LockTimeoutError as
   *   `heap.alloc`.
   */
  mutex(name: string): Mutex {
    return this.#shareNamed(Mutex, 'mutex', this.#named('mutex', name), `mutex ${shown(name)}`)
  }
  /**
   * The mutex in the MutexLayout at this address.
   *
   * @throws ArgumentError for an address that cannot be one; OfflineError.
   */
  mutexAt(address: number, name = `mutex at ${shown(address)}`): Mutex {
    return this.#share(Mutex, address, MutexLayout, name)
  }

  /**
   * The completion of this name, for all threads.
   *
   * @throws ArgumentError for a bad name; OutOfMemoryError; OfflineError; LockTimeoutError as
   *   `heap.alloc`.
   */
  completion(name: string): Completion {
    const thing = this.#named('completion', name)
    return this.#shareNamed(Completion, 'completion', thing, `completion ${shown(name)}`)
  }
  /**
   * The completion in the CompletionLayout at this address.
   *
   * @throws ArgumentError for an address that cannot be one; OfflineError.
   */
  completionAt(address: number, name = `completion at ${shown(address)}`): Completion {
    return this.#share(Completion, address, CompletionLayout, name)
  }

  /**
   * The condition of this name, to be waited for under `mutex`.
   *
   * @throws ArgumentError for a bad name, or if it belongs to another mutex;
   *   OutOfMemoryError; OfflineError; LockTimeoutError as `heap.alloc`.
   */
  condition(name: string, mutex: Mutex): Condition {
    checkMutex(mutex)
    const thing = this.#named('condition', name)
    const label = `condition ${shown(name)}`
    return ofMutex(this.#shareNamed(Condition, 'condition', thing, label, mutex), mutex, label)
  }
  /**
   * The condition in the ConditionLayout at this address, to be waited for under `mutex`.
   *
   * @throws ArgumentError for an address that cannot be one, or if it belongs to another mutex;
   *   OfflineError.
   */
  conditionAt(address: number, mutex: Mutex, name = `condition at ${shown(address)}`): Condition {
    checkMutex(mutex)
    return ofMutex(this.#share(Condition, address, ConditionLayout, name, mutex), mutex, name)
  }

  /**
   * The sequence lock of this name, for all threads.
   *
   * @throws ArgumentError for a bad name; OutOfMemoryError; OfflineError; LockTimeoutError as
   *   `heap.alloc`.
   */
  seqlock(name: string): Seqlock {
    return this.#shareNamed(Seqlock, 'seqlock', this.#named('seqlock', name), `seqlock ${shown(name)}`)
  }
  /**
   * The sequence lock in the SeqlockLayout at this address.
   *
   * @throws ArgumentError for an address that cannot be one; OfflineError.
   */
  seqlockAt(address: number, name = `seqlock at ${shown(address)}`): Seqlock {
    return this.#share(Seqlock, address, SeqlockLayout, name)
  }

  /**
   * The semaphore of this name, for all threads. The first thread to ask for it makes it, with so
   * many permits, 0 to 2^24 - 1.
   *
   * @throws ArgumentError for a bad name or number, or if it exists with another number of permits;
   *   OutOfMemoryError; OfflineError; LockTimeoutError as `heap.alloc`.
   */
  semaphore(name: string, permits: number): Semaphore {
    const init = (address: number): void => this.initSemaphore(address, permits)
    checkPermits(permits)
    const thing = this.#named('semaphore', name, init)
    const semaphore = this.#shareNamed(Semaphore, 'semaphore', thing, `semaphore ${shown(name)}`)
    const { total } = semaphore
    if (total === permits) return semaphore
    throw new ArgumentError(`permits: semaphore ${shown(name)} has ${total}, not ${permits}`, {
      permits,
      total,
    })
  }
  /**
   * The semaphore in the SemaphoreLayout at this address: no permits, unless {@link initSemaphore}
   * gave some.
   *
   * @throws ArgumentError for an address that cannot be one; OfflineError.
   */
  semaphoreAt(address: number, name = `semaphore at ${shown(address)}`): Semaphore {
    return this.#share(Semaphore, address, SemaphoreLayout, name)
  }
  /**
   * Gives the semaphore in zeroed memory its permits, 0 to 2^24 - 1, before anybody uses it.
   *
   * @throws ArgumentError for a bad number, or an address that cannot be one; OfflineError.
   */
  initSemaphore(address: number, permits: number): void {
    checkPermits(permits)
    const { memory } = this.#layer.state
    checkPlace('address', address, memory, SemaphoreLayout)
    storeU32(memory.u32, address / 4 + SemaphoreLayout.words.total, permits)
    // atomic: before anybody can find it.
    storeAtomicU64(memory.u64, address / 8, packValue(permits, 0, 0))
  }

  /**
   * The locks that a CPU holds or waits for. A snapshot: for a CPU that runs, a guess.
   *
   * @throws ArgumentError for a CPU that is not possible; OfflineError.
   */
  heldBy(cpu: number): readonly HeldLock[] {
    const { state, map } = this.#layer
    state.waiting.assertOpen()
    return readHeldLocks(state.memory, map.record(checkCpu(cpu, state.cpus))).map(({ lock, kind }) => ({
      address: lock * 4,
      kind: nameOf(kind),
      // atomic: a snapshot for watchers.
      owner: isOwned(kind) ? ownerCpu(loadAtomic32(state.memory.i32, lock)) : undefined,
    }))
  }

  /**
   * Takes the name of a lock away: it is free again, and nobody finds the lock any more. Its memory
   * is freed after a grace period. The caller sees to it that no thread uses the lock after that.
   *
   * @throws NameInUseError while it is held or waited for; ObjectMissingError; ArgumentError;
   *   OfflineError; LockTimeoutError as `heap.alloc`.
   */
  remove(kind: LockKind, name: string): void {
    const { state, context } = this.#layer
    state.waiting.assertOpen()
    if (typeof kind !== 'string' || !Object.hasOwn(layouts, kind))
      throw new ArgumentError(`kind: ${shown(kind)} is none of ${Object.keys(layouts).join(', ')}`, { kind })
    let removed = 0
    context.names.remove(kind, name, (address) => {
      const use = useOf(state.memory, kind, address / 4)
      if (use !== undefined)
        throw new NameInUseError(`${kind} ${shown(name)} is ${use}: it was not removed`, { kind, name })
      removed = address
    })
    this.#objects.delete(keyOf(layouts[kind], removed))
  }

  #named(kind: LockKind, name: string, init: (address: number) => void = () => undefined): NamedThing {
    this.#layer.state.waiting.assertOpen()
    return this.#layer.context.names.openOrCreate(kind, name, { type: kind, layout: layouts[kind], init })
  }
  #shareNamed<T extends object, Rest extends unknown[]>(
    Lock: new (state: SyncState, word: number, name: string, ...rest: Rest) => T,
    kind: LockKind,
    thing: NamedThing,
    name: string,
    ...rest: Rest
  ): T {
    const key = keyOf(layouts[kind], thing.address)
    const known = this.#objects.get(key)
    const same = known?.named?.thing.serial === thing.serial ? known.lock.deref() : undefined
    if (same instanceof Lock) return same
    const lock = this.#share(Lock, thing.address, layouts[kind], name, ...rest)
    const shared = this.#objects.get(key)
    if (shared) shared.named = { kind, thing }
    return lock
  }

  /** The object of this thread for the lock at `address`. */
  #share<T extends object, Rest extends unknown[]>(
    Lock: new (state: SyncState, word: number, name: string, ...rest: Rest) => T,
    address: number,
    layout: Layout,
    name: string,
    ...rest: Rest
  ): T {
    const { state } = this.#layer
    state.waiting.assertOpen()
    checkPlace('address', address, state.memory, layout)
    checkText('name', name)
    const key = keyOf(layout, address)
    const known = this.#known(key)
    if (known instanceof Lock) return known
    const made = new Lock(state, address / 4, name, ...rest)
    this.#objects.set(key, { lock: new WeakRef(made), named: undefined })
    this.#collected.register(made, key)
    return made
  }
  /** Not one whose name another thread has taken away: its memory may be another lock's by now. */
  #known(key: string): object | undefined {
    const known = this.#objects.get(key)
    const { names } = this.#layer.context
    // Mutant: sync/removed-lock-known.
    if (known?.named && !names.has(known.named.kind, known.named.thing)) this.#objects.delete(key)
    return this.#objects.get(key)?.lock.deref()
  }
}

function keyOf({ name }: Layout, address: number): string {
  return `${name} ${address}`
}
function ofMutex(condition: Condition, mutex: Mutex, name: string): Condition {
  if (condition.mutex === mutex) return condition
  const { address } = condition
  throw new ArgumentError(`${name} belongs to ${condition.mutex.name}, not to ${mutex.name}`, { address })
}
/** Before anything is made: a condition without its mutex would stay the one of its name. */
function checkMutex(mutex: unknown): void {
  checkInstance('mutex', mutex, Mutex, 'not a mutex: a condition is waited for under one')
}
function checkPermits(permits: number): void {
  checkRange('permits', permits, 0, MAX_PERMITS)
}
function nameOf(kind: number): HeldLock['kind'] {
  if (kind === KIND_MUTEX) return 'mutex'
  if (kind === KIND_SEQLOCK) return 'seqlock'
  return kind === KIND_SEMAPHORE ? 'semaphore' : 'queue'
}
function isOwned(kind: number): boolean {
  return kind === KIND_MUTEX || kind === KIND_SEQLOCK
}
