/**
 * Notes of all CPUs, side by side in one named object: what each is about to do, and the lock that
 * it has. They are made when the first thread needs them, so a machine without has no memory of
 * them.
 */
import { load32 } from '#mem'
import type { Directory } from '../bootmem/directory.js'
import { openBootMemory } from '../bootmem/layer.js'
import type { Recovery } from '../cpus/layer.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import type { AnyStruct } from '../layout/index.js'
import { ObjectMissingError } from '../machine/errors.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { tokenOf } from '../machine/token.js'
import { releaseAnnounced, type LayerLock } from '../sync/layer-lock.js'
import type { SyncLayer } from '../sync/layer.js'

/** A CPU's note: its word index, and a lock that is announced in it. */
export interface OwnNote {
  readonly note: number
  readonly lock: LayerLock
}

export class NotesArea {
  readonly #name: string
  readonly #struct: AnyStruct

  /** `name`: of the object, `percpu.` and what it is for. `struct` begins with an announcement. */
  constructor(name: string, struct: AnyStruct) {
    this.#name = name
    this.#struct = struct
  }

  /** Makes it, unless it is there. @throws OutOfMemoryError; LockTimeoutError. */
  make({ map }: OwnCpu, objects: Directory): void {
    objects.openOrCreate(this.#name, this.#spec(map.cpus))
  }
  /** That of this thread, once they are made. */
  use(own: OwnCpu, objects: Directory, sync: SyncLayer): OwnNote {
    const { table, cpu, incarnation, map } = own
    const note = this.#noteOf(objects, map.cpus, cpu) ?? 0
    return { note, lock: sync.lockOf(table, cpu, incarnation, note) }
  }

  /** Word index of a dead CPU's note, if there is any. */
  of({ table, cpu, incarnation }: Recovery): number | undefined {
    return this.#noteOf(openBootMemory(table, cpu, incarnation).objects, table.map.cpus, cpu)
  }
  /** As {@link of}, if the CPU was at anything: its word with index `operation` is not 0. */
  busyOf(recovery: Recovery, operation: number): number | undefined {
    const note = this.of(recovery)
    if (note === undefined) return undefined
    return load32(recovery.table.memory.i32, note + operation) === 0 ? undefined : note
  }
  /** What the dead CPU had locked is free. `locks`: where in its note it announces locks. */
  release(recovery: Recovery, locks: readonly number[] = [0]): void {
    const note = this.of(recovery)
    if (note === undefined) return
    const { table, cpu, incarnation } = recovery
    for (const lock of locks) releaseAnnounced(table.memory, note + lock, tokenOf(cpu, incarnation))
  }

  /** All notes, as `cpu[0].` and `label`. */
  structs({ map }: OwnCpu, objects: Directory, label: string): PlacedStruct[] {
    const placed: PlacedStruct[] = []
    for (let cpu = 0; cpu < map.cpus; cpu++) {
      const note = this.#noteOf(objects, map.cpus, cpu)
      if (note === undefined) break
      placed.push({ name: `cpu[${cpu}].${label}`, address: note * 4, struct: this.#struct })
    }
    return placed
  }

  /** Word index; undefined if nobody has needed them yet. */
  #noteOf(objects: Directory, cpus: number, cpu: number): number | undefined {
    try {
      return (objects.open(this.#name, this.#spec(cpus)) + cpu * this.#struct.stride) / 4
    } catch (error) {
      if (error instanceof ObjectMissingError) return undefined
      throw error
    }
  }
  #spec(cpus: number): { type: string; layout: { name: string; size: number; align: number; hash: number } } {
    const { name, stride, align, hash } = this.#struct
    return { type: name, layout: { name, size: cpus * stride, align, hash } }
  }
}
