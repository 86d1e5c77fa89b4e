/** The layer: its memory, what the calling thread locks with, and its part in going and dying. */
import type { LayerContext } from '../bootmem/layer.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { tokenOf } from '../machine/token.js'
import { LockHeldError } from './errors.js'
import { Level } from './layer-lock.js'
import { lockStateOf, type LockState } from './lock-state.js'
import { recoverSync } from './recovery.js'
import { SyncCore } from './state.js'
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
  readonly core: SyncCore
  /**
   * Byte addresses of locks that a layer takes, or waits for, and no user asked for. Nobody is told
   * of them when the CPU goes offline.
   */
  readonly background = new Set<number>()

  constructor(context: LayerContext) {
    const { own, objects } = context
    this.context = context
    this.map = SyncMap.open(own.memory, objects)
    this.core = new SyncCore(own, this.map)
  }

  /**
   * Locks still held are released as those of a dead CPU are.
   *
   * @throws LockHeldError if there were any, after that.
   */
  detach(): void {
    const { table, doorbell, cpu, incarnation } = this.context.own
    this.core.waiting.close()
    const recovery = { table, ringer: doorbell.ringer, cpu, incarnation }
    const { interests: all, released, restored } = recoverSync(recovery, this.map)
    this.core.sections.abandon()
    const interests = all.filter((address) => !this.background.has(address)).length
    if (interests === 0) return
    throw new LockHeldError(
      `CPU ${cpu} went offline with ${interests} locks held or waited for; they were released and its open sections taken back`,
      { cpu, interests, released, restored },
    )
  }

  abandon(): void {
    this.core.waiting.close()
    this.core.sections.abandon()
  }

  recover(recovery: Recovery): void {
    recoverSync(recovery, this.map)
  }

  structs(): readonly PlacedStruct[] {
    return this.map.structs(this.context.own.map.cpus)
  }

  /** How a CPU, or its reaper through its own table, works under the lock of a layer. */
  level(table: CpuTable, cpu: number, incarnation: number, level: number): Level {
    return new Level(table.memory, this.map.level(cpu, level), tokenOf(cpu, incarnation))
  }

  /**
   * Waiting for a change of words of a layer. `mask`: word index of a mask of waiters; `address`:
   * byte address of the object whose it is.
   */
  queue(mask: number, address: number, name: string): WaitQueue {
    return new WaitQueue(this.core, mask, address, name)
  }

  /** For watchers: the locks of any CPU, read through any table. */
  lockState(table: CpuTable, cpu: number): LockState {
    return lockStateOf(table, this.map, cpu)
  }
}
