import type { Memory } from '#mem'
import * as mem from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { assertOpen } from '../collections/life.js'
import type { OpenOptions } from '../collections/opening.js'
import { jsonAs, showAs } from '../inspect.js'
import { checkRange } from '../machine/check.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { ArgumentError } from '../errors.js'
import { Tlb } from '../pagetable/tlb.js'
import type { SpaceAccess } from './access.js'
import { MAX_COPY_BYTES, spanOf } from './addresses.js'
import type { Changes } from './changes.js'
import { FaultError } from './errors.js'
import { clearPages } from './mapping.js'
import { leavesOf } from './leaves.js'
import type { SparseCodec, SparseCopies, SparseKind, SparseValues } from './sparse-kinds.js'
import type { TlbCounts } from './space.js'

/** Bytes of a sparse array. */
export const SPARSE_BYTES = 2 ** 39
const { mask } = Tlb

/** What `machine.sparseArray` takes. */
export interface SparseOptions<Kind extends SparseKind = SparseKind> extends OpenOptions {
  /** What its values are. */
  readonly value: Kind
}
/** Indices from `from` to below `to`. */
export interface SparseRange {
  readonly from: number
  readonly to: number
}
export interface SparseParts<Kind extends SparseKind> {
  readonly name: string
  readonly kind: Kind
  readonly codec: SparseCodec<SparseValues[Kind]>
  readonly access: SpaceAccess
  readonly changes: Changes
  /** Whether nobody can write to it. */
  readonly isSnapshot: boolean
  readonly snapshot: (name: string | undefined, deadline: Deadline) => Promise<SparseArray<Kind>>
  readonly drop: (deadline: Deadline) => Promise<void>
}

/**
 * `machine.sparseArray(name, { value })`: an array of numbers for all threads, of 2^39 bytes of
 * indices. Values that were never set are zero. Memory is taken by pages of 4096 bytes, as values
 * are set.
 *
 * Values are plain words of shared memory: what several threads set and get at the same index is
 * ordered by what orders the threads. {@link snapshot} gives what is there at one moment, and
 * shares the memory until somebody writes.
 */
export class SparseArray<Kind extends SparseKind = SparseKind> {
  static {
    const tell = ({ name, value }: SparseArray) => ({ name, value })
    showAs<SparseArray>(this, tell)
    jsonAs<SparseArray>(this, 'SparseArray', tell)
  }

  readonly name: string
  /** What its values are. */
  readonly value: Kind
  /** Indices are below. */
  readonly length: number
  readonly #parts: SparseParts<Kind>
  readonly #access: SpaceAccess
  readonly #memory: Memory
  readonly #tlb: Tlb
  readonly #codec: SparseCodec<SparseValues[Kind]>
  /** Values of a page, and of a 32-bit word. */
  readonly #perPage: number
  readonly #perWord: number
  /** Bits of an index that choose a value in its page, and how many they are. */
  readonly #inPage: number
  readonly #shift: number
  readonly #load: SparseCodec<SparseValues[Kind]>['load']
  readonly #readPages: Int32Array
  readonly #readWords: Int32Array

  /** @internal Made by `machine.sparseArray`. */
  constructor(parts: SparseParts<Kind>) {
    const { name, kind, codec, access } = parts
    this.name = name
    this.value = kind
    this.length = SPARSE_BYTES / codec.bytes
    this.#parts = parts
    this.#access = access
    this.#memory = access.memory
    this.#tlb = access.tlb
    this.#codec = codec
    this.#perPage = PAGE_BYTES / codec.bytes
    this.#perWord = 4 / codec.bytes
    this.#inPage = this.#perPage - 1
    this.#shift = Math.log2(this.#perPage)
    this.#load = codec.load
    this.#readPages = access.tlb.readPages
    this.#readWords = access.tlb.readWords
  }

  /**
   * The value at an index.
   *
   * @throws ArgumentError for what is no index; LockTimeoutError; RemovedError; OfflineError.
   */
  get(index: number): SparseValues[Kind] {
    // Most indices are small: no floating point then.
    if (typeof index === 'number' && (index | 0) === index) {
      const page = index >> this.#shift
      const slot = page & mask
      if (this.#readPages[slot] === page) {
        this.#tlb.hits++
        const first = (this.#readWords[slot] as number) * this.#perWord
        return this.#load(this.#memory, first + (index & this.#inPage))
      }
    }
    return this.#getFar(index)
  }
  #getFar(index: number): SparseValues[Kind] {
    if (typeof index !== 'number') this.#checkIndex(index)
    const perPage = this.#perPage
    const page = Math.floor(index / perPage)
    const offset = index - page * perPage
    const { readPages, readWords } = this.#tlb
    const slot = page & mask
    if (readPages[slot] === page && (offset & (perPage - 1)) === offset) {
      this.#tlb.hits++
      return this.#codec.load(this.#memory, (readWords[slot] as number) * this.#perWord + offset)
    }
    this.#checkIndex(index)
    const { load, zero } = this.#codec
    return this.#access.reading(page, (word) =>
      word === 0 ? zero : load(this.#memory, word * this.#perWord + offset),
    )
  }
  /**
   * Sets the value at an index.
   *
   * @throws ArgumentError for what is no index or no such value; FaultError for a snapshot;
   *   OutOfMemoryError; LockTimeoutError; RemovedError; OfflineError. Nothing is changed then.
   */
  set(index: number, value: SparseValues[Kind]): this {
    if (typeof index !== 'number') this.#checkIndex(index)
    this.#codec.check(value)
    const perPage = this.#perPage
    const page = Math.floor(index / perPage)
    const offset = index - page * perPage
    const { writePages, writeWords } = this.#tlb
    const slot = page & mask
    if (writePages[slot] === page && (offset & (perPage - 1)) === offset) {
      this.#tlb.hits++
      this.#codec.store(this.#memory, (writeWords[slot] as number) * this.#perWord + offset, value)
      return this
    }
    this.#checkIndex(index)
    if (this.#parts.isSnapshot) throw this.#fixed()
    this.#access.writing(page, (word) =>
      this.#codec.store(this.#memory, word * this.#perWord + offset, value),
    )
    return this
  }

  /**
   * A copy of the values from index `from` to below `to`, as a typed array.
   *
   * @throws ArgumentError for what is no range, or more than 2^31 bytes; LockTimeoutError;
   *   RemovedError; OfflineError.
   */
  subarray(from: number, to: number): SparseCopies[Kind] {
    this.#checkRange(from, to)
    const { bytes, over } = this.#codec
    const length = (to - from) * bytes
    if (length > MAX_COPY_BYTES)
      throw new ArgumentError(`subarray: ${length} bytes are more than 2^31`, { from, to })
    const copy = new Uint8Array(length)
    for (const { from: low, to: high } of this.populated(from, to)) {
      for (let at = low; at < high;) {
        const page = Math.floor(at / this.#perPage)
        const end = Math.min(high, (page + 1) * this.#perPage)
        const offset = (at - page * this.#perPage) * bytes
        const count = (end - at) * bytes
        const place = (at - from) * bytes
        this.#access.reading(page, (word) => {
          if (word !== 0) copy.set(mem.copyOut(this.#memory, word * 4 + offset, count), place)
        })
        at = end
      }
    }
    return over(copy.buffer) as SparseCopies[Kind]
  }

  /**
   * The ranges of indices that have memory, in their order: what lies between them is zero. Live:
   * pages that others fill meanwhile may be missing.
   *
   * @throws ArgumentError; LockTimeoutError; RemovedError; OfflineError.
   */
  populated(from = 0, to = this.length): Generator<SparseRange> {
    this.#checkRange(from, to)
    assertOpen(this.#memory)
    return this.#populated(from, to)
  }
  *#populated(from: number, to: number): Generator<SparseRange> {
    if (from === to) return
    const first = Math.floor(from / this.#perPage)
    const last = Math.ceil(to / this.#perPage)
    let open: { from: number; to: number } | undefined
    for (const { page, pages } of leavesOf(this.#access.looked, first, last)) {
      const low = Math.max(from, page * this.#perPage)
      const high = Math.min(to, (page + pages) * this.#perPage)
      if (open?.to === low) {
        open.to = high
        continue
      }
      if (open !== undefined) yield open
      // It may have been removed meanwhile.
      assertOpen(this.#memory)
      open = { from: low, to: high }
    }
    if (open !== undefined) yield open
  }

  /**
   * Makes the values from index `from` to below `to` zero, and frees the pages that it has wholly.
   * Resolves when their memory is free.
   *
   * @throws FaultError for a snapshot; ArgumentError; OutOfMemoryError; LockTimeoutError;
   *   RemovedError; OfflineError. Nothing is changed then. UnansweredError after `timeout` ms; the
   *   reason of `signal`: they may be zero then, while other threads still see what was there.
   */
  async clear(from = 0, to = this.length, options: WaitOptions = {}): Promise<void> {
    this.#checkRange(from, to)
    checkWait(options)
    if (this.#parts.isSnapshot) throw this.#fixed()
    const { bytes } = this.#codec
    const span = spanOf(from * bytes, (to - from) * bytes)
    await clearPages(this.#access, this.#parts.changes, span, this.#access.life.deadline(options))
  }

  /**
   * What is there at one moment, for reading: an array that nobody can write to, and that shares
   * its memory with this one until somebody writes here. Writers wait for the moment.
   *
   * `name`: that by which others find it, of no sparse array that there is. Without one it is this
   * thread's, and ends with it.
   *
   * @throws ObjectExistsError; OutOfMemoryError; UnansweredError after `timeout` ms; the reason of
   *   `signal`; ArgumentError; LockTimeoutError; RemovedError; OfflineError. Nothing is changed
   *   then.
   */
  async snapshot(name?: string, options: WaitOptions = {}): Promise<SparseArray<Kind>> {
    checkWait(options)
    return this.#parts.snapshot(name, this.#access.life.deadline(options))
  }
  /** Removes it, as `machine.remove('sparseArray', name)` does. @throws as `machine.remove`. */
  async drop(options: WaitOptions = {}): Promise<void> {
    checkWait(options)
    assertOpen(this.#memory)
    await this.#parts.drop(new Deadline(options))
  }

  /** Bytes of memory that it has. @throws LockTimeoutError; RemovedError; OfflineError. */
  get resident(): number {
    let values = 0
    for (const { from, to } of this.populated()) values += to - from
    return values * this.#codec.bytes
  }
  /** What this thread's TLB of the array has done so far. */
  get tlb(): TlbCounts {
    const { hits, misses, flushes, rangedFlushes } = this.#tlb
    return { hits, misses, flushes, rangedFlushes }
  }

  #checkIndex(index: number): void {
    checkRange('index', index, 0, this.length - 1)
  }
  #checkRange(from: number, to: number): void {
    checkRange('to', to, 0, this.length)
    checkRange('from', from, 0, to)
  }
  #fixed(): FaultError {
    return new FaultError(`the sparse array ${this.name} is a snapshot: write refused`, { access: 'write' })
  }
}
