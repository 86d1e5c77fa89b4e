/**
 * Names: how threads find the same per-CPU memory.
 *
 *     names ──name──▶ entry: pointer │ words that all CPUs share      pointer ──▶ copies
 *
 * The entry is made first, with pointer 0. Whoever finds 0 there allocates with `into`, so that the
 * copies are allocated once, under the lock of the allocator. A thread killed anywhere leaves an
 * entry with pointer 0, or a complete one: nothing is lost. A thread that finds no memory withdraws
 * the entry, under the same lock, and takes its name away: whoever finds it withdrawn does so, too,
 * and begins anew.
 */
import type { Memory } from '#mem'
import type { Names, NameSpace } from '../bootmem/names.js'
import type { Struct } from '../layout/struct-type.js'
import { ObjectMissingError } from '../machine/errors.js'
import { reportError } from '../machine/platform.js'
import { shown } from '../shown.js'
import { LockTimeoutError } from '../sync/errors.js'
import { pointerAt, WITHDRAWN } from './allocator.js'
import type { CpuState } from './cpu-state.js'
import { GRANULE } from './geometry.js'
import type { AllocatorState } from './state.js'

/** What a name is asked for. */
export interface NamedSpec {
  readonly space: NameSpace
  /** What it is: another thread must ask for the same. */
  readonly type: string
  /** The entry; its first word is the pointer. */
  readonly layout: Pick<Struct, 'name' | 'size' | 'align' | 'hash'>
  /** Of each copy. */
  readonly bytes: number
  readonly align: number
  /** Its copies lie in the reserved part of the first chunk. */
  readonly reserved?: boolean
  /** Fills the zeroed entry, by its byte address, before another thread can find it. */
  readonly init?: (address: number) => void
}

/** A named object: words that all CPUs share, and a part for each of them. */
export interface SharedObject {
  readonly memory: Memory
  /** Word index of its entry. */
  readonly words: number
  /** Word index of each possible CPU's part. */
  readonly parts: readonly number[]
}
/** With the number of this very object among all that had its name. */
export interface NamedObject extends SharedObject {
  readonly serial: number
}

/** The entry of a name. */
export interface NamedMemory {
  readonly address: number
  readonly serial: number
  readonly pointer: number
}

/**
 * The entry of this name, and its pointer; both are made if need be.
 *
 * @throws ArgumentError for a bad name; ObjectMismatchError; OutOfMemoryError; LockTimeoutError.
 *   There is no new name then.
 */
export function openNamed(cpuState: CpuState, name: string, spec: NamedSpec): NamedMemory {
  const { context, state } = cpuState
  const { space, type, layout, init } = spec
  for (;;) {
    const thing = context.names.openOrCreate(space, name, { type, layout, ...(init ? { init } : {}) })
    const known = pointerAt(state, thing.address)
    const pointer = known === 0 ? allocateInto(cpuState, name, spec, thing.address) : known
    if (pointer !== WITHDRAWN) return { ...thing, pointer }
    takeAway(context.names, space, name, thing.address)
  }
}

function allocateInto(
  { context, allocator }: CpuState,
  name: string,
  { space, bytes, align, reserved = false }: NamedSpec,
  into: number,
): number {
  try {
    return allocator.allocate(bytes, { align, reserved, into, owned: true })
  } catch (error) {
    if (isWithdrawn(() => allocator.withdraw(into))) takeAway(context.names, space, name, into)
    throw error
  }
}

/** False, too, if the allocator stays locked: the next thread that finds the entry goes on. */
function isWithdrawn(withdraw: () => boolean): boolean {
  try {
    return withdraw()
  } catch (error) {
    if (error instanceof LockTimeoutError) return false
    throw error
  }
}

/** The name of the withdrawn entry, unless another thread has taken it away. */
function takeAway(names: Names, space: NameSpace, name: string, entry: number): void {
  try {
    names.remove(space, name, (address) => {
      if (address !== entry) throw new ObjectMissingError(`${shown(name)} was taken away already`, { name })
    })
  } catch (error) {
    if (!(error instanceof ObjectMissingError)) throw error
  }
}

/**
 * For an object that has lost its name: frees its copies by `free`. Whoever has just found the
 * name, and is about to allocate them, finds that it is too late, and begins anew.
 */
export function releaseNamed(cpuState: CpuState, entry: number, free: (pointer: number) => void): void {
  try {
    const pointer = cpuState.allocator.take(entry)
    if (pointer > 0) free(pointer)
  } catch (error) {
    // Its name is gone: nobody could do it again. The copies stay allocated.
    reportError(error)
  }
}

/** The object of this name, whose parts have `bytes`. @throws as {@link openNamed}. */
export function openShared(
  cpuState: CpuState,
  space: NameSpace,
  name: string,
  layout: Struct,
  bytes: number,
  init: (address: number) => void = () => undefined,
): NamedObject {
  const spec = { space, type: layout.name, layout, bytes, align: bytes, init }
  const { address, pointer, serial } = openNamed(cpuState, name, spec)
  return { ...sharedObject(cpuState.state, address, pointer), serial }
}

/** All complete objects of a kind. */
export function* findShared(
  state: AllocatorState,
  names: Names,
  space: NameSpace,
): Generator<NamedObject & { readonly name: string }> {
  for (const { name, address, serial } of names.each(space, state.memory)) {
    const pointer = pointerAt(state, address)
    if (pointer > 0) yield { name, serial, ...sharedObject(state, address, pointer) }
  }
}

/** The object whose entry is at this byte address, with this pointer. */
export function sharedObject(state: AllocatorState, address: number, pointer: number): SharedObject {
  const { geometry, backend, memory } = state
  const chunk = state.recordOf(pointer)
  const granule = geometry.granuleOf(pointer)
  // Its pages stay mapped, as long as it has its name.
  const partOf = (cpu: number): number => (backend.translate(chunk, cpu, granule) ?? 0) / GRANULE
  const parts = Array.from({ length: geometry.cpus }, (_, cpu) => partOf(cpu))
  return { memory, words: address / 4, parts }
}
