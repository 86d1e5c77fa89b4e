/** The layer: its memory, what the calling thread locks with, and its part in going and dying. */
import type { LayerContext } from '../bootmem/layer.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { ownOsThread } from '../machine/os-thread.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { cpuOf, tokenOf } from '../machine/token.js'
import { LockHeldError } from './errors.js'
import { LayerLock, LOCK_TIMEOUT, recoverLayerLocks } from './layer-lock.js'
import { readHeldLocks } from './held-locks.js'
import { lockStateOf, type LockState } from './lock-state.js'
import { Patience, type OwnerState, type Rescue } from './patience.js'
import { forgetLocks, recoverSync } from './recovery.js'
import { SyncState } from './state.js'
import { SyncMap } from './sync-map.js'
import { WaitQueue } from './wait-queue.js'

/** At boot. `journal`: entries of each CPU's undo journal. @throws ArgumentError. */
export function bootSync({ own, objects }: LayerContext, journal: number | undefined): void {
  SyncMap.create(own.memory, objects, own.map.cpus, journal)
}

export class SyncLayer implements AttachedLayer {
  readonly name = 'sync'
  readonly context: LayerContext
  readonly map: SyncMap
  readonly state: SyncState
  /**
   * Byte addresses of locks that a layer takes, or waits for, and no user asked for. Nobody is told
   * of them when the CPU goes offline.
   */
  readonly background = new Set<number>()

  constructor(context: LayerContext) {
    const { own, objects } = context
    this.context = context
    this.map = SyncMap.open(own.memory, objects)
    this.state = new SyncState(own, this.map)
  }

  /**
   * Locks still held are released as those of a dead CPU are.
   *
   * @throws LockHeldError if there were any, after that.
   */
  detach(): void {
    const { table, doorbell, cpu, incarnation } = this.context.own
    this.state.waiting.close()
    const recovery = { table, ringer: doorbell.ringer, cpu, incarnation }
    const { heldLocks: all, released, restored } = this.#recoverOwn(recovery)
    this.state.sections.abandon()
    const heldLocks = all.filter((address) => !this.background.has(address)).length
    if (heldLocks === 0) return
    throw new LockHeldError(
      `CPU ${cpu} went offline with ${heldLocks} locks held or waited for; they were released and its open sections taken back`,
      { cpu, heldLocks, released, restored },
    )
  }

  #recoverOwn(recovery: Recovery): ReturnType<typeof recoverSync> {
    try {
      return recoverSync(recovery, this.map)
    } finally {
      forgetLocks(recovery, this.map)
    }
  }

  abandon(): void {
    this.state.waiting.close()
    this.state.sections.abandon()
  }

  rescue({ table, cpu, incarnation }: Recovery): void {
    recoverLayerLocks(table.memory, this.map, cpu, tokenOf(cpu, incarnation))
  }

  recover(recovery: Recovery): void {
    recoverSync(recovery, this.map)
  }
  release(recovery: Recovery): void {
    forgetLocks(recovery, this.map)
  }

  structs(): readonly PlacedStruct[] {
    return this.map.structs(this.context.own.map.cpus)
  }

  /**
   * How a CPU, or its reaper through its own table, works under the locks of a layer: LAYER_PAGES
   * and its like.
   */
  layerLock(table: CpuTable, cpu: number, incarnation: number, layer: number): LayerLock {
    return this.lockOf(table, cpu, incarnation, this.map.layerRecord(cpu, layer))
  }
  /**
   * As {@link layerLock}, for a layer that has its records itself. `record`: word index of that of
   * the CPU; without its journal if no section is begun.
   */
  lockOf(table: CpuTable, cpu: number, incarnation: number, record: number): LayerLock {
    const { ownerState, rescue } = this.#ownersOf(table)
    return new LayerLock(table.memory, record, tokenOf(cpu, incarnation), LOCK_TIMEOUT, ownerState, rescue)
  }
  /** For a wait for what the CPU with a token does, as for its lock. */
  patience(): Patience {
    const { ownerState, rescue } = this.#ownersOf(this.context.own.table)
    return new Patience(LOCK_TIMEOUT, ownerState, rescue)
  }
  #ownersOf(table: CpuTable): { readonly ownerState: OwnerState; readonly rescue: Rescue } {
    // A thread that is several CPUs would wait for itself.
    const isOther = (owner: number): boolean => {
      const other = cpuOf(owner)
      if (tokenOf(other, table.incarnation(other)) !== owner) return false
      return table.osThread(other, table.thread(other)) !== ownOsThread()
    }
    return {
      ownerState: (owner) => (isOther(owner) ? table.osState(cpuOf(owner)) : undefined),
      rescue: (owner) => {
        if (isOther(owner)) this.context.own.idle.tending?.rescue(cpuOf(owner))
      },
    }
  }

  /**
   * Waiting for a change of words of a layer. `mask`: word index of a mask of waiters; `address`:
   * byte address of the object whose it is.
   */
  queue(mask: number, address: number, name: string): WaitQueue {
    return new WaitQueue(this.state, mask, address, name)
  }

  /** Whether a CPU is in a queue with one of these words, or is just leaving it. */
  isListed(words: readonly number[]): boolean {
    const { memory } = this.state
    for (let cpu = 0; cpu < this.context.own.map.cpus; cpu++)
      if (readHeldLocks(memory, this.map.record(cpu)).some(({ lock }) => words.includes(lock))) return true
    return false
  }

  /** For watchers: the locks of any CPU, read through any table. */
  lockState(table: CpuTable, cpu: number): LockState {
    return lockStateOf(table, this.map, cpu, this.context.names)
  }
}
