/** Which spaces there are: their names, their numbers, and where their words are. */
import { loadU32, storeAtomic32, storeU32, type Memory } from '#mem'
import { hashNumbers } from '../arithmetic.js'
import type { ObjectSpec } from '../bootmem/directory.js'
import type { LayerContext } from '../bootmem/layer.js'
import type { NamedThing } from '../bootmem/names.js'
import { createNamed, openNamed, type OpenOptions } from '../collections/opening.js'
import { CollectionHead } from '../collections/presence.js'
import { PagingRoot, SpaceTable } from '../pagetable/layouts.js'
import { MAX_SPACES } from './areas.js'
import { SPACE_KINDS, spaceBytes, SpaceRoot, type SpaceKind, type SpacePlace } from './layouts.js'
import type { Pager } from './pager.js'

const TYPE = 'SpaceRoot'
const hash = hashNumbers([SpaceRoot.hash, SpaceTable.hash])
const { id: idField, values: valuesField, table: tableField } = SpaceRoot.words

/** A space by its name. */
export interface Wanted {
  readonly kind: SpaceKind
  readonly name: string
  /** As in SpaceRoot. */
  readonly values: number
}

export class SpaceRegistry {
  readonly #context: LayerContext

  constructor(context: LayerContext) {
    this.#context = context
  }

  /** The space of a kind and name, which is made if need be, unless `create` says otherwise. */
  openAs(pager: Pager, { kind, name, values }: Wanted, create: OpenOptions['create']): NamedThing {
    const { own, names } = this.#context
    return pager.locked(() => {
      const init = (address: number): void => writeRoot(own.memory, address, this.#freeId(pager), values)
      return openNamed(own.memory, names, kind, name, { ...this.#spec(), init }, create)
    })
  }
  /** A new one, which nobody can open before {@link finish}. Under the lock. */
  create(pager: Pager, { kind, name, values }: Wanted): NamedThing {
    const { own, names } = this.#context
    const init = (address: number): void => {
      writeRoot(own.memory, address, this.#freeId(pager), values)
      // atomic: nobody finds it yet. As if it was being removed, until it is whole.
      storeAtomic32(own.memory.i32, address / 4 + CollectionHead.words.removing, pager.token)
    }
    return createNamed(own.memory, names, kind, name, { ...this.#spec(), init })
  }
  finish({ address }: NamedThing): void {
    // atomic: it is whole, and may be opened.
    storeAtomic32(this.#context.own.memory.i32, address / 4 + CollectionHead.words.removing, 0)
  }
  remove({ kind, name }: Wanted): void {
    this.#context.names.remove(kind, name)
  }
  /** @throws ObjectMissingError. */
  open(kind: SpaceKind, name: string): NamedThing {
    return this.#context.names.open(kind, name, this.#spec())
  }

  /** All spaces, through whose views. */
  *each(memory = this.#context.own.memory): Generator<SpacePlace & Wanted & NamedThing> {
    for (const kind of SPACE_KINDS) {
      for (const { name, address, serial } of this.#context.names.each(kind, memory)) {
        const values = loadU32(memory.u32, address / 4 + valuesField)
        yield { kind, name, serial, values, ...placeOf(memory, address) }
      }
    }
  }

  /** A number that no space has. Under the lock, which is held until the space has its name. */
  #freeId({ memory, root }: Pager): number {
    const used = new Set<number>()
    for (const { id } of this.each()) used.add(id)
    const word = root + PagingRoot.words.spaces
    let id = loadU32(memory.u32, word)
    do id = id >= MAX_SPACES ? 1 : id + 1
    while (used.has(id))
    storeU32(memory.u32, word, id)
    return id
  }
  #spec(): { readonly type: string; readonly layout: ObjectSpec['layout'] } {
    const size = spaceBytes(this.#context.own.map.cpus)
    return { type: TYPE, layout: { name: TYPE, size, align: SpaceRoot.align, hash } }
  }
}

/** By kind and name. */
export function inOrder(one: Wanted, other: Wanted): number {
  if (one.kind !== other.kind) return SPACE_KINDS.indexOf(one.kind) - SPACE_KINDS.indexOf(other.kind)
  return one.name < other.name ? -1 : 1
}

/** Where the words of the space at an address are. */
export function placeOf({ u32 }: Memory, address: number): SpacePlace {
  return { address, id: loadU32(u32, address / 4 + idField), table: address / 4 + tableField }
}
function writeRoot({ u32 }: Memory, address: number, id: number, values: number): void {
  storeU32(u32, address / 4 + idField, id)
  storeU32(u32, address / 4 + valuesField, values)
}
