/**
 * Waits for grace periods, as each CPU records its own: which are under way, since when, and how
 * long those took that have ended. Any thread reads them.
 *
 * A slot is the CPU's while its incarnation is that of the CPU. So what a dead thread left says
 * nothing. Waits for more kinds at once than there are slots are not shown; all are counted.
 */
import { loadF64, loadU32, storeF64, storeU32, type Memory } from '#mem'
import type { CpuTable } from '../cpus/cpu-table.js'
import { SCHED, type WaitRecorder } from '../cpus/stall.js'
import type { Clock } from '../machine/clock.js'
import { count } from './histogram.js'
import { CpuWatch, RcuWait, RCU_WAITS } from './vpa-layout.js'
import type { WatchMap } from './watch-map.js'

const { words } = CpuWatch

/** Of one thread. */
export class WaitRecords implements WaitRecorder {
  readonly #memory: Memory
  readonly #watch: number
  readonly #incarnation: number
  readonly #clock: Clock

  /** `watch`: word index of the CPU's CpuWatch. */
  constructor(memory: Memory, watch: number, incarnation: number, clock: Clock) {
    this.#memory = memory
    this.#watch = watch
    this.#incarnation = incarnation
    this.#clock = clock
  }

  begin(key: number): number {
    const { u32, f64 } = this.#memory
    for (let slot = 0; slot < RCU_WAITS; slot++) {
      const at = slotAt(this.#watch, slot)
      if (keyOf(this.#memory, at, this.#incarnation) !== 0) continue
      storeF64(f64, at / 2 + RcuWait.offsets.since / 8, this.#clock.now())
      storeU32(u32, at + RcuWait.words.incarnation, this.#incarnation)
      storeU32(u32, at + RcuWait.words.key, key)
      return slot
    }
    return -1
  }
  end(slot: number): void {
    if (slot >= 0) storeU32(this.#memory.u32, slotAt(this.#watch, slot) + RcuWait.words.key, 0)
  }
  count(key: number, milliseconds: number): void {
    count(this.#memory.u32, this.#watch + (key === SCHED ? words.rcuWaits : words.srcuWaits), milliseconds)
  }
}

/** The waits for one kind of grace period that are under way. */
export interface RecordedWait {
  /** Machine time at which the first of them began. */
  readonly since: number
  /** Who waits. */
  readonly cpus: readonly number[]
}

/** All that are under way, by their keys. A snapshot. */
export function recordedWaits(table: CpuTable, map: WatchMap): ReadonlyMap<number, RecordedWait> {
  const found = new Map<number, RecordedWait>()
  for (const cpu of table.select((each) => table.isPresent(each)))
    for (let slot = 0; slot < RCU_WAITS; slot++) {
      const at = slotAt(map.record(cpu), slot)
      const key = keyOf(table.memory, at, table.incarnation(cpu))
      if (key === 0) continue
      const since = loadF64(table.memory.f64, at / 2 + RcuWait.offsets.since / 8)
      const before = found.get(key)
      found.set(key, { since: Math.min(since, before?.since ?? since), cpus: [...(before?.cpus ?? []), cpu] })
    }
  return found
}

/** 0 if the slot is free. */
function keyOf({ u32 }: Memory, at: number, incarnation: number): number {
  return loadU32(u32, at + RcuWait.words.incarnation) === incarnation
    ? loadU32(u32, at + RcuWait.words.key)
    : 0
}
function slotAt(watch: number, slot: number): number {
  return watch + words.waits + (slot * RcuWait.stride) / 4
}
