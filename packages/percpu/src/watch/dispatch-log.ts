/**
 * Dispatch trace log: what a CPU did last. The CPU writes it; any thread reads it at any time, also
 * after the CPU died.
 *
 *     log      4096 bytes: 85 entries of 48 bytes, entry number n in slot n mod 85 (PAPR's DTL)
 *     entries  the number of complete entries, modulo 85 × 2^24
 *
 * The CPU fills a slot plainly and then counts the entry by a read-modify-write. Only the slot of
 * entry number `entries` is ever being written. A reader copies, and then looks at the counter
 * again, also by a read-modify-write. There are two cases for an entry j that it copied:
 *
 * - its look comes before the CPU counts entry j + 84, and so before the CPU begins to write over
 *   j: the copy is whole;
 * - its look comes after that: it finds a count above j + 84, and drops j.
 *
 * So no entry is ever seen torn, and a CPU killed inside an entry has not logged it.
 *
 * Why `entries` may begin anew. It does at a multiple of 85, so that slots go on in their order.
 * Only differences are asked for: exactly 85 × 2^24 entries, or a multiple, would have to be logged
 * between the two looks of one reading, or half as many between two readings.
 *
 * Fields: dispatch_reason = kind, preempt_reason = flags, timebase = begin (ns of machine time),
 * srr0 = label number, reasons or address, srr1 = duration (ns).
 *
 * Cost: see "vpa" in docs/benchmarks.md; most of it is the clock readings of the caller.
 */
import { addAtomic32, copyOut, exchangeAtomic32, loadAtomic32, type BytesView, type Memory } from '#mem'
import * as mem from '#mem'
import { CpuWatch, DispatchEntry, LOG_ENTRIES, LOG_SIZE, LOG_WRAP, Vpa } from './vpa-layout.js'

export const dispatchKinds = ['park', 'wake', 'doorbell', 'work', 'async work', 'lock wait'] as const
/** What an entry of the dispatch log tells of. */
export type DispatchKind = (typeof dispatchKinds)[number]
export const PARK = 1
export const WAKE = 2
export const DOORBELL = 3
export const WORK = 4
export const ASYNC_WORK = 5
export const LOCK_WAIT = 6
/** Flags: the work threw; the lock was not acquired; the CPU is deaf rather than parked. */
export const FAILED = 1
export const DEAF = 2

/** One entry as written. */
export interface RawEntry {
  readonly kind: DispatchKind
  readonly cpu: number
  readonly flags: number
  /** Milliseconds of machine time. */
  readonly at: number
  /** Milliseconds; 0 for an instant. */
  readonly duration: number
  /** Label number, ring reasons, or address. */
  readonly subject: number
}
export interface LogReading {
  /** Oldest first. */
  readonly entries: readonly RawEntry[]
  /** Pass it to the next reading to get only what came since. */
  readonly next: number
  /** Entries since the last reading that were overwritten before they could be read. */
  readonly lost: number
}

const { offsets } = DispatchEntry

/** A local constant: an imported binding is looked up anew at each use. */
const { storeBigU32 } = mem
const ENTRY = DispatchEntry.size

/** The owner's end. */
export class DispatchLog {
  readonly #memory: Memory
  readonly #log: number
  readonly #index: number
  readonly #counter: number
  readonly #cpu: number
  #entries = 0
  /** Byte address of the next entry's slot. */
  #place: number
  readonly #end: number

  /** Byte addresses of log and VPA, word index of the CPU's CpuWatch. */
  constructor(memory: Memory, log: number, vpa: number, watch: number, cpu: number) {
    this.#memory = memory
    this.#log = log
    this.#place = log
    this.#end = log + LOG_ENTRIES * DispatchEntry.size
    this.#index = vpa + Vpa.offsets.dtl_idx + 4
    this.#counter = watch + CpuWatch.words.entries
    this.#cpu = cpu
  }

  /** Empties it, before it is registered. */
  reset(): void {
    // atomic: as VC: a reader of the log of an earlier incarnation drops all it copied.
    exchangeAtomic32(this.#memory.i32, this.#counter, 0)
    this.#entries = 0
    this.#place = this.#log
    storeBigU32(this.#memory.bytes, this.#log + 4, LOG_SIZE)
    storeBigU32(this.#memory.bytes, this.#index, 0)
  }

  /** `at` and `duration` in ms. */
  write(kind: number, flags: number, subject: number, at: number, duration: number): void {
    const { bytes, i32 } = this.#memory
    const entry = this.#place
    // The first three fields as one word.
    storeBigU32(bytes, entry, (kind << 24) | (flags << 16) | this.#cpu)
    store64(bytes, entry + offsets.timebase, at * 1e6)
    store64(bytes, entry + offsets.srr0, subject)
    store64(bytes, entry + offsets.srr1, duration * 1e6)
    this.#place = entry + ENTRY === this.#end ? this.#log : entry + ENTRY
    const entries = this.#entries + 1 === LOG_WRAP ? 0 : this.#entries + 1
    this.#entries = entries
    // VC(watch.entries) publishes the entry; pairs with VD in readDispatchLog: it is the readers'
    // until 84 more are counted, and the next slot is this CPU's to overwrite. Mutant:
    // watch/entry-counted-first.
    exchangeAtomic32(i32, this.#counter, entries)
    storeBigU32(bytes, this.#index, entries)
  }
}

/**
 * The whole part of a number below 2^53, in two words. (A store keeps a number's lower 32 bits.)
 */
function store64(bytes: BytesView, at: number, value: number): void {
  storeBigU32(bytes, at, value * 2 ** -32)
  storeBigU32(bytes, at + 4, value)
}

/**
 * The whole entries in the log at byte address `log`, or those since an earlier reading's `next`.
 *
 * `watch`: word index of the CPU's CpuWatch.
 */
export function readDispatchLog(memory: Memory, log: number, watch: number, since?: number): LogReading {
  const counter = watch + CpuWatch.words.entries
  // VD(watch.entries) pairs with VC in DispatchLog.write: before the copy it says which entries are
  // complete, after it which of them were not being overwritten. Mutants: watch/log-unchecked-read,
  // watch/log-lap-off-by-one.
  const before = loadAtomic32(memory.i32, counter)
  const copy = copyOut(memory, log, LOG_SIZE)
  const passed = (addAtomic32(memory.i32, counter, 0) - before + LOG_WRAP) % LOG_WRAP
  const passedSince = (before - (since ?? 0) + LOG_WRAP) % LOG_WRAP
  // More than half of the counter's range is a log that was begun anew.
  const wanted = since === undefined || passedSince > LOG_WRAP / 2 ? before : passedSince
  const whole = Math.max(0, LOG_ENTRIES - 1 - passed)
  const count = Math.min(wanted, whole)
  const entries = Array.from({ length: count }, (_, i) =>
    decode(copy, (before - count + i + LOG_WRAP) % LOG_ENTRIES),
  )
  return { entries, next: before, lost: since === undefined ? 0 : wanted - count }
}

function decode(log: Uint8Array, place: number): RawEntry {
  const at = place * DispatchEntry.size
  const number64 = (offset: number) => big32(log, at + offset) * 2 ** 32 + big32(log, at + offset + 4)
  const head = big32(log, at)
  return {
    kind: dispatchKinds[(head >>> 24) - 1] ?? 'park',
    flags: (head >>> 16) & 0xff,
    cpu: head & 0xffff,
    at: number64(offsets.timebase) / 1e6,
    duration: number64(offsets.srr1) / 1e6,
    subject: number64(offsets.srr0),
  }
}

function big32(bytes: Uint8Array, at: number): number {
  return [0, 1, 2, 3].reduce((value, i) => value * 256 + (bytes[at + i] ?? 0), 0)
}
