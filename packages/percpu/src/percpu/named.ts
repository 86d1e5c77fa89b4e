/**
 * Names: how threads find the same per-CPU memory.
 *
 *     directory ──name──▶ PercpuName: pointer ──▶ copies
 *
 * The entry is made first, with pointer 0; whoever finds 0 allocates into it, under the lock of the allocator, so that it is done
 * once. A thread killed anywhere leaves an entry with 0, or a complete one: nothing is lost.
 */
import type { LayerContext } from '../bootmem/layer.js'
import { pointerAt } from './allocator.js'
import type { CpuState } from './cpu-state.js'

export interface NamedSpec {
  /** What it is, for the directory: what another thread must ask for too. */
  readonly type: string
  /** The object in the directory; its first word is the pointer. */
  readonly layout: {
    readonly name: string
    readonly size: number
    readonly align: number
    readonly hash: number
  }
  /** Of each copy. */
  readonly bytes: number
  readonly align: number
  /** Its copies lie in the reserved part of the first chunk. */
  readonly reserved?: boolean
  readonly init?: (address: number) => void
}

/** The object of this name, made if need be. @throws ObjectMismatchError; OutOfMemoryError. */
export function openNamed(
  { context, state, allocator }: CpuState,
  name: string,
  spec: NamedSpec,
): { readonly address: number; readonly pointer: number } {
  const address = openObject(context, name, spec)
  const known = pointerAt(state, address)
  if (known !== 0) return { address, pointer: known }
  const { bytes, align, reserved = false } = spec
  return { address, pointer: allocator.allocate(bytes, { align, reserved, into: address }) }
}

function openObject({ objects }: LayerContext, name: string, { type, layout, init }: NamedSpec): number {
  return objects.openOrCreate(name, { type, layout, ...(init ? { init } : {}) })
}
