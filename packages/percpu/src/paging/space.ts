import type { Memory } from '#mem'
import * as mem from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { viewOf } from '../collections/bytes.js'
import { assertOpen } from '../collections/life.js'
import { jsonAs, showAs } from '../inspect.js'
import { checkRange, refused } from '../machine/check.js'
import { checkWait, type Deadline, type WaitOptions } from '../machine/wait-options.js'
import { SPACE_PAGES } from '../pagetable/entry.js'
import { Tlb } from '../pagetable/tlb.js'
import type { SpaceAccess } from './access.js'
import { checkSpan, MAX_COPY_BYTES, pagesOf, SPACE_BYTES } from './addresses.js'
import type { Changes } from './changes.js'
import { collapse } from './collapse.js'
import {
  checkAreaOptions,
  checkProtectOptions,
  mapArea,
  protectArea,
  unmapAreas,
  type AreaOptions,
  type ProtectOptions,
} from './mapping.js'
import { pinPage, type Pin } from './pinning.js'
import { checkAccess, populate, splitBlock } from './populating.js'
import { faultAt } from './faults.js'
import { describeAreas, type AreaReport } from './report.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadU32, storeU32 } = mem
const { mask } = Tlb
const wordsOfPage = PAGE_BYTES / 4
const pagesPerWord = 1 / wordsOfPage
const inPage = wordsOfPage - 1
const pageShift = 12

/** What an address space is made of, on one thread. */
export interface SpaceParts {
  readonly name: string
  readonly access: SpaceAccess
  readonly changes: Changes
  readonly fork: (name: string | undefined, deadline: Deadline) => Promise<AddressSpace>
  readonly drop: (deadline: Deadline) => Promise<void>
  readonly verify: () => void
}
/** What a thread's TLB has done. */
export interface TlbCounts {
  readonly hits: number
  readonly misses: number
  /** How often it forgot everything. */
  readonly flushes: number
  /** How often it forgot only the pages that somebody had changed. */
  readonly rangedFlushes: number
}

/**
 * `machine.space(name)`: sparse memory of its own addresses, 0 to 2^42, for all threads. Addresses
 * are mapped in areas of pages, 4096 bytes each. A page takes memory once something is written to
 * it; until then it reads as zero.
 *
 * Reading and writing take no lock. A translation that the thread has found lately is in its TLB.
 * Others are walked to, and pages that are missing are made under a lock. Neighbours that are
 * written by several threads are as any shared memory: plain words, ordered by what orders the
 * threads.
 *
 * {@link fork} gives a space with the same contents, which share their memory until one of both
 * writes to it.
 *
 * Threads that return to their event loop, or poll, use it so. In `machine.cpus.deaf`, reading and
 * writing go on all the same: each access is counted then, and takes longer.
 */
export class AddressSpace {
  static {
    const tell = ({ name }: AddressSpace) => ({ name })
    showAs<AddressSpace>(this, tell)
    jsonAs<AddressSpace>(this, 'AddressSpace', tell)
  }

  readonly name: string
  readonly #parts: SpaceParts
  readonly #access: SpaceAccess
  readonly #memory: Memory
  readonly #tlb: Tlb
  readonly #readPages: Int32Array
  readonly #readWords: Int32Array
  readonly #writePages: Int32Array
  readonly #writeWords: Int32Array

  /** @internal Made by `machine.space`. */
  constructor(parts: SpaceParts) {
    const { name, access } = parts
    this.name = name
    this.#parts = parts
    this.#access = access
    this.#memory = access.memory
    this.#tlb = access.tlb
    this.#readPages = access.tlb.readPages
    this.#readWords = access.tlb.readWords
    this.#writePages = access.tlb.writePages
    this.#writeWords = access.tlb.writeWords
  }

  /** Bytes of every space: addresses are below. */
  get byteLength(): number {
    return SPACE_BYTES
  }

  /**
   * Maps the addresses from `address` on, one or more whole pages, of which none is mapped. They
   * read as zero.
   *
   * @throws AreaOverlapError; ArgumentError for what is no multiple of 4096, or lies outside;
   *   OutOfMemoryError; LockTimeoutError; RemovedError; OfflineError. Nothing is changed then.
   */
  map(address: number, bytes: number, options: AreaOptions = {}): void {
    checkAreaOptions(options)
    const span = checkSpan(address, bytes)
    if (bytes === 0) throw refused('bytes', bytes, 'not a page or more')
    mapArea(this.#access, span, options)
  }
  /**
   * Unmaps addresses, whole pages, mapped or not. Resolves when no thread can reach what was there
   * any more, and its memory is free.
   *
   * @throws PinnedError; ArgumentError as {@link map}; OutOfMemoryError, since an area may be cut
   *   in two, or memory is shared with a fork; RemovedError; OfflineError. Nothing is changed
   *   then. UnansweredError after `timeout` ms; the reason of `signal`: they may be unmapped then,
   *   while other threads still use what was there.
   */
  async unmap(address: number, bytes: number, options?: WaitOptions): Promise<void> {
    const span = checkSpan(address, bytes)
    await unmapAreas(this.#access, this.#parts.changes, span, this.#deadline(options))
  }
  /**
   * Makes mapped addresses read-only, or writable. Resolves when it holds for all threads.
   *
   * @throws FaultError if not all of them are mapped; else as {@link unmap}.
   */
  async protect(address: number, bytes: number, options: ProtectOptions = {}): Promise<void> {
    const span = checkSpan(address, bytes)
    checkProtectOptions(options)
    const deadline = this.#access.life.deadline(options)
    await protectArea(this.#access, this.#parts.changes, span, options, deadline)
  }

  /**
   * The 32-bit word at an address, a multiple of 4, as an unsigned number.
   *
   * Cost: see "paging" in docs/benchmarks.md.
   * @throws FaultError if it is not mapped; ArgumentError for what is no address of a word;
   *   LockTimeoutError; RemovedError; OfflineError.
   */
  read(address: number): number {
    // Most addresses are small, and whole: no floating point then.
    if (isInt(address)) {
      const page = address >> pageShift
      const slot = page & mask
      if (this.#readPages[slot] === page && (address & 3) === 0) {
        this.#tlb.hits++
        return loadU32(this.#memory.u32, (this.#readWords[slot] as number) + ((address >> 2) & inPage))
      }
    }
    return this.#readFar(address)
  }
  #readFar(address: number): number {
    if (typeof address !== 'number') checkWord(address)
    const at = address / 4
    const page = (at * pagesPerWord) | 0
    const offset = at - page * wordsOfPage
    const slot = page & mask
    if (this.#readPages[slot] === page && (offset & inPage) === offset) {
      this.#tlb.hits++
      return loadU32(this.#memory.u32, (this.#readWords[slot] as number) + offset)
    }
    if ((offset & inPage) !== offset || page < 0 || page >= SPACE_PAGES) checkWord(address)
    const { u32 } = this.#memory
    const access = this.#access
    const word = access.find(page)
    if (word !== 0) return loadU32(u32, word + offset)
    try {
      return access.counted(page, false, (first) => (first === 0 ? 0 : loadU32(u32, first + offset)))
    } catch (error) {
      throw faultAt(error, address)
    }
  }
  /**
   * Writes the 32-bit word at an address, a multiple of 4.
   *
   * @throws FaultError if it is not mapped, or read-only; ArgumentError for what is no address of a
   *   word, or no 32-bit integer; OutOfMemoryError if the page needs memory and there is none;
   *   LockTimeoutError; RemovedError; OfflineError. Nothing is changed then.
   */
  write(address: number, value: number): void {
    if (isInt(address) && isInt(value)) {
      const page = address >> pageShift
      const slot = page & mask
      if (this.#writePages[slot] === page && (address & 3) === 0) {
        this.#tlb.hits++
        const word = (this.#writeWords[slot] as number) + ((address >> 2) & inPage)
        storeU32(this.#memory.u32, word, value)
        return
      }
    }
    this.#writeFar(address, value)
  }
  #writeFar(address: number, value: number): void {
    if (typeof address !== 'number') checkWord(address)
    if (typeof value !== 'number' || (value >>> 0 !== value && (value | 0) !== value))
      throw refused('value', value, 'not a 32-bit integer')
    const at = address / 4
    const page = (at * pagesPerWord) | 0
    const offset = at - page * wordsOfPage
    const slot = page & mask
    if (this.#writePages[slot] === page && (offset & inPage) === offset) {
      this.#tlb.hits++
      storeU32(this.#memory.u32, (this.#writeWords[slot] as number) + offset, value)
      return
    }
    checkWord(address)
    const { u32 } = this.#memory
    try {
      this.#access.writing(page, (word) => storeU32(u32, word + offset, value))
    } catch (error) {
      throw faultAt(error, address)
    }
  }

  /**
   * A copy of the bytes from an address on, at most 2^31. Each byte is read once; other threads
   * may write meanwhile.
   *
   * @throws FaultError if not all of them are mapped; ArgumentError; LockTimeoutError;
   *   RemovedError; OfflineError.
   */
  copyOut(address: number, length: number): Uint8Array {
    const span = checkSpan(address, length, 1)
    checkRange('length', length, 0, MAX_COPY_BYTES)
    checkAccess(this.#access, span, false)
    const bytes = new Uint8Array(length)
    for (const { page, offset, at, count } of pagesOf(span)) {
      this.#access.reading(page, (word) => {
        if (word !== 0) bytes.set(mem.copyOut(this.#memory, word * 4 + offset, count), at)
      })
    }
    return bytes
  }
  /**
   * Writes bytes from an address on.
   *
   * @throws FaultError if not all of them are mapped, and writable; OutOfMemoryError;
   *   ArgumentError; LockTimeoutError; RemovedError; OfflineError. Nothing is changed then, unless
   *   another thread unmaps, protects or forks these pages meanwhile.
   */
  copyIn(address: number, bytes: Uint8Array): void {
    const given = viewOf('bytes', bytes)
    const span = checkSpan(address, given.length, 1)
    checkAccess(this.#access, span, true)
    // What can be missing comes first.
    populate(this.#access, span)
    for (const { page, offset, at, count } of pagesOf(span)) {
      this.#access.writing(page, (word) => {
        mem.copyIn(this.#memory, word * 4 + offset, given.subarray(at, at + count))
      })
    }
  }

  /**
   * Gives the pages of these addresses memory now, as if each was written to.
   *
   * @throws FaultError if not all of them are mapped, and writable; OutOfMemoryError: some may have
   *   memory then; ArgumentError; LockTimeoutError; RemovedError; OfflineError.
   */
  populate(address: number, bytes: number): void {
    const span = checkSpan(address, bytes)
    checkAccess(this.#access, span, true)
    populate(this.#access, span)
  }

  /**
   * Keeps the page of an address, which is writable, where it is, until it is unpinned or this
   * thread ends. Meanwhile it cannot be unmapped, protected, collapsed or forked. A thread can pin
   * 32 pages.
   *
   * @throws FaultError; OutOfMemoryError; TooManyPinsError; ArgumentError; LockTimeoutError;
   *   RemovedError; OfflineError.
   */
  pin(address: number): Pin {
    return pinPage(this.#access, checkSpan(address, 1, 1))
  }

  /**
   * A space with the same areas and the same contents as this one, at a moment of the call. It
   * takes no memory but for its areas: both share their pages, until one of them writes to one.
   * Writing waits for the moment; reading goes on.
   *
   * `name`: that by which others find it, of no space that there is. Without one it is this
   * thread's, and ends with it.
   *
   * @throws ObjectExistsError; PinnedError; OutOfMemoryError; UnansweredError after `timeout` ms;
   *   the reason of `signal`; ArgumentError; LockTimeoutError; RemovedError; OfflineError. Nothing
   *   is changed then.
   */
  async fork(name?: string, options?: WaitOptions): Promise<AddressSpace> {
    if (typeof name === 'object') throw refused('name', name, 'not a string: options come after it')
    return this.#parts.fork(name, this.#deadline(options))
  }
  /**
   * Removes this space with all that is mapped, as `machine.remove('space', name)` does. What forks
   * share stays theirs.
   *
   * @throws as `machine.remove`.
   */
  async drop(options?: WaitOptions): Promise<void> {
    assertOpen(this.#memory)
    await this.#parts.drop(this.#deadline(options))
  }

  /**
   * Makes one block of 4 MiB of the 1024 pages around an address, all of one area, which have
   * memory of this space alone: they are copied, unless they lie side by side. Writing there waits
   * meanwhile. Resolves to false, and changes nothing, if they are not so.
   *
   * @throws PinnedError; OutOfMemoryError if there is no such block; else as {@link unmap}.
   */
  async collapse(address: number, options?: WaitOptions): Promise<boolean> {
    const { page } = checkSpan(address, 1, 1)
    return collapse(this.#access, this.#parts.changes, page, this.#deadline(options))
  }
  /**
   * Makes 1024 pages of the block of 4 MiB at an address. Returns false if there is none.
   *
   * @throws OutOfMemoryError; ArgumentError; LockTimeoutError; RemovedError; OfflineError.
   */
  split(address: number): boolean {
    return splitBlock(this.#access, checkSpan(address, 1, 1))
  }

  /**
   * The areas, in their order, as `/proc/pid/smaps` tells of those of a process.
   *
   * Cost: steps in proportion to the pages that have memory.
   * @throws LockTimeoutError; RemovedError; OfflineError.
   */
  maps(): readonly AreaReport[] {
    return describeAreas(this.#access.looked)
  }
  /**
   * Checks the tables of all spaces of the machine, and all counts of references to pages.
   *
   * Cost: the lock of all page tables is held for steps in proportion to all that is there. For
   * tests.
   * @throws SpaceCorruptionError; LockTimeoutError; RemovedError; OfflineError.
   */
  verify(): void {
    assertOpen(this.#memory)
    this.#parts.verify()
  }
  /** What this thread's TLB of the space has done so far. */
  get tlb(): TlbCounts {
    const { hits, misses, flushes, rangedFlushes } = this.#tlb
    return { hits, misses, flushes, rangedFlushes }
  }

  /** @throws ArgumentError; RemovedError. */
  #deadline(options: WaitOptions = {}): Deadline {
    checkWait(options)
    return this.#access.life.deadline(options)
  }
}

/** Whatever a caller passes, without a conversion that could throw. */
function isInt(value: number): boolean {
  return typeof value === 'number' && (value | 0) === value
}
function checkWord(address: number): void {
  checkSpan(address, 4, 4)
}
