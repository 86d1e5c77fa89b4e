/** `machine.percpu`: what users have of per-CPU memory. */
import type { Struct } from '../layout/struct-type.js'
import type { Fields, Kind, ScalarName } from '../layout/types.js'
import { checkFlag, checkOptions } from '../machine/check.js'
import type { PercpuRequest } from './allocator.js'
import type { PercpuCounter } from './counter.js'
import type { CpuState } from './cpu-state.js'
import { PercpuObjects, type PercpuObjectOf, type PercpuObjectOptions, type PercpuType } from './objects.js'
import type { PercpuRef } from './ref.js'
import { formatReport, makeReport, type PercpuReport } from './report.js'
import type { PercpuRwSemaphore } from './rwsem.js'
import type { ScalarValue } from './scalar-classes.js'
import type { PercpuScalar } from './scalar-object.js'
import type { CounterOptions, PercpuKind, SharedObjects } from './shared-objects.js'
import type { PercpuStruct } from './struct-object.js'
import { showAs } from '../inspect.js'
import { trim } from './trim.js'
import { verify } from './verify.js'

/**
 * `machine.percpu.i32()` and its like: a number of this type with one copy for each possible CPU.
 */
export type PercpuScalarMakers = {
  readonly [Name in ScalarName]: (options?: PercpuObjectOptions) => PercpuScalar<ScalarValue<Name>>
}

/** What `percpu.alloc` takes. */
export interface PercpuAllocOptions extends PercpuRequest {
  /**
   * True: never grows, and waits for the lock some microseconds at most; undefined if there is no
   * room at once. Default false.
   */
  readonly nowait?: boolean
}

/** Throws an OfflineError, whatever is called, once this thread has taken its CPU offline. */
export interface Percpu extends PercpuScalarMakers {
  /**
   * A struct or number with one copy for each possible CPU, all zero. Where units are mapped page
   * by page it has at most 4096 bytes, else at most a unit.
   *
   * Cost: an allocation; with a name, some microseconds for its search. Make it once, not in
   * loops.
   * @throws ArgumentError for a type or option that there is not, or for a struct that is too
   *   large; OutOfMemoryError; LockTimeoutError; ObjectMismatchError if the name is
   *   that of another struct or number.
   */
  <T extends PercpuType>(type: T, options?: PercpuObjectOptions): PercpuObjectOf<T>
  <F extends Fields, K extends Kind>(type: Struct<F, K>, options?: PercpuObjectOptions): PercpuStruct<F, K>

  /**
   * The object that another thread allocated, by its `pointer`.
   *
   * @throws PointerError unless an allocation begins there; ArgumentError if it is too small or not
   *   aligned for the type; LockTimeoutError.
   */
  at<T extends PercpuType>(pointer: number, type: T): PercpuObjectOf<T>
  /** As above, of a struct. */
  at<F extends Fields, K extends Kind>(pointer: number, type: Struct<F, K>): PercpuStruct<F, K>

  /**
   * Bare memory: `bytes`, 1 to a unit, for each possible CPU, all zero. It belongs to nobody and
   * outlives this thread.
   *
   * Cost: see "percpu" in docs/benchmarks.md. It rises with the number of CPUs, whose copies are
   * all cleared.
   * @returns a pointer from 1 to 2^31 - 1, the same for all threads. Only with `nowait` it may be
   *   undefined: there was no room at once.
   * @throws ArgumentError; OutOfMemoryError; LockTimeoutError if the allocator stays locked. With
   *   `nowait`, an ArgumentError only.
   */
  alloc(bytes: number, request?: PercpuAllocOptions & { readonly nowait?: false }): number
  /** As above; undefined if there is no room at once and `nowait` is true. */
  alloc(bytes: number, request: PercpuAllocOptions): number | undefined

  /**
   * Frees all copies. Any thread may do so, once; no thread may use them any more.
   *
   * @throws PointerError unless an allocation begins there; NamedMemoryError if it belongs to a
   *   named object or an SRCU domain; LockTimeoutError. Nothing is changed then.
   */
  free(pointer: number): void

  /**
   * Bytes of one copy, rounded up to a multiple of 4.
   *
   * @throws PointerError unless an allocation begins there; LockTimeoutError.
   */
  sizeOf(pointer: number): number

  /**
   * Byte address of a CPU's copy, or of the byte at `offset` in it. A copy of up to 4096 bytes lies
   * in one piece. Where units are mapped page by page, ask again for each page of a larger one.
   *
   * Cost: a few loads; no lock.
   * @throws PointerError where no memory is mapped; ArgumentError for a CPU that is not possible or
   *   an offset beyond the unit.
   */
  address(pointer: number, cpu: number, offset?: number): number

  /**
   * The counter of this name, for all threads; at first 0. Look it up once, not in loops.
   *
   * @throws ArgumentError for a bad name or batch, or a batch other than that of the counter;
   *   OutOfMemoryError;
   *   LockTimeoutError.
   */
  counter(name: string, options?: CounterOptions): PercpuCounter
  /**
   * The reference count of this name, for all threads; at first 1. Look it up once, not in loops.
   *
   * @throws ArgumentError for a bad name; OutOfMemoryError; LockTimeoutError.
   */
  ref(name: string): PercpuRef
  /**
   * The reader-writer lock of this name, for all threads. Look it up once, not in loops.
   *
   * @throws ArgumentError for a bad name; OutOfMemoryError; LockTimeoutError.
   */
  rwSemaphore(name: string): PercpuRwSemaphore

  /**
   * Takes a name away: of a counter, reference count, reader-writer lock, or `'object'`, which this
   * function makes with a name. The name is free again, and nobody finds the object any more. Its
   * memory is freed after a grace period. The caller sees to it that no thread uses the object
   * after that.
   *
   * @throws NameInUseError for a reference count that is not released (killed, and without
   *   references), or a lock that is held; ObjectMissingError; ArgumentError; LockTimeoutError.
   */
  remove(kind: PercpuKind, name: string): void

  /**
   * Gives back chunks and pages that nobody uses, and populates some pages for requests that do not
   * wait. It runs by itself, too, soon after an allocation or a free that made it worthwhile.
   *
   * Cost: that of the pages moved, all in this call; the lock is held for one chunk at a time.
   * @throws LockTimeoutError.
   */
  trim(): void
  /**
   * Works out all metadata anew, and compares. Changes nothing.
   *
   * Cost: in proportion to all chunks; the allocator is locked meanwhile.
   * @throws PercpuCorruptionError with `details.faults`, every contradiction found;
   *   LockTimeoutError.
   */
  verify(): void
  /**
   * Chunks, slots, pages, fragmentation and counts, all of one moment.
   *
   * Cost: in proportion to all chunks; the allocator is locked meanwhile.
   * @throws LockTimeoutError.
   */
  report(): PercpuReport
  /** The {@link report} as text. @throws LockTimeoutError. */
  reportText(): string
}

/**
 * Where a thread's `machine.percpu` gets its parts from. Each access throws once the CPU is
 * offline.
 */
export interface PercpuSource {
  use(): CpuState
  /** Counters, reference counts and locks by name. */
  readonly objects: SharedObjects
}

export function makePercpu(source: PercpuSource): Percpu {
  const objects = new PercpuObjects(() => source.use())
  return Object.assign(shownAs(makeObject(objects), source), {
    ...scalarMakers(objects),
    ...openers(objects),
    ...bareMemory(source),
    counter: (name: string, options: CounterOptions = {}) => {
      checkOptions('counter', options, { batch: true })
      return source.objects.counter(name, options)
    },
    ref: (name: string) => source.objects.ref(name),
    rwSemaphore: (name: string) => source.objects.rwSemaphore(name),
    remove: (kind: PercpuKind, name: string) => source.objects.remove(kind, name),
    trim: () => trim(source.use().state),
    verify: () => verify(source.use().state),
    report: () => makeReport(source.use()),
    reportText: () => formatReport(makeReport(source.use())),
  })
}

function shownAs<T extends object>(made: T, source: PercpuSource): T {
  showAs({ name: 'Percpu', prototype: made }, () => {
    const { cpus, unitBytes } = source.use().state.geometry
    return { cpus, unitBytes }
  })
  return made
}

function makeObject(objects: PercpuObjects) {
  function make<T extends PercpuType>(type: T, options?: PercpuObjectOptions): PercpuObjectOf<T>
  function make<F extends Fields, K extends Kind>(
    type: Struct<F, K>,
    options?: PercpuObjectOptions,
  ): PercpuStruct<F, K>
  function make(type: PercpuType, options?: PercpuObjectOptions): unknown {
    return objects.make(type, options)
  }
  return make
}

function scalarMakers(objects: PercpuObjects): PercpuScalarMakers {
  return {
    u8: (options) => objects.scalar('u8', options),
    i8: (options) => objects.scalar('i8', options),
    u16: (options) => objects.scalar('u16', options),
    i16: (options) => objects.scalar('i16', options),
    u32: (options) => objects.scalar('u32', options),
    i32: (options) => objects.scalar('i32', options),
    u64: (options) => objects.scalar('u64', options),
    f32: (options) => objects.scalar('f32', options),
    f64: (options) => objects.scalar('f64', options),
  }
}

function openers(objects: PercpuObjects): Pick<Percpu, 'at'> {
  function at<T extends PercpuType>(pointer: number, type: T): PercpuObjectOf<T>
  function at<F extends Fields, K extends Kind>(pointer: number, type: Struct<F, K>): PercpuStruct<F, K>
  function at(pointer: number, type: PercpuType): unknown {
    return objects.at(pointer, type)
  }
  return { at }
}

function bareMemory(source: PercpuSource): Pick<Percpu, 'alloc' | 'free' | 'sizeOf' | 'address'> {
  function alloc(bytes: number, request?: PercpuAllocOptions & { readonly nowait?: false }): number
  function alloc(bytes: number, request: PercpuAllocOptions): number | undefined
  function alloc(bytes: number, request?: PercpuAllocOptions): number | undefined {
    if (request !== undefined) checkRequest(request)
    const { allocator } = source.use()
    return request?.nowait === true
      ? allocator.tryAllocate(bytes, request)
      : allocator.allocate(bytes, request)
  }
  return {
    alloc,
    free: (pointer) => void source.use().allocator.free(pointer),
    sizeOf: (pointer) => source.use().allocator.sizeOf(pointer),
    address: (pointer, cpu, offset = 0) => {
      const { allocator, context } = source.use()
      return allocator.translate(pointer, context.own.checkCpu(cpu), offset)
    },
  }
}

function checkRequest(request: PercpuAllocOptions): void {
  checkOptions('percpu.alloc', request, { align: true, nowait: true, reserved: true, into: true })
  checkFlag('nowait', request.nowait)
  checkFlag('reserved', request.reserved)
}
