/**
 * Names: how threads find the same per-CPU memory.
 *
 *     directory ──name──▶ entry: pointer │ words that all CPUs share      pointer ──▶ copies
 *
 * The entry is made first, with pointer 0. Whoever finds 0 there allocates with `into`, so that the
 * copies are allocated once, under the lock of the allocator. A thread killed anywhere leaves an
 * entry with pointer 0, or a complete one: nothing is lost.
 */
import type { Memory } from '#mem'
import { checkUserName, type Directory, type ObjectInfo } from '../bootmem/directory.js'
import type { Struct } from '../layout/struct-type.js'
import { pointerAt } from './allocator.js'
import type { CpuState } from './cpu-state.js'
import { GRANULE } from './geometry.js'
import type { AllocatorState } from './state.js'

/** What a name is asked for. */
export interface NamedSpec {
  /** What it is, for the directory: another thread must ask for the same. */
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

/**
 * The entry of this name, and its pointer; both are made if need be.
 *
 * @throws ArgumentError for a bad name; ObjectMismatchError; OutOfMemoryError; LockTimeoutError.
 */
export function openNamed(
  { context, state, allocator }: CpuState,
  name: string,
  { type, layout, bytes, align, reserved = false, init }: NamedSpec,
): { readonly address: number; readonly pointer: number } {
  checkUserName(name)
  const address = context.objects.openOrCreate(name, { type, layout, ...(init ? { init } : {}) })
  const known = pointerAt(state, address)
  if (known !== 0) return { address, pointer: known }
  return { address, pointer: allocator.allocate(bytes, { align, reserved, into: address }) }
}

/** The object of this name, whose parts have `bytes`. @throws as {@link openNamed}. */
export function openShared(
  cpuState: CpuState,
  name: string,
  layout: Struct,
  bytes: number,
  init: (address: number) => void = () => undefined,
): SharedObject {
  const spec = { type: layout.name, layout, bytes, align: bytes, init }
  const { address, pointer } = openNamed(cpuState, name, spec)
  return sharedObject(cpuState.state, address, pointer)
}

/** All complete objects of a layout. */
export function findShared(
  state: AllocatorState,
  directory: Directory,
  layout: Struct,
): (SharedObject & { readonly name: string })[] {
  const isOne = ({ type, layoutHash }: ObjectInfo): boolean =>
    type === layout.name && layoutHash === layout.hash
  return directory
    .list()
    .filter(isOne)
    .map(({ name, address }) => ({ name, address, pointer: pointerAt(state, address) }))
    .filter(({ pointer }) => pointer !== 0)
    .map(({ name, address, pointer }) => ({ name, ...sharedObject(state, address, pointer) }))
}

/** The object whose entry is at this byte address, with this pointer. */
export function sharedObject(state: AllocatorState, address: number, pointer: number): SharedObject {
  const { geometry, backend, memory } = state
  const chunk = state.recordOf(pointer)
  const granule = geometry.granuleOf(pointer)
  // Its pages stay mapped, as it is never freed.
  const partOf = (cpu: number): number => (backend.translate(chunk, cpu, granule) ?? 0) / GRANULE
  const parts = Array.from({ length: geometry.cpus }, (_, cpu) => partOf(cpu))
  return { memory, words: address / 4, parts }
}
