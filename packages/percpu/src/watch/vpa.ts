/**
 * The calling CPU's own VPA: what it tells its watchers of itself while it works.
 *
 *     run('render', fn)   the label, how often there was one, and the label before: three plain
 *                         stores, always, so that a watcher finds the label of a stuck thread;
 *                         while a monitor watches, since when;
 *                         while traced, an entry in the dispatch log
 *     parking, deafness   yield_count is odd meanwhile; entries while traced
 *     doorbells, locks    entries while traced
 *
 * Whether anything beyond the label is wanted is one plain load of `dtl_enable_mask`, which
 * supervisors set. It may lag until the CPU answers its doorbell. Everything written here is this
 * CPU's alone to write. A CPU killed at any point leaves the label of its work, which is the
 * purpose.
 *
 * Cost: see "vpa" in docs/benchmarks.md; a timed label is two clock readings and little else.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { fillBytes, loadAtomic32, storeBigU16, storeU8 } from '#mem'
import { isThenable } from '../thenable.js'
import { Clock } from '../machine/clock.js'
import {
  ASYNC_WORK,
  DEAF,
  DispatchLog,
  DOORBELL,
  FAILED,
  LOCK_WAIT,
  PARK,
  WAKE,
  WORK,
} from './dispatch-log.js'
import type { WaitWatcher } from '../cpus/idle.js'
import { Labels } from './labels.js'
import { CpuWatch, PENDING, PendingWork, TRACE_DOORBELLS, TRACE_LOCKS, TRACE_PARKS } from './vpa-layout.js'
import { TRACE_WORK, Vpa, VPA_DESCRIPTOR, VPA_SIZE, WATCH_TIMES } from './vpa-layout.js'

/** Local constants: an imported binding is looked up anew at each use. */
const { load32, loadF64, loadU8, store32, storeU32, storeF64, storeBigU32 } = mem
const { words, offsets } = CpuWatch
const TIMED = TRACE_WORK | WATCH_TIMES
const IDLE_TIMED = TRACE_PARKS | WATCH_TIMES

export interface VpaPlace {
  readonly memory: Memory
  readonly cpu: number
  readonly node: number
  /** Word index of the CPU's CpuWatch; byte addresses of its areas. */
  readonly watch: number
  readonly vpa: number
  readonly log: number
}

export class OwnVpa implements WaitWatcher {
  readonly clock: Clock
  readonly #place: VpaPlace
  readonly #memory: Memory
  readonly #mask: number
  readonly #label: number
  /** Index of a double. */
  readonly #sinceAt: number
  readonly #labels: Labels
  readonly #log: DispatchLog
  #yields = 0
  #idleSince = 0
  #lastLabel: string | undefined
  #lastNumber = 0
  /** The CPU has left: nothing is written any more. */
  #isOver = false
  /** Since it came online, ms: spent in timed labelled work of the outermost level, and parked. */
  worked = 0
  idled = 0

  constructor(place: VpaPlace) {
    this.#place = place
    this.#memory = place.memory
    this.clock = new Clock(place.memory)
    this.#mask = place.vpa + Vpa.offsets.dtl_enable_mask
    this.#label = place.watch + words.label
    this.#sinceAt = place.watch / 2 + offsets.since / 8
    this.#labels = new Labels(place.memory, place.watch)
    this.#log = new DispatchLog(place.memory, place.log, place.vpa, place.watch, place.cpu)
  }

  /** Fills the area and the log, before they are registered. */
  prepare(): void {
    const { memory, watch, vpa, cpu, node } = this.#place
    fillBytes(memory, vpa, VPA_SIZE, 0)
    storeBigU32(memory.bytes, vpa + Vpa.offsets.desc, VPA_DESCRIPTOR)
    storeBigU16(memory.bytes, vpa + Vpa.offsets.size, VPA_SIZE)
    storeBigU32(memory.bytes, vpa + Vpa.offsets.dyn_hw_node_id, node)
    storeBigU32(memory.bytes, vpa + Vpa.offsets.dyn_hw_proc_id, cpu)
    storeU8(memory.bytes, vpa + Vpa.offsets.fpregs_in_use, 1)
    store32(memory.i32, this.#label, 0)
    storeU32(memory.u32, watch + words.runs, 0)
    storeU32(memory.u32, watch + words.pendingLost, 0)
    storeF64(memory.f64, this.#sinceAt, 0)
    for (let slot = 0; slot < PENDING; slot++) store32(memory.i32, this.#pending(slot), 0)
    this.#log.reset()
    this.refreshMask()
  }

  /** Makes `dtl_enable_mask` what supervisors last asked for. */
  refreshMask(): void {
    // atomic: a request; the plain copy of it may lag.
    const mask = loadAtomic32(this.#memory.i32, this.#place.watch + words.mask)
    storeU8(this.#memory.bytes, this.#mask, mask)
    // The time of work around it is not that of work which begins from here on.
    if ((mask & TIMED) === 0) storeF64(this.#memory.f64, this.#sinceAt, 0)
  }

  run<Result>(label: string, work: () => Result): Result {
    const { i32, bytes } = this.#memory
    if (label !== this.#lastLabel || (loadU8(bytes, this.#mask) & TIMED) !== 0)
      return this.#runSlow(label, work)
    const at = this.#label
    const number = this.#lastNumber
    const before = load32(i32, at)
    store32(i32, at, number)
    store32(i32, at + 1, load32(i32, at + 1) + 1)
    let result: Result
    // Not `finally`, which costs more.
    try {
      result = work()
    } catch (error) {
      store32(i32, at, before)
      throw error
    }
    store32(i32, at, before)
    return isThenable(result) ? this.#follow(result, number, 0) : result
  }

  /** Another label than the last time, or somebody wants to know the times. */
  #runSlow<Result>(label: string, work: () => Result): Result {
    if (label !== this.#lastLabel) {
      this.#lastNumber = this.#labels.number(label)
      this.#lastLabel = label
    }
    return (loadU8(this.#memory.bytes, this.#mask) & TIMED) === 0
      ? this.run(label, work)
      : this.#runTimed(this.#lastNumber, work)
  }

  #runTimed<Result>(number: number, work: () => Result): Result {
    const { i32, f64 } = this.#memory
    const at = this.#label
    const before = load32(i32, at)
    const sinceBefore = loadF64(f64, this.#sinceAt)
    const begun = this.clock.now()
    storeF64(f64, this.#sinceAt, begun)
    store32(i32, at, number)
    store32(i32, at + 1, load32(i32, at + 1) + 1)
    let result: Result
    try {
      result = work()
    } catch (error) {
      this.#leave(before, sinceBefore, number, begun, FAILED)
      throw error
    }
    // Asynchronous work is logged when it settles.
    const isAsync = isThenable(result)
    if (isAsync) result = this.#follow(result as Result & PromiseLike<unknown>, number, begun)
    this.#leave(before, sinceBefore, number, begun, isAsync ? -1 : 0)
    return result
  }

  /** `flags`: of the entry; negative for none. */
  #leave(before: number, sinceBefore: number, number: number, begun: number, flags: number): void {
    const duration = this.clock.now() - begun
    const { f64, i32 } = this.#memory
    storeF64(f64, this.#sinceAt, sinceBefore)
    store32(i32, this.#label, before)
    if (before === 0) this.worked += duration
    if (flags >= 0) this.#trace(TRACE_WORK, WORK, flags, number, begun, duration)
  }

  /** Notes asynchronous work until it settles. */
  #follow<Result>(result: Result & PromiseLike<unknown>, number: number, begun: number): Result {
    const slot = this.#takeSlot(number, begun)
    const settled = (flags: number) => {
      // What becomes of the work is its caller's all the same. Mutant: watch/outcome-lost.
      if (this.#isOver) return
      if (slot !== undefined) store32(this.#memory.i32, this.#pending(slot), 0)
      if (begun > 0) this.#trace(TRACE_WORK, ASYNC_WORK, flags, number, begun, this.clock.now() - begun)
    }
    return result.then(
      (value) => {
        settled(0)
        return value
      },
      (error: unknown) => {
        settled(FAILED)
        throw error
      },
    ) as Result
  }

  #takeSlot(number: number, begun: number): number | undefined {
    const { i32, u32, f64 } = this.#memory
    for (let slot = 0; slot < PENDING; slot++) {
      const word = this.#pending(slot)
      if (load32(i32, word) !== 0) continue
      storeF64(f64, (word + PendingWork.words.since) / 2, begun)
      store32(i32, word, number)
      return slot
    }
    const lost = this.#place.watch + words.pendingLost
    storeU32(u32, lost, load32(i32, lost) + 1)
    return undefined
  }

  #pending(slot: number): number {
    return this.#place.watch + words.pending + (slot * PendingWork.stride) / 4 + PendingWork.words.label
  }

  /** The CPU leaves. */
  end(): void {
    this.#isOver = true
  }

  wentIdle(word: number): void {
    const { bytes } = this.#memory
    this.#idleSince = (loadU8(bytes, this.#mask) & IDLE_TIMED) === 0 ? 0 : this.clock.now()
    storeBigU32(bytes, this.#place.vpa + Vpa.offsets.yield_count, ++this.#yields)
    if (this.#idleSince > 0)
      this.#trace(TRACE_PARKS, PARK, word < 0 ? DEAF : 0, Math.max(0, word) * 4, this.#idleSince, 0)
  }

  cameBack(word: number): void {
    storeBigU32(this.#memory.bytes, this.#place.vpa + Vpa.offsets.yield_count, ++this.#yields)
    if (this.#idleSince === 0) return
    const now = this.clock.now()
    const duration = now - this.#idleSince
    if (word >= 0) this.idled += duration
    this.#trace(TRACE_PARKS, WAKE, word < 0 ? DEAF : 0, Math.max(0, word) * 4, now, duration)
  }

  /** For the doorbell: it is about to answer. */
  answering(reasons: number): void {
    if ((loadU8(this.#memory.bytes, this.#mask) & TRACE_DOORBELLS) === 0) return
    this.#trace(TRACE_DOORBELLS, DOORBELL, 0, reasons >>> 0, this.clock.now(), 0)
  }

  /**
   * For the lock layer, when it is about to wait: a number to give to {@link lockWaited}
   * afterwards. Cost: a plain load while locks are not traced.
   */
  lockWaits(): number {
    return (loadU8(this.#memory.bytes, this.#mask) & TRACE_LOCKS) === 0 ? 0 : this.clock.now()
  }
  /** Logs a wait for the lock at byte address `address`. */
  lockWaited(address: number, begun: number, acquired: boolean): void {
    if (begun === 0) return
    this.#trace(TRACE_LOCKS, LOCK_WAIT, acquired ? 0 : FAILED, address, begun, this.clock.now() - begun)
  }

  #trace(bit: number, kind: number, flags: number, subject: number, at: number, duration: number): void {
    if ((loadU8(this.#memory.bytes, this.#mask) & bit) !== 0)
      this.#log.write(kind, flags, subject, at, duration)
  }
}
