/** Whether who opens a collection makes it: one option, at every door. */
import type { CreateSpec } from '../bootmem/directory.js'
import type { NamedThing, Names } from '../bootmem/names.js'
import { refused } from '../machine/check.js'
import type { PresentKind } from './presence.js'

/** What all doors of collections take. */
export interface OpenOptions {
  /**
   * True: a collection of this name is opened, or made if there is none. False: none is made, and
   * an ObjectMissingError is thrown instead. `'new'`: it is made; if there is one, also one that
   * is being removed, an ObjectExistsError is thrown. Default true.
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
 * @throws ObjectMissingError; ObjectExistsError; as `Names.openOrCreate`.
 */
export function openNamed(
  names: Names,
  kind: PresentKind,
  name: string,
  spec: CreateSpec,
  create: OpenOptions['create'] = true,
): NamedThing {
  if (create === 'new') return names.create(kind, name, spec)
  return create ? names.openOrCreate(kind, name, spec) : names.open(kind, name, spec)
}
