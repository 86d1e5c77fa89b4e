/**
 * Locks for explorations: the shipped modules of the sync layer over a bare memory, with real
 * doorbells and idle stretches, and without a machine around them, whose joining would be most of
 * every execution.
 */
import assert from 'node:assert/strict'
import { mem, type CpuContext, type Scenario } from 'percpu-lab'
import type { Memory } from 'percpu/mem'
import type { SyncState as State } from '../../../../dist/sync/state.js'
import type { RecoveryResult } from '../../../../dist/sync/recovery.js'

// Loaded after the lab, which puts its own memory accesses under them.
const { Cpu } = await import('../../../../dist/machine/layouts.js')
const { Doorbell } = await import('../../../../dist/cpus/doorbell.js')
const { Ringer } = await import('../../../../dist/cpus/ringer.js')
const { Idle } = await import('../../../../dist/cpus/idle.js')
const layouts = await import('../../../../dist/sync/layouts.js')
const { SyncState } = await import('../../../../dist/sync/state.js')
const { recoverSync } = await import('../../../../dist/sync/recovery.js')
const { LayerLock, recoverLayerLocks } = await import('../../../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../../../dist/sync/sync-map.js')
const { Mutex } = await import('../../../../dist/sync/mutex.js')
const { Completion } = await import('../../../../dist/sync/completion.js')
const { Condition } = await import('../../../../dist/sync/condition.js')
const { Semaphore } = await import('../../../../dist/sync/semaphore.js')
const { Seqlock } = await import('../../../../dist/sync/seqlock.js')
const { packValue } = await import('../../../../dist/sync/semaphore-words.js')

type Struct = Parameters<Scenario['name']>[2]
type OwnCpu = ConstructorParameters<typeof SyncState>[0]
type Table = OwnCpu['table']
/** Entries of each journal. */
const JOURNAL = 8
/** The layer whose lock explorations use. */
const LAYER = 1

/** The declarations of the library leave the constructors of its locks out. */
type Constructor<Lock> = new (state: State, word: number, name: string, ...rest: unknown[]) => Lock
const open =
  <Lock>(lock: { readonly prototype: Lock }) =>
  (state: State, word: number, ...rest: unknown[]): Lock =>
    new (lock as unknown as Constructor<Lock>)(state, word, 'it', ...rest)
export const openMutex = open(Mutex)
export const openCompletion = open(Completion)
export const openCondition = open(Condition)
export const openSemaphore = open(Semaphore)
export const openSeqlock = open(Seqlock)

/** Threads of an exploration may block: whether they may is no step worth exploring. */
class ReadyIdle extends Idle {
  override mayBlock(): boolean {
    return true
  }
}

/** The memory of `cpus` CPUs: a doorbell, a list of heldLocks and a journal for each, and locks. */
export class Locks {
  readonly memory: Memory
  readonly #t: Scenario
  readonly #table: Table
  readonly #map: ReturnType<typeof SyncMap.create>
  readonly #locks: { readonly base: number; readonly type: Struct }[] = []
  readonly #cpus: number

  constructor(t: Scenario, cpus: number) {
    this.#t = t
    this.#cpus = cpus
    this.memory = t.shared
    const stride = Cpu.stride / 4
    const { base } = t.words(cpus * stride)
    const record = (cpu: number): number => base + cpu * stride
    this.#table = { memory: this.memory, map: { cpus, id: 1 }, record } as unknown as Table
    for (let cpu = 0; cpu < cpus; cpu++) {
      t.name(this.memory, record(cpu) * 4, Cpu, `cpu${cpu}`)
      mem.storeAtomic32(this.memory.i32, record(cpu) + Cpu.words.parkedOn, -1)
    }
    this.#map = SyncMap.create(this.memory, this.#objects(), cpus, JOURNAL)
    for (let cpu = 0; cpu < cpus; cpu++) this.#nameSync(this.#map.record(cpu) * 4, cpu)
  }

  /** Stands for the machine's directory of named objects. */
  #objects(): Parameters<typeof SyncMap.create>[1] {
    const create = (
      _name: string,
      {
        layout,
        init,
      }: { readonly layout: { readonly size: number }; readonly init: (address: number) => void },
    ): number => {
      const address = this.#t.words(layout.size / 4).base * 4
      init(address)
      return address
    }
    return { create } as unknown as Parameters<typeof SyncMap.create>[1]
  }

  #nameSync(address: number, cpu: number): void {
    const { SyncCpu, JournalEntry } = layouts
    this.#t.name(this.memory, address, SyncCpu, `sync${cpu}`)
    for (let i = 0; i < JOURNAL; i++) {
      const entry = address + SyncCpu.stride + i * JournalEntry.stride
      this.#t.name(this.memory, entry, JournalEntry, `sync${cpu}.journal[${i}]`)
    }
  }

  /**
   * What the code of one CPU uses, made in its body. `hears`: also while it does not block, by its
   * event loop.
   */
  state(cpu: number | CpuContext, hears = false): State {
    if (typeof cpu !== 'number') return cpu.prepare(() => this.state(cpu.number, hears))
    const doorbell = new Doorbell(this.#table, cpu)
    if (hears) doorbell.start('waitAsync')
    const nothing = { goIdle: () => undefined, comeBack: () => undefined } as never
    const idle = new ReadyIdle(this.#table, cpu, doorbell, nothing, nothing)
    const gracePeriods = { stalls: { warning: () => '' } }
    const cpuOf = { cpu, incarnation: 1, table: this.#table, holdsNumber: () => true }
    const own = { ...cpuOf, doorbell, idle, gracePeriods }
    return new SyncState(own as unknown as OwnCpu, this.#map)
  }

  /**
   * How a CPU, or its reaper, works under the locks of a layer; it waits for locks for about so
   * many naps.
   */
  layerLock(cpu: number, naps = 1): InstanceType<typeof LayerLock> {
    return new LayerLock(this.memory, this.#map.layerRecord(cpu, LAYER), (1 << 8) | cpu, naps * 0.055)
  }
  spinlock(name = 'spinlock'): number {
    return this.lock(layouts.SpinlockLayout, name)
  }

  /** What the reaper of `cpu` does for this layer. */
  recover(cpu: number): RecoveryResult {
    const recovery = { table: this.#table, ringer: new Ringer(this.#table), cpu, incarnation: 1 }
    return recoverSync(recovery, this.#map)
  }

  /** That part of it which is about the locks of layers. */
  recoverLayerLocks(cpu: number): void {
    recoverLayerLocks(this.memory, this.#map, cpu, (1 << 8) | cpu)
  }

  /** Word index of a new lock. */
  lock(type: Struct, name: string): number {
    const { base } = this.#t.words(type.size / 4)
    this.#t.name(this.memory, base * 4, type, name)
    this.#locks.push({ base, type })
    return base
  }
  mutex(name = 'mutex'): number {
    return this.lock(layouts.MutexLayout, name)
  }
  completion(name = 'completion'): number {
    return this.lock(layouts.CompletionLayout, name)
  }
  condition(name = 'condition'): number {
    return this.lock(layouts.ConditionLayout, name)
  }
  seqlock(name = 'seqlock'): number {
    return this.lock(layouts.SeqlockLayout, name)
  }
  semaphore(permits: number, name = 'semaphore'): number {
    const base = this.lock(layouts.SemaphoreLayout, name)
    mem.storeAtomicU64(this.memory.u64, base / 2, packValue(permits, 0, 0))
    mem.storeU32(this.memory.u32, base + layouts.SemaphoreLayout.words.total, permits)
    return base
  }

  /** Words of kind locked, say. */
  words(count: number, initial = 0): number {
    const { base } = this.#t.words(count)
    for (let i = 0; i < count; i++) mem.store32(this.memory.i32, base + i, initial)
    return base
  }

  /** At the end: nobody holds anything, waits for anything, or has a section open. */
  assertIdle(): void {
    const { i32 } = this.memory
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      const record = this.#map.record(cpu)
      for (let place = 0; place < layouts.HELD_LOCK_ENTRIES; place++) {
        const at = record + layouts.SyncCpu.words.heldLocks + (place * layouts.HeldLockEntry.stride) / 4
        assert.equal(mem.load32(i32, at), 0, `CPU ${cpu} has a held lock left`)
      }
      assert.equal(
        mem.load32(i32, record + layouts.SyncCpu.words.journalLength),
        0,
        `the journal of CPU ${cpu}`,
      )
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      const record = this.#map.layerRecord(cpu, LAYER)
      assert.equal(mem.load32(i32, record + layouts.LayerRecord.words.lock), 0, `CPU ${cpu} has a lock noted`)
      assert.equal(
        mem.load32(i32, record + layouts.LayerRecord.words.length),
        0,
        `CPU ${cpu} has changes noted`,
      )
    }
    for (const { base, type } of this.#locks) {
      if (type.name === 'SpinlockLayout') assert.equal(mem.load32(i32, base), 0, 'the spinlock is held')
      if (type.name === 'MutexLayout') this.assertFree(base)
      if (type.name === 'SeqlockLayout') {
        this.assertFree(base + layouts.SeqlockLayout.words.mutex)
        assert.equal(mem.load32(i32, base) & 1, 0, 'the sequence is odd')
      }
    }
  }

  /** A mutex that nobody holds, waits for or has reserved. */
  assertFree(word: number): void {
    const { OWNER_DIED, WAITERS } = flags
    const owner = mem.load32(this.memory.i32, word)
    assert.equal(
      owner & ~(OWNER_DIED | WAITERS),
      0,
      `the mutex is held or reserved: 0x${(owner >>> 0).toString(16)}`,
    )
    const words = layouts.MutexLayout.size / 4 - 1
    for (let i = 1; i <= words; i++)
      assert.equal(mem.load32(this.memory.i32, word + i), 0, `word ${i} of the mutex`)
  }
}
const flags = await import('../../../../dist/sync/mutex-words.js')

export function isTimeout(error: unknown): boolean {
  return (error as { code?: string }).code === 'PERCPU_LOCK_TIMEOUT'
}
