/**
 * The directory of named objects: how the layers of threads that know only a name find the same
 * memory, before there is a heap. What users name is in tables of the heap (names.ts).
 *
 *     header.directory ──▶ entry ──next──▶ entry ──next──▶ 0
 *                           └─object─▶ the object, in the same region, right behind its entry
 *
 * The newest entry is the first. Entries are never changed or removed.
 *
 * Creating scans the list from its head, and links a new entry by a compare-and-exchange of that
 * same head. The exchange succeeds only if no entry came in between, so no name exists twice. A
 * thread killed before it leaves a region that its reaper frees. One killed after it leaves a
 * complete object, which its reaper keeps because it is linked.
 *
 * Progress: lock-free.
 * Cost: a scan of all entries. Look objects up once, not in loops.
 */
import { compareExchangeAtomic32, copyIn, copyOut, loadAtomic32, loadU32, storeU32, type Memory } from '#mem'
import type { Struct } from '../layout/index.js'
import { checkFunction, checkObject, checkOptions, checkStored, shown } from '../machine/check.js'
import {
  ObjectExistsError,
  ObjectMismatchError,
  ObjectMissingError,
  OutOfMemoryError,
} from '../machine/errors.js'
import { DirectoryEntry, Header } from '../machine/layouts.js'
import { NAME_BYTES, TYPE_BYTES, UNIT } from '../machine/limits.js'
import type { Memblock } from './memblock.js'
import { labelOf, type AllocRequest } from './placement.js'
import { ensureStack, FEW } from '../stack.js'
import { decodeText } from '../text.js'

export interface ObjectSpec {
  /** What it is, for people and for the check on opening: at most 40 bytes of UTF-8. */
  readonly type: string
  /** Its struct; the layout hash of the creator's and the opener's must be the same. */
  readonly layout: Pick<Struct, 'name' | 'size' | 'align' | 'hash'>
}
export interface CreateSpec extends ObjectSpec {
  /**
   * Fills the zeroed object before anybody else can find it. If it throws, the object is not
   * created.
   */
  readonly init?: (address: number) => void
}
/** A named object of boot memory. */
export interface ObjectInfo {
  readonly name: string
  readonly type: string
  readonly address: number
  /** Bytes that it takes, with its name. */
  readonly size: number
  readonly layoutHash: number
}

const { words } = DirectoryEntry

export class Directory {
  readonly #memory: Memory
  readonly #memblock: Memblock

  constructor(memory: Memory, memblock: Memblock) {
    this.#memory = memory
    this.#memblock = memblock
  }

  /**
   * Allocates an object of the layout's size and alignment and gives it a name, once and for all
   * threads.
   *
   * @returns its address.
   * @throws ObjectExistsError, OutOfMemoryError, ArgumentError for a bad name, or what `init`
   *   throws.
   */
  create(name: string, spec: CreateSpec): number {
    const created = this.#create(name, spec)
    if (created !== undefined) return created
    throw new ObjectExistsError(
      `an object named ${shown(name)} exists already: open it, or choose another name`,
      {
        name,
      },
    )
  }

  /**
   * The address of the object that some thread created under this name.
   *
   * @throws ObjectMissingError, or ObjectMismatchError if its type or layout is not the expected
   *   one.
   */
  open(name: string, spec: ObjectSpec): number {
    checkSpec(spec)
    checkStored('name', name, NAME_BYTES)
    const found = this.list().find((object) => object.name === name)
    if (!found) throw new ObjectMissingError(`there is no object named ${shown(name)}`, { name })
    if (found.type !== spec.type) {
      throw new ObjectMismatchError(`object ${shown(name)} is of type '${found.type}', not '${spec.type}'`, {
        name,
        expected: spec.type,
        found: found.type,
      })
    }
    if (found.layoutHash !== spec.layout.hash) {
      throw new ObjectMismatchError(
        `object ${shown(name)} (${spec.type}) was created with another layout than this thread's ${spec.layout.name}: ` +
          `hash ${found.layoutHash.toString(16)}, expected ${spec.layout.hash.toString(16)}`,
        { name, expected: spec.layout.hash, found: found.layoutHash },
      )
    }
    return found.address
  }

  /**
   * Opens the object, or creates it if it does not exist; of several threads that call it at once,
   * one creates.
   */
  openOrCreate(name: string, spec: CreateSpec): number {
    if (!this.list().some((object) => object.name === name)) {
      const created = this.#create(name, spec)
      if (created !== undefined) return created
    }
    return this.open(name, spec)
  }

  /** All named objects, newest first. */
  list(): ObjectInfo[] {
    return [...this.entries()].map((entry) => this.#read(entry))
  }

  /** Where each entry lies, in units, newest first. */
  *entries(): Iterable<number> {
    for (let entry = this.#head(); entry !== 0; entry = this.#load(entry, words.next)) yield entry
  }

  /** Whether this memblock region holds a named object. For the reaper. */
  isLinked(address: number, size: number): boolean {
    for (const entry of this.entries()) {
      if (address <= entry * UNIT && entry * UNIT < address + size) return true
    }
    return false
  }

  #create(name: string, spec: CreateSpec): number | undefined {
    checkSpec(spec)
    const { type, layout, init } = spec
    if (init !== undefined) checkFunction('init', init)
    ensureStack(FEW)
    const nameBytes = checkStored('name', name, NAME_BYTES)
    const typeBytes = checkStored('type', type, TYPE_BYTES)
    if (this.list().some((object) => object.name === name)) return undefined
    // The entry lies right before the object, whatever the object's alignment.
    const before = Math.max(DirectoryEntry.size, layout.align)
    const size = before + Math.max(1, layout.size)
    const region = this.#allocUnlessThere(name, {
      size,
      align: Math.max(UNIT, layout.align),
      label: labelOf(name),
    })
    if (region === undefined) return undefined
    const object = region + before
    const entry = (object - DirectoryEntry.size) / UNIT
    const memory = this.#memory
    try {
      init?.(object)
      copyIn(memory, entry * UNIT + DirectoryEntry.offsets.name, nameBytes)
      copyIn(memory, entry * UNIT + DirectoryEntry.offsets.type, typeBytes)
      this.#store(entry, words.nameLength, nameBytes.length)
      this.#store(entry, words.typeLength, typeBytes.length)
      this.#store(entry, words.object, object / UNIT)
      this.#store(entry, words.units, Math.ceil(size / UNIT))
      this.#store(entry, words.layoutHash, layout.hash)
    } catch (error) {
      this.#memblock.free(region)
      throw error
    }
    if (!this.#link(entry, name)) {
      this.#memblock.free(region)
      return undefined
    }
    this.#memblock.persist(region)
    return object
  }

  /** Another thread may have taken the last memory for the very object. */
  #allocUnlessThere(name: string, request: AllocRequest): number | undefined {
    try {
      return this.#memblock.alloc(request)
    } catch (error) {
      if (error instanceof OutOfMemoryError && this.list().some((object) => object.name === name))
        return undefined
      throw error
    }
  }

  /** Links the entry unless its name came in meanwhile. */
  #link(entry: number, name: string): boolean {
    for (;;) {
      const head = this.#head()
      for (let other = head; other !== 0; other = this.#load(other, words.next)) {
        if (this.#read(other).name === name) return false
      }
      this.#store(entry, words.next, head)
      // I(header.directory) publishes the entry and its object; pairs with J in #head: both are
      // immutable, and everybody's to read, from here on. Mutant: bootmem/directory-link-first.
      if (compareExchangeAtomic32(this.#memory.i32, Header.words.directory, head, entry) === head) return true
    }
  }

  #head(): number {
    // J(header.directory) pairs with I in #link: all entries reachable from here may be read
    // plainly. Mutant: bootmem/directory-link-first.
    return loadAtomic32(this.#memory.i32, Header.words.directory)
  }

  #read(entry: number): ObjectInfo {
    const { offsets } = DirectoryEntry
    const text = (offset: number, length: number) =>
      decodeText(copyOut(this.#memory, entry * UNIT + offset, length))
    return {
      name: text(offsets.name, this.#load(entry, words.nameLength)),
      type: text(offsets.type, this.#load(entry, words.typeLength)),
      address: this.#load(entry, words.object) * UNIT,
      size: this.#load(entry, words.units) * UNIT,
      layoutHash: this.#load(entry, words.layoutHash),
    }
  }

  #load(entry: number, field: number): number {
    return loadU32(this.#memory.u32, (entry * UNIT) / 4 + field)
  }
  #store(entry: number, field: number, value: number): void {
    storeU32(this.#memory.u32, (entry * UNIT) / 4 + field, value)
  }
}

/** Options of creating are allowed for opening, too: the same object may be passed to both. */
export function checkSpec(spec: CreateSpec): void {
  checkObject('spec', spec)
  checkOptions('an object', spec, { type: true, layout: true, init: true })
  checkObject('layout', spec.layout)
}
