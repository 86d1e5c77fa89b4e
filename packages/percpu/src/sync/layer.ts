/** The layer: its memory, its objects on one thread, and its part in coming, going and dying. */
import { loadAtomic32, storeAtomicU64, storeU32, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import { tokenOf } from '../machine/token.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { Layer, LayerContext, Recovery } from '../machine/layer.js'
import type { LockState } from '../watch/deadlocks.js'
import type { PlacedStruct } from '../machine/placed-structs.js'
import { Completion } from './completion.js'
import { Condition } from './condition.js'
import { SyncCore } from './state.js'
import { LockHeldError } from './errors.js'
import { readInterests, KIND_MUTEX, KIND_SEMAPHORE, KIND_SEQLOCK } from './held-locks.js'
import { CompletionWords, ConditionWords, MutexWords, SemaphoreWords, SeqlockWords } from './layouts.js'
import { lockStateOf } from './lock-state.js'
import { Mutex } from './mutex.js'
import { Level } from './layer-lock.js'
import { ownerCpu } from './mutex-words.js'
import { recoverSync } from './recovery.js'
import { Semaphore } from './semaphore.js'
import { MAX_PERMITS, packValue } from './semaphore-words.js'
import { Seqlock } from './seqlock.js'
import { SyncMap } from './sync-map.js'
import { WaitQueue } from './wait-queue.js'

type Words = Pick<typeof MutexWords, 'name' | 'size' | 'align' | 'hash'>

/** A lock that a CPU holds or waits for; a snapshot, which may be torn while the CPU runs. */
export interface LockInterest {
  /** Byte address of the lock. */
  readonly address: number
  readonly kind: 'mutex' | 'seqlock' | 'semaphore' | 'queue'
  /** Of a mutex or seqlock: who has it locked. */
  readonly owner: number | undefined
}

export class Sync implements Layer {
  readonly name = 'sync'
  readonly #journalEntries: number | undefined
  #map: SyncMap | undefined
  #core: SyncCore | undefined
  #context: LayerContext | undefined
  /** Byte addresses of locks that a layer takes, or waits for, and no user asked for: nobody is told of them at the end of the stay. */
  readonly background = new Set<number>()
  /** One object for each lock, so that all users of one thread share its state. */
  readonly #objects = new Map<string, WeakRef<object>>()
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (this.#objects.get(key)?.deref() === undefined) this.#objects.delete(key)
  })

  constructor(journalEntries: number | undefined) {
    this.#journalEntries = journalEntries
  }

  boot({ machine, table }: LayerContext): void {
    SyncMap.create(machine.memory, machine.objects, table.map.cpus, this.#journalEntries)
  }

  attach(context: LayerContext): void {
    const { machine } = context
    this.#context = context
    this.#map = SyncMap.open(machine.memory, machine.objects)
    this.#core = new SyncCore(context, this.#map)
  }

  /** Locks still held are released as those of a dead CPU are. */
  detach(): void {
    const { context, map, core } = this.#attached()
    core.waiting.close()
    const { cpu, incarnation } = context.machine
    const recovery = { table: context.table, ringer: context.doorbell.ringer, cpu, incarnation }
    const { interests: all, released, restored } = recoverSync(recovery, map)
    core.sections.abandon()
    const interests = all.filter((address) => !this.background.has(address)).length
    if (interests === 0) return
    throw new LockHeldError(
      `CPU ${cpu} went offline with ${interests} locks held or waited for; they were released and its open sections taken back`,
      { cpu, interests, released, restored },
    )
  }

  forsake(): void {
    const { core } = this.#attached()
    core.waiting.close()
    core.sections.abandon()
  }

  recover(recovery: Recovery): void {
    if (this.#map) recoverSync(recovery, this.#map)
  }

  structs(): readonly PlacedStruct[] {
    return this.#map && this.#context ? this.#map.structs(this.#context.table.map.cpus) : []
  }

  mutex(name: string): Mutex {
    return this.mutexAt(this.#object(name, 'Mutex', MutexWords), `mutex '${name}'`)
  }
  mutexAt(address: number, name = `mutex at ${address}`): Mutex {
    return this.#share(Mutex, address, MutexWords, name)
  }
  completion(name: string): Completion {
    return this.completionAt(this.#object(name, 'Completion', CompletionWords), `completion '${name}'`)
  }
  completionAt(address: number, name = `completion at ${address}`): Completion {
    return this.#share(Completion, address, CompletionWords, name)
  }
  condition(name: string, mutex: Mutex): Condition {
    checkMutex(mutex)
    return this.conditionAt(this.#object(name, 'Condition', ConditionWords), mutex, `condition '${name}'`)
  }
  conditionAt(address: number, mutex: Mutex, name = `condition at ${address}`): Condition {
    checkMutex(mutex)
    const condition = this.#share(Condition, address, ConditionWords, name, mutex)
    if (condition.mutex === mutex) return condition
    throw new ArgumentError(`${name} belongs to ${condition.mutex.name}, not to ${mutex.name}`, { address })
  }
  seqlock(name: string): Seqlock {
    return this.seqlockAt(this.#object(name, 'Seqlock', SeqlockWords), `seqlock '${name}'`)
  }
  seqlockAt(address: number, name = `seqlock at ${address}`): Seqlock {
    return this.#share(Seqlock, address, SeqlockWords, name)
  }
  semaphore(name: string, permits: number): Semaphore {
    const { memory } = this.#attached().core
    const init = (address: number): void => this.initSemaphore(memory, address, permits)
    checkPermits(permits)
    const address = this.#object(name, 'Semaphore', SemaphoreWords, init)
    const semaphore = this.semaphoreAt(address, `semaphore '${name}'`)
    const { total } = semaphore
    if (total === permits) return semaphore
    throw new ArgumentError(`permits: semaphore '${name}' has ${total}, not ${permits}`, { permits, total })
  }
  semaphoreAt(address: number, name = `semaphore at ${address}`): Semaphore {
    return this.#share(Semaphore, address, SemaphoreWords, name)
  }
  /** Gives the semaphore in zeroed memory its permits, before anybody uses it. */
  initSemaphore(memory: Memory, address: number, permits: number): void {
    checkPermits(permits)
    storeU32(memory.u32, address / 4 + SemaphoreWords.words.total, permits)
    // atomic: before anybody can find it.
    storeAtomicU64(memory.u64, address / 8, packValue(permits, 0, 0))
  }

  /** For layers: how a CPU, or its reaper through its own table, works at a level. */
  level(table: CpuTable, cpu: number, incarnation: number, level: number): Level {
    const { map } = this.#attached()
    return new Level(table.memory, map.level(cpu, level), tokenOf(cpu, incarnation))
  }

  /**
   * For layers: waiting for a change of words of theirs. `mask`: word index of a mask of waiters; `address`: byte address of the
   * object whose it is.
   */
  queue(mask: number, address: number, name: string): WaitQueue {
    return new WaitQueue(this.#attached().core, mask, address, name)
  }

  /** For watchers: the locks of any CPU, read through any table; none before this thread was attached. */
  lockState(table: CpuTable, cpu: number): LockState {
    return this.#map ? lockStateOf(table, this.#map, cpu) : { owned: [], awaited: [] }
  }

  /** What any CPU holds or waits for. */
  interestsOf(cpu: number): readonly LockInterest[] {
    const { core, map } = this.#attached()
    return readInterests(core.memory, map.record(cpu)).map(({ lock, kind }) => ({
      address: lock * 4,
      kind: nameOf(kind),
      // atomic: a snapshot for watchers.
      owner:
        kind === KIND_MUTEX || kind === KIND_SEQLOCK
          ? ownerCpu(loadAtomic32(core.memory.i32, lock))
          : undefined,
    }))
  }

  #attached(): { core: SyncCore; map: SyncMap; context: LayerContext } {
    if (!this.#core || !this.#map || !this.#context) throw new TypeError('the sync layer is not attached')
    return { core: this.#core, map: this.#map, context: this.#context }
  }

  #object(
    name: string,
    type: string,
    layout: Words,
    init: (address: number) => void = () => undefined,
  ): number {
    return this.#attached().context.machine.objects.openOrCreate(name, { type, layout, init })
  }

  /** The object of this thread for the lock at `address`. */
  #share<T extends object, Rest extends unknown[]>(
    Lock: new (core: SyncCore, word: number, name: string, ...rest: Rest) => T,
    address: number,
    layout: Words,
    name: string,
    ...rest: Rest
  ): T {
    const { core } = this.#attached()
    core.waiting.assertOpen()
    if (address % layout.align !== 0 || address <= 0 || !(address + layout.size <= core.memory.byteLength)) {
      throw new ArgumentError(
        `there is no ${layout.name} of ${layout.size} bytes, aligned to ${layout.align}, at ${address}`,
        { address, size: layout.size, align: layout.align },
      )
    }
    const key = `${layout.name} ${address}`
    const known = this.#objects.get(key)?.deref()
    if (known instanceof Lock) return known
    const made = new Lock(core, address / 4, name, ...rest)
    this.#objects.set(key, new WeakRef(made))
    this.#collected.register(made, key)
    return made
  }
}

/** Before anything is made: a condition without its mutex would stay the one of its name. */
function checkMutex(mutex: unknown): void {
  if (mutex instanceof Mutex) return
  throw new ArgumentError(`mutex: ${shown(mutex)} is not a mutex: a condition is waited for under one`, {
    mutex,
  })
}
function checkPermits(permits: number): void {
  if (Number.isInteger(permits) && permits >= 0 && permits <= MAX_PERMITS) return
  throw new ArgumentError(`permits: ${shown(permits)} is not a whole number from 0 to ${MAX_PERMITS}`, {
    permits,
  })
}
function nameOf(kind: number): LockInterest['kind'] {
  if (kind === KIND_MUTEX) return 'mutex'
  if (kind === KIND_SEQLOCK) return 'seqlock'
  return kind === KIND_SEMAPHORE ? 'semaphore' : 'queue'
}
