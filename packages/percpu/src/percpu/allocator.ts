/**
 * The per-CPU allocator: memory with one copy for each possible CPU, at the same offset in each
 * CPU's unit. (After the kernel's mm/percpu.c.)
 *
 *              pointer = chunk, granule                       unit of CPU 0 │ unit of CPU 1 │ …
 *     allocate ──▶ slots, smallest first ──▶ chunk ──▶ run          ▲ same granule in each ▲
 *                    └─ none: a new chunk     └─ pages missing: populated, in all units
 *
 * All changes are made under one lock (sync/layer-lock.ts). To wait for it is no quiescent state,
 * and it may be taken inside a section of the caller's, whose rollback does not undo an allocation.
 *
 * Allocated memory belongs to nobody, and outlives its thread. Whoever allocates it clears it, in
 * all units, before any other thread has the pointer. But only words are written that are not zero.
 * So a page that was never written is first written by its own CPU, which puts it on that CPU's
 * node.
 *
 * A thread killed inside an allocation has not allocated (operation.ts). One killed after it,
 * before the pointer is stored anywhere, loses the memory. `into` has the pointer stored in the
 * same step.
 *
 * Progress: blocking. Requests of tryAllocate do not grow, and wait for some microseconds at most.
 * Cost: see "percpu" in docs/benchmarks.md.
 */
import { load32, loadAtomic32, store32, storeAtomic32 } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { isSet, setBit } from './bitmap.js'
import { lengthAt } from './chunk.js'
import type { AllocatorState } from './state.js'
import { RESERVED_CHUNK } from './state.js'
import { checkPlace, checkPowerOfTwo, checkRange } from '../machine/check.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { BLOCK, EMPTY_PAGES_LOW, FAIL_THRESHOLD, GRANULE, granulesOf, pageOf } from './geometry.js'
import { badPointer, hasOwner, makeFree, type Free } from './free.js'
import { createChunk, populateChunk } from './growth.js'
import { CHUNK_ISOLATED, PercpuChunk, PercpuRoot, PercpuStatistics } from './layouts.js'
import { announce, conclude, PUBLISH, repair, SORT, TAKE } from './operation.js'

const { words: fields } = PercpuRoot

/** Where per-CPU memory is to lie. */
export interface PercpuRequest {
  /** Bytes: a power of two from 4 to 4096. Default 8, or 4 for up to 4 bytes. */
  readonly align?: number
  /**
   * From the reserved part of the first chunk, for the library's own layers: its size is fixed, and
   * no other requests use it up. Default false.
   */
  readonly reserved?: boolean
  /**
   * Byte address of an atomic 32-bit word that holds 0. The pointer is stored there in the same
   * step: a thread killed at any time has allocated and stored, or neither. If the word holds a
   * pointer already, that one is the result, and nothing is allocated.
   *
   * The pointer must not be taken out of the word again before this call has returned, or its dead
   * thread was cleaned up after.
   */
  readonly into?: number
}
/** What layers of the library ask for. */
export interface OwnedRequest extends PercpuRequest {
  /** The memory belongs to what the word `into` is a part of: nobody else can free it. */
  readonly owned?: boolean
}

export class Allocator {
  readonly #state: AllocatorState
  readonly #root: number
  /** Word index of this CPU's {@link PercpuStatistics}. */
  readonly #statistics: number
  readonly #scheduleTrim: () => void
  readonly free: Free
  /** The run that the last search found: record and granule. */
  #foundChunk = 0
  #foundStart = 0

  /** `scheduleTrim`: lets a trim run soon. */
  constructor(state: AllocatorState, statistics: number, scheduleTrim: () => void) {
    this.#state = state
    this.#root = state.tables.root
    this.#statistics = statistics
    this.#scheduleTrim = scheduleTrim
    this.free = makeFree(state, statistics, scheduleTrim)
  }

  /**
   * Grows if need be, and waits for the lock.
   *
   * @throws ArgumentError; OutOfMemoryError; LockTimeoutError.
   */
  allocate(bytes: number, request: OwnedRequest = {}): number {
    const pointer = this.#allocate(bytes, request, false)
    if (pointer === undefined) throw this.#outOfMemory(bytes, request.reserved === true)
    return pointer
  }
  /**
   * Does not grow, and waits for the lock some microseconds at most. Undefined if there is no room.
   *
   * @throws ArgumentError.
   */
  tryAllocate(bytes: number, request: PercpuRequest = {}): number | undefined {
    return this.#allocate(bytes, request, true)
  }

  #allocate(
    bytes: number,
    { align = defaultAlign(bytes), reserved = false, into, owned = false }: OwnedRequest,
    nowait: boolean,
  ): number | undefined {
    const { locked, memory } = this.#state
    this.#check(bytes, align)
    if (into !== undefined) checkPlace('into', into, memory, { name: '32-bit word', size: 4, align: 4 })
    const length = granulesOf(bytes)
    const grain = granulesOf(align)
    if (!this.#lock(nowait)) {
      this.#count(PercpuStatistics.words.failures)
      return undefined
    }
    let pointer: number | undefined
    let wantsTrim: boolean
    try {
      const known = into === undefined ? 0 : pointerAt(this.#state, into)
      if (known !== 0) return known
      let found = reserved ? this.#findReserved(length, grain) : this.#find(length, grain, nowait)
      // No memory for the missing pages of that run: another run may have all of its pages.
      if (found && !reserved && !this.#provide(length)) found = this.#search(length, grain, true)
      pointer = found ? this.#take(length, (into ?? 0) / 4, owned) : undefined
      wantsTrim = this.#wantsTrim(nowait && !found && !reserved)
    } finally {
      locked.unlock()
    }
    if (wantsTrim) this.#scheduleTrim()
    if (pointer !== undefined && into === undefined) this.#clear(this.#foundChunk, this.#foundStart, length)
    const { allocations, failures } = PercpuStatistics.words
    this.#count(pointer === undefined ? failures : allocations)
    return pointer
  }

  /**
   * Bytes of the allocation that begins at the pointer, a multiple of 4.
   *
   * @throws PointerError; LockTimeoutError.
   */
  sizeOf(pointer: number): number {
    return this.#sizeOf(pointer, true)
  }
  /** As {@link sizeOf}, of what its pointer can free. @throws NamedMemoryError too. */
  sizeOfFreeable(pointer: number): number {
    return this.#sizeOf(pointer, false)
  }
  #sizeOf(pointer: number, mayHaveOwner: boolean): number {
    const { locked, geometry } = this.#state
    if (typeof pointer !== 'number') throw badPointer(pointer)
    locked.lock(this.#root + fields.lock)
    try {
      repair(this.#state)
      const { view } = locked
      const chunk = this.#state.recordOf(pointer)
      const start = geometry.granuleOf(pointer)
      const length = chunk === 0 ? 0 : lengthAt(view, chunk, geometry, start)
      if (length === 0) throw badPointer(pointer)
      if (!mayHaveOwner && isSet(view, chunk + geometry.owned, start)) throw hasOwner(pointer)
      return length * GRANULE
    } finally {
      locked.unlock()
    }
  }

  /**
   * Byte address of a CPU's copy, or of the byte at `offset` in it. Takes no lock (mapping.ts).
   *
   * @throws ArgumentError for an offset beyond the unit; PointerError where no page is mapped.
   */
  translate(pointer: number, cpu: number, offset = 0): number {
    const { geometry, backend } = this.#state
    // Pointer 0 is none: what lies there is the allocator's own.
    if (typeof pointer !== 'number' || pointer === 0) throw badPointer(pointer)
    const chunk = this.#state.recordOf(pointer)
    const first = geometry.granuleOf(pointer)
    checkRange('offset', offset, 0, (geometry.granules - first) * GRANULE - 1)
    const granule = first + Math.floor(offset / GRANULE)
    const address = chunk === 0 ? undefined : backend.translate(chunk, cpu, granule)
    if (address === undefined) throw badPointer(pointer)
    return address + (offset % GRANULE)
  }

  /**
   * What a dead thread had begun is over afterwards: nothing is written any more to a word that it
   * had named.
   *
   * @throws LockTimeoutError.
   */
  settle(): void {
    this.#lock(false)
    this.#state.locked.unlock()
  }

  /**
   * Unless a pointer was stored at this byte address (`into`), none will be any more. Returns
   * whether that is so.
   *
   * @throws LockTimeoutError.
   */
  withdraw(into: number): boolean {
    this.#lock(false)
    try {
      if (pointerAt(this.#state, into) === 0) {
        // atomic: written under the lock; whoever allocates into the word looks there under it.
        storeAtomic32(this.#state.memory.i32, into / 4, WITHDRAWN)
      }
      return pointerAt(this.#state, into) === WITHDRAWN
    } finally {
      this.#state.locked.unlock()
    }
  }

  /**
   * Takes the pointer that is stored at this byte address (`into`); none will be stored there any
   * more. Returns 0 if there was none.
   *
   * @throws LockTimeoutError.
   */
  take(into: number): number {
    this.#lock(false)
    try {
      const pointer = pointerAt(this.#state, into)
      // atomic: as in withdraw. Mutant: percpu/removed-before-copies.
      storeAtomic32(this.#state.memory.i32, into / 4, WITHDRAWN)
      return Math.max(0, pointer)
    } finally {
      this.#state.locked.unlock()
    }
  }

  /** Returns whether it has the lock. */
  #lock(nowait: boolean): boolean {
    const { locked } = this.#state
    if (!nowait) locked.lock(this.#root + fields.lock)
    else if (!locked.trySpin(this.#root + fields.lock)) return false
    try {
      repair(this.#state)
    } catch (error) {
      locked.unlock()
      throw error
    }
    return true
  }

  /** Looks in all chunks, then in new ones. Returns whether there is a run. */
  #find(length: number, align: number, nowait: boolean): boolean {
    for (;;) {
      if (this.#search(length, align, nowait)) return true
      if (nowait) return false
      if (createChunk(this.#state) === undefined) return false
    }
  }

  /**
   * In the order of the slots: first chunks that just hold the run, then larger ones, sidelined
   * ones, wholly free ones, and last those that the next trim depopulates. These may be the only
   * room left, and the trim does not run before this stretch is over.
   */
  #search(length: number, align: number, populatedOnly: boolean): boolean {
    const { slots, geometry } = this.#state
    for (
      let slot = slots.nextInUse(geometry.slotOf(length));
      slot < geometry.slots;
      slot = slots.nextInUse(slot + 1)
    ) {
      let next: number
      for (let chunk = slots.first(slot); chunk !== 0; chunk = next) {
        next = slots.next(chunk)
        if (this.#fits(chunk, length, align, populatedOnly)) return true
        if (slot >= FAIL_THRESHOLD) continue
        // The next small request shall not look at it again.
        announce(this.#state, SORT, chunk, 0, 0)
        slots.move(chunk, 0)
        conclude(this.#state)
      }
    }
    return false
  }

  #fits(chunk: number, length: number, align: number, populatedOnly: boolean): boolean {
    const { chunks } = this.#state
    const from = chunks.find(chunk, length, align, populatedOnly)
    if (from < 0) return false
    const start = chunks.locate(chunk, length, align, from)
    if (start < 0) return false
    this.#foundChunk = chunk
    this.#foundStart = start
    return true
  }

  #findReserved(length: number, align: number): boolean {
    return this.#fits(this.#state.record(RESERVED_CHUNK), length, align, true)
  }

  /** Populates the pages of the run that was found; false if there is no memory for them. */
  #provide(length: number): boolean {
    const chunk = this.#foundChunk
    const start = this.#foundStart
    if (this.#state.chunks.areAllPopulated(chunk, start, length)) return true
    return populateChunk(this.#state, chunk, pageOf(start), pageOf(start + length - 1) + 1)
  }

  /** Allocates the run that was found. `into`: a word index, or 0. */
  #take(length: number, into: number, owned: boolean): number {
    const { chunks, slots, geometry, memory, locked } = this.#state
    const chunk = this.#foundChunk
    const start = this.#foundStart
    const pointer = geometry.pointerTo(locked.get(chunk + PercpuChunk.words.index), start)
    announce(this.#state, into === 0 ? TAKE : PUBLISH, chunk, start, length, into)
    this.#state.addEmpty(chunk, -chunks.take(chunk, start, length))
    if (this.#state.is(chunk, CHUNK_ISOLATED)) this.#state.integrate(chunk)
    else slots.relocate(chunk)
    if (into !== 0) {
      this.#clear(chunk, start, length)
      if (owned) setBit(locked.view, chunk + geometry.owned, start)
      // A(percpu.into) publishes the pointer; pairs with B in pointerAt: whoever reads it may
      // translate it and use the memory, which is zero. Mutant: percpu/publish-before-clear.
      storeAtomic32(memory.i32, into, pointer)
    }
    // Mutant: percpu/never-concluded.
    conclude(this.#state)
    return pointer
  }

  #wantsTrim(nowaitFailed: boolean): boolean {
    const { locked } = this.#state
    if (nowaitFailed) locked.put(this.#root + fields.nowaitFailed, 1)
    return nowaitFailed || locked.get(this.#root + fields.emptyPages) < EMPTY_PAGES_LOW
  }

  /** In all units; where these are mapped, page by page. */
  #clear(chunk: number, start: number, length: number): void {
    for (let done = 0; done < length;) {
      const granule = start + done
      const count = this.#state.geometry.isMapped
        ? Math.min(length - done, BLOCK - (granule & (BLOCK - 1)))
        : length
      this.#state.backend.clear(chunk, granule, count)
      done += count
    }
  }

  #count(statistic: number): void {
    const { i32 } = this.#state.memory
    store32(i32, this.#statistics + statistic, (load32(i32, this.#statistics + statistic) + 1) | 0)
  }

  #outOfMemory(bytes: number, reserved: boolean): OutOfMemoryError {
    return new OutOfMemoryError(
      reserved
        ? `no room for ${bytes} bytes in the reserved part of the first chunk: boot with a larger \`percpu.reserved\``
        : `no memory for a chunk that holds ${bytes} bytes for each CPU: boot with more \`memory\``,
      { bytes },
    )
  }

  #check(bytes: number, align: number): void {
    const { unitBytes } = this.#state.geometry
    checkRange('bytes', bytes, 1, unitBytes)
    checkPowerOfTwo('align', align, GRANULE, PAGE_BYTES)
  }
}

function defaultAlign(bytes: number): number {
  return typeof bytes === 'number' && bytes > GRANULE ? 8 : GRANULE
}

/** In the place of a pointer: none will be stored there any more. */
export const WITHDRAWN = -1

/** The pointer that an allocation stored at this byte address (`into`), or 0, or WITHDRAWN. */
export function pointerAt({ memory }: AllocatorState, address: number): number {
  // B(percpu.into) pairs with A in Allocator: the memory behind the pointer is cleared and mapped.
  // Mutant: percpu/publish-before-clear.
  return loadAtomic32(memory.i32, address / 4)
}
