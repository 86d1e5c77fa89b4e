/**
 * The tables that a bucket has: made, filled and emptied as its entries say. It knows each name of
 * the bucket: those of tables of keys by the tables, which have them anyway, the others by a set.
 */
import { OutOfMemoryError, type Machine } from 'percpu'
import { BucketError } from '../errors.js'
import { keyCodecs, type Key } from '../tables/keys.js'
import type { TableSpec } from '../tables/change.js'
import { MAX_VALUE_BYTES, storedOf, Table, type Write } from '../tables/table.js'
import type { Heard } from './bucket.js'
import { rangeOfName, readName } from './names.js'

/** Who reads the file of a table, and whether all of it is in the bucket. */
export interface LoadMark {
  readonly node: string
  readonly done: boolean
  readonly revision: number
}
/** What was changed: a write, or a table as a whole that came to be seen. */
export interface Made {
  readonly table: Table
  readonly revision: number
  readonly write: Write | undefined
}

/** The whole of each kind of keys that has ranges. */
const EVERYTHING: Readonly<Record<TableSpec['keys'], readonly [Key, Key]>> = {
  text: [Buffer.of(1), Buffer.of(255)],
  number: [0, Number.MAX_SAFE_INTEGER],
  address: [0n, 2n ** 128n - 1n],
}

export class FollowedTables {
  readonly #machine: Machine
  /** Those that clients see: all of it is there. */
  readonly #seen: Map<string, Table>
  readonly #tables = new Map<string, Table>()
  /** Kinds of keys of tables that are gone. */
  readonly #dropped = new Map<string, TableSpec['keys']>()
  readonly #onList: () => void
  readonly #marks = new Map<string, LoadMark>()
  /** Names that are no key of a table: deleted, of ranges, of the tables themselves, or unknown. */
  readonly #others = new Set<string>()
  /** Whether a table was made that may have entries from before: they are not in it. */
  hasStrays = false

  /** @param onList called when clients see another table, or one less */
  constructor(machine: Machine, seen: Map<string, Table>, onList: () => void) {
    this.#machine = machine
    this.#seen = seen
    this.#onList = onList
  }

  /** How many names the bucket has, by what was heard of it. */
  get names(): number {
    let count = this.#others.size
    for (const { spec, size } of this.#tables.values()) if (!spec.isRange) count += size
    return count
  }
  mark(table: string): LoadMark | undefined {
    return this.#marks.get(table)
  }
  /** Also before it is seen. */
  table(name: string): Table | undefined {
    return this.#tables.get(name)
  }

  /**
   * Makes changes, in their order; each table by one version. It can be repeated.
   *
   * @throws OutOfMemoryError, BucketError. Some of the tables may be changed then.
   */
  async apply(batch: readonly Heard[]): Promise<readonly Made[]> {
    const made: Made[] = []
    let writes = new Map<Table, Write[]>()
    const flush = async () => {
      const ready = writes
      writes = new Map()
      for (const [table, list] of ready) await this.#roomFor(table, () => table.apply(list))
    }
    for (const heard of batch) {
      const found = this.#writeOf(heard)
      if (!found) {
        // What a table is must not change between its writes.
        await flush()
        const table = this.#note(heard)
        if (table) made.push({ table, write: undefined, revision: heard.revision })
        continue
      }
      const { table, write } = found
      const list = writes.get(table)
      if (list) list.push(write)
      else writes.set(table, [write])
      if (this.#seen.get(table.name) === table) made.push({ ...found, revision: heard.revision })
    }
    await flush()
    return made
  }

  /**
   * Makes the tables what the bucket has, and nothing else; each by one version. Returns whether
   * anything was changed.
   *
   * @throws OutOfMemoryError, BucketError. Some of the tables may be changed then.
   */
  async replace(all: readonly Heard[]): Promise<boolean> {
    this.#others.clear()
    this.#marks.clear()
    const specs = new Set<string>()
    for (const heard of all) {
      const name = readName(heard.name)
      if (name?.kind !== 'spec') continue
      this.#note(heard)
      if (heard.value) specs.add(name.table)
    }
    for (const name of this.#tables.keys()) if (!specs.has(name)) this.#drop(name)
    const writes = new Map<Table, Write[]>([...this.#tables.values()].map((table) => [table, []]))
    const rest: Heard[] = []
    for (const heard of all) {
      const found = this.#writeOf(heard)
      if (found) writes.get(found.table)?.push(found.write)
      else if (readName(heard.name)?.kind !== 'spec') rest.push(heard)
    }
    let changed = 0
    for (const [table, list] of writes)
      changed += await this.#roomFor(table, () =>
        table.spec.isRange ? this.#replaceRanges(table, list) : replaceKeys(table, list),
      )
    // Tables that are new are seen from here on.
    for (const heard of rest) this.#note(heard)
    this.hasStrays = false
    return changed > 0
  }

  /**
   * The table after all these, in their order. They are the last ones of each range only, and it is
   * the same as after all that were ever written: what a key has is said by the last write of a
   * range in which it lies. That write is also the last one of just its range, so it is here; and
   * those that are here and lie after it do not have the key.
   */
  #replaceRanges(table: Table, writes: readonly Write[]): number {
    const { keys } = table.spec
    const name = `bucket ${table.name}`
    const scratch = this.#machine.rangeMap(name, { key: keyCodecs[keys].mapKind, value: 'bytes' })
    try {
      scratch.batch([
        EVERYTHING[keys],
        ...writes.map(({ from, to, version, value }): [Key, Key, Uint8Array] | [Key, Key] =>
          value ? [from, to, storedOf(version, value)] : [from, to],
        ),
      ])
      const rows: [Key, Key, Uint8Array][] = []
      for (const { from, to, value } of scratch.entries()) rows.push([from, to, value])
      return table.map.replace(rows)
    } finally {
      scratch.clear()
    }
  }

  /** What an entry does to its table, if it is one of a table. */
  #writeOf(heard: Heard): { readonly table: Table; readonly write: Write } | undefined {
    const { name, revision, value } = heard
    const entry = readName(name)
    const table = entry && this.#tables.get(entry.table)
    const range = table && rangeOfName(table.spec, entry)
    if (!table || !range) return undefined
    const kept = value !== undefined && isJson(value) ? Buffer.from(value) : undefined
    if (kept && !table.spec.isRange) this.#others.delete(name)
    else this.#others.add(name)
    return { table, write: { ...range, version: revision, value: kept } }
  }

  /** An entry that says something of a table. Returns the table if it is seen from now on. */
  #note({ name, revision, value }: Heard): Table | undefined {
    this.#others.add(name)
    const entry = readName(name)
    if (entry?.kind === 'load') {
      const mark = value && (objectOf(value) as Partial<LoadMark> | undefined)
      if (mark) this.#marks.set(entry.table, { node: String(mark.node), done: mark.done === true, revision })
      else this.#marks.delete(entry.table)
    }
    if (entry?.kind === 'spec') {
      const spec = value && specIn(entry.table, value)
      if (spec) this.#make(spec)
      else this.#drop(entry.table)
    }
    const table = entry && this.#tables.get(entry.table)
    if (!table || this.#seen.has(table.name) || this.#marks.get(table.name)?.done !== true) return undefined
    this.#seen.set(table.name, table)
    this.#onList()
    return table
  }

  #make(spec: TableSpec): void {
    const known = this.#tables.get(spec.name)
    if (known && known.spec.keys === spec.keys && known.spec.isRange === spec.isRange) return
    // The map of a table that is gone keeps its kind of keys.
    const keys = this.#dropped.get(spec.name) ?? spec.keys
    if (known !== undefined || keys !== spec.keys)
      throw new BucketError(`table ${spec.name} of the bucket has another kind of keys now: start anew`)
    this.#tables.set(spec.name, new Table(this.#machine, spec))
    for (const name of this.#others) {
      const entry = readName(name)
      if (entry?.table === spec.name && entry.kind !== 'spec' && entry.kind !== 'load') this.hasStrays = true
    }
  }
  /** Its map stays, without anything in it: another table of this name takes it. */
  #drop(name: string): void {
    const table = this.#tables.get(name)
    if (!table) return
    table.map.clear()
    this.#dropped.set(name, table.spec.keys)
    this.#tables.delete(name)
    if (this.#seen.delete(name)) this.#onList()
  }

  /** Where there is no room, what was replaced before is waited for. */
  async #roomFor<Result>(table: Table, work: () => Result): Promise<Result> {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
    }
    await table.map.barrier()
    this.#machine.heap.trim()
    return work()
  }
}

function replaceKeys({ codec, map }: Table, writes: readonly Write[]): number {
  const rows: [Key, Key, Uint8Array][] = []
  for (const { from, to, version, value } of writes)
    if (value) rows.push([from, to, storedOf(version, value)])
  return map.replace(rows.sort(([one], [other]) => codec.compare(one, other)))
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Others may write to the bucket, too: what no table can have counts as deleted. */
function isJson(value: Uint8Array): boolean {
  return value.length <= MAX_VALUE_BYTES && jsonOf(value) !== undefined
}
function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes))
  } catch {
    return undefined
  }
}
function objectOf(bytes: Uint8Array): object | undefined {
  const value = jsonOf(bytes)
  return typeof value === 'object' && value !== null ? value : undefined
}
function specIn(name: string, value: Uint8Array): TableSpec | undefined {
  const { keys, isRange } = (objectOf(value) ?? {}) as Partial<TableSpec>
  const isKnown = keys !== undefined && Object.hasOwn(keyCodecs, keys) && typeof isRange === 'boolean'
  // Ranges of text are none that a table has.
  return isKnown && !(isRange && keys === 'text') ? { name, keys, isRange } : undefined
}
