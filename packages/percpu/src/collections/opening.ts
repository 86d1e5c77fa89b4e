/** Whether who opens a collection makes it: one option, at every door. */
import type { Memory } from '#mem'
import type { CreateSpec } from '../bootmem/directory.js'
import type { NamedThing, Names } from '../bootmem/names.js'
import { refused } from '../machine/check.js'
import { ObjectExistsError, ObjectMissingError } from '../machine/errors.js'
import { beingRemoved, isRemoving, type PresentKind } from './presence.js'

/** What all doors of collections take. */
export interface OpenOptions {
  /**
   * True: a collection of this name is opened, or made if there is none. False: none is made, and
   * an ObjectMissingError is thrown instead. `'new'`: it is made; if there is one, an
   * ObjectExistsError is thrown. While one of the name is being removed, a RemovedError is thrown,
   * whatever is said: await the removal, and open it again. Default true.
   */
  readonly create?: boolean | 'new'
}

/** @throws ArgumentError. */
export function checkCreate(create: unknown): void {
  if (create === undefined || typeof create === 'boolean' || create === 'new') return
  throw refused('create', create, "neither true, false nor 'new'")
}

/**
 * The collection of a kind and name.
 *
 * @throws ObjectMissingError; ObjectExistsError; RemovedError if it was to be new, and one of the
 *   name is being removed; as `Names.openOrCreate`.
 */
export function openNamed(
  memory: Memory,
  names: Names,
  kind: PresentKind,
  name: string,
  spec: CreateSpec,
  create: OpenOptions['create'] = true,
): NamedThing {
  if (create === 'new') return createNamed(memory, names, kind, name, spec)
  return create ? names.openOrCreate(kind, name, spec) : names.open(kind, name, spec)
}

/**
 * A new collection of a kind and name.
 *
 * @throws RemovedError if one of the name is being removed; as `Names.create`.
 */
export function createNamed(
  memory: Memory,
  names: Names,
  kind: PresentKind,
  name: string,
  spec: CreateSpec,
): NamedThing {
  try {
    return names.create(kind, name, spec)
  } catch (error) {
    // Mutant: collections/removed-exists.
    if (error instanceof ObjectExistsError && isEnding(memory, names, kind, name, spec))
      throw beingRemoved(kind, name)
    throw error
  }
}

/** Whether the collection of a kind and name is being removed. */
function isEnding(memory: Memory, names: Names, kind: PresentKind, name: string, spec: CreateSpec): boolean {
  try {
    return isRemoving(memory, names.open(kind, name, spec).address)
  } catch (error) {
    // Its removal has ended since: it was there.
    if (error instanceof ObjectMissingError) return true
    throw error
  }
}
