/**
 * Names of things that users share, as the layers see them that give names: a name space for each
 * kind. The table of names lies in the heap, which is above most of these layers; names/ has it.
 * The library's own objects are in the boot directory (directory.ts), where no user names anything.
 */
import type { Memory } from '#mem'
import type { CreateSpec, ObjectInfo, ObjectSpec } from './directory.js'

/** The kinds, each with names of its own. Their order is that of the words in memory. */
export const NAME_SPACES = [
  ...(['object', 'mutex', 'completion', 'condition', 'seqlock', 'semaphore'] as const),
  ...(['percpu', 'counter', 'ref', 'rwSemaphore', 'srcu'] as const),
  ...(['map', 'rangeMap', 'ring'] as const),
  ...(['space', 'sparseArray', 'snapshot', 'areas'] as const),
] as const
export type NameSpace = (typeof NAME_SPACES)[number]

export interface NamedThing {
  /** Byte address of the object. */
  readonly address: number
  /** Differs between things that had the same name or address one after the other. */
  readonly serial: number
}

export interface Names {
  /** @throws ObjectExistsError; OutOfMemoryError; ArgumentError; what `init` throws. */
  create(space: NameSpace, name: string, spec: CreateSpec): NamedThing
  /** @throws ObjectMissingError; ObjectMismatchError; ArgumentError. */
  open(space: NameSpace, name: string, spec: ObjectSpec): NamedThing
  /** @throws ObjectMismatchError; OutOfMemoryError; ArgumentError; what `init` throws. */
  openOrCreate(space: NameSpace, name: string, spec: CreateSpec): NamedThing
  /**
   * Takes the name away, and frees the object after a grace period. `check` is called before, under
   * the lock of the names, with the object's address: what it throws leaves the name.
   *
   * @throws ObjectMissingError; ArgumentError; LockTimeoutError; what `check` throws.
   */
  remove(space: NameSpace, name: string, check?: (address: number) => void): void
  /**
   * Takes the name of this very thing away; the object stays. Returns whether it had the name.
   * `before` is called then, under the lock of the names, as long as it has it.
   *
   * @throws LockTimeoutError. It has its name then.
   */
  unlink(space: NameSpace, name: string, address: number, before: () => void): boolean
  /** Frees an object that has no name any more, after a grace period. */
  discard(space: NameSpace, address: number): void
  /** About how many there are of a kind: a thread that dies may leave it off by one. */
  count(space: NameSpace): number
  /** Whether this very thing still has its name. */
  has(space: NameSpace, thing: NamedThing): boolean
  /** All things of a kind; lock-free, in any order. `memory`: through whose views. */
  each(space: NameSpace, memory?: Memory): Iterable<ObjectInfo & NamedThing>
  /** The name of the thing whose object is at an address, if it has one. */
  nameAt(space: NameSpace, memory: Memory, address: number): string | undefined
}
