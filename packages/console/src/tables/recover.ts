/** Makes tables of what a store holds: a snapshot, and the changes after it. */
import { OutOfMemoryError, type Machine } from 'percpu'
import { StoreDamagedError } from '../errors.js'
import type { Store } from '../store/store.js'
import { decodeChange, type Change, type TableSpec } from './change.js'
import { eventOf, type History } from './history.js'
import type { Key, KeyRange } from './keys.js'
import { storedOf, Table, type Write } from './table.js'

/** Changes, and bytes of their values, that are made as one version. */
const BATCH = 5000
const BATCH_BYTES = 4 * 2 ** 20

/**
 * Recovers all tables. The history begins where the snapshot ends.
 *
 * @throws StoreDamagedError also for what is no change; OutOfMemoryError
 */
export async function recoverTables(
  machine: Machine,
  store: Store,
  history: History,
): Promise<Map<string, Table>> {
  const recovery = new Recovery(machine, history)
  const last = await store.recover(recovery)
  recovery.end()
  if (history.last < last) history.startAt(last)
  return recovery.tables
}

class Recovery {
  readonly tables = new Map<string, Table>()
  readonly #machine: Machine
  readonly #history: History
  /** Entries of the snapshot, of one table, in the order of their keys. */
  #loading: { readonly table: Table; readonly rows: [Key, Key, Uint8Array][] } | undefined
  #writing: { readonly table: Table; readonly writes: Write[]; bytes: number } | undefined

  constructor(machine: Machine, history: History) {
    this.#machine = machine
    this.#history = history
  }

  snapshot(sequence: number): void {
    this.#history.startAt(sequence)
  }
  entry(payload: Uint8Array): void {
    const change = decoded(payload)
    if (change.op === 'make') return this.#make(change.spec)
    if (change.op !== 'entry') throw unexpected(change.op)
    const table = this.#table(change.table)
    if (this.#loading?.table !== table) this.#load()
    this.#loading ??= { table, rows: [] }
    const { from, to } = rangeIn(table, change)
    // Rows of a file have versions after the snapshot's number: who follows has not heard of them.
    if (change.version > this.#history.last) this.#history.startAt(change.version)
    this.#loading.rows.push([from, to, storedOf(change.version, change.value)])
  }
  record({ sequence, payload }: { readonly sequence: number; readonly payload: Uint8Array }): void {
    this.#load()
    const change = decoded(payload)
    if (change.op === 'make') {
      this.#make(change.spec)
      return this.#history.startAt(sequence)
    }
    if (change.op === 'entry') throw unexpected(change.op)
    const table = this.#table(change.table)
    if (change.op === 'clear') {
      this.#write()
      table.map.clear()
      this.#history.add({ sequence, table: table.name, kind: 'reset', data: `{"sequence":${sequence}}` })
      return
    }
    const { writes: { length } = [], bytes = 0 } = this.#writing ?? {}
    if (this.#writing?.table !== table || length >= BATCH || bytes >= BATCH_BYTES) this.#write()
    this.#writing ??= { table, writes: [], bytes: 0 }
    const value = change.op === 'set' ? change.value : undefined
    const write = { ...rangeIn(table, change), version: sequence, value }
    this.#writing.writes.push(write)
    this.#writing.bytes += value?.length ?? 0
    this.#history.add(eventOf(table, write))
  }
  end(): void {
    this.#load()
    this.#write()
  }

  #load(): void {
    const loading = this.#loading
    this.#loading = undefined
    loading?.table.map.load(loading.rows)
  }
  #write(): void {
    const writing = this.#writing
    this.#writing = undefined
    if (writing) this.#apply(writing.table, writing.writes)
  }
  /**
   * In parts, where there is no room for all of it: one change at a time needs no more than it did
   * when it was made.
   */
  #apply(table: Table, writes: readonly Write[]): void {
    try {
      table.apply(writes)
    } catch (error) {
      if (!(error instanceof OutOfMemoryError) || writes.length === 1) throw error
      this.#machine.heap.trim()
      const half = writes.length >>> 1
      this.#apply(table, writes.slice(0, half))
      return this.#apply(table, writes.slice(half))
    }
    // Nobody reads yet: what was replaced is free at once.
    table.map.barrierBlocking()
  }

  #make(spec: TableSpec): void {
    if (this.tables.has(spec.name)) throw unexpected('make', `: table ${spec.name} is there already`)
    this.tables.set(spec.name, new Table(this.#machine, spec))
  }
  #table(name: string): Table {
    const table = this.tables.get(name)
    if (!table) throw unexpected('set', `: there is no table ${name}`)
    return table
  }
}

function decoded(payload: Uint8Array): Change {
  const change = decodeChange(payload)
  if (!change)
    throw new StoreDamagedError('the data directory holds something that is no change of a table', {})
  return change
}
function rangeIn(
  table: Table,
  { from, to }: { readonly from: Uint8Array; readonly to: Uint8Array },
): KeyRange {
  const { codec, name } = table
  const [first, last] = [codec.decode(from), codec.decode(to)]
  if (first === undefined || last === undefined)
    throw new StoreDamagedError(`the data directory holds a key that table ${name} cannot have`, {
      table: name,
    })
  return { from: first, to: last }
}
function unexpected(op: string, text = ''): StoreDamagedError {
  return new StoreDamagedError(`the data directory holds a change (${op}) where none can be${text}`, { op })
}
