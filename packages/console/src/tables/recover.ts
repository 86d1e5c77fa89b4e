/** Makes tables of what a store holds: a snapshot, and the changes after it. */
import type { Machine } from 'percpu'
import type { LogRecord, Store } from '../store/store.js'
import type { TableSpec } from './change.js'
import type { History } from './history.js'
import { PendingWrites } from './pending.js'
import { RecentChanges } from './recent.js'
import { changeIn, rangeIn, rowIn, unexpected } from './recorded.js'
import { mapName, Table, type Stored } from './table.js'

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
  // Another table of the name may have other keys.
  for (const name of recovery.dropped) await machine.remove('rangeMap', mapName(name))
  if (history.last < last) history.startAt(last)
  return recovery.tables
}

interface Loading {
  readonly table: Table
  readonly entries: Uint8Array[]
}

class Recovery {
  readonly tables = new Map<string, Table>()
  /** Names of tables that were dropped, and not made anew. */
  readonly dropped = new Set<string>()
  readonly #machine: Machine
  readonly #history: History
  /** Entries of the snapshot, of one table, in the order of their keys. */
  #loading: Loading | undefined
  readonly #pending: PendingWrites
  readonly #recent: RecentChanges

  constructor(machine: Machine, history: History) {
    this.#machine = machine
    this.#history = history
    this.#pending = new PendingWrites(machine)
    this.#recent = new RecentChanges(history)
  }

  snapshot(sequence: number): void {
    this.#history.startAt(sequence)
  }
  entry(payload: Uint8Array): void {
    const change = changeIn(payload)
    if (change.op === 'make') return this.#make(change.spec)
    if (change.op !== 'entry') throw unexpected(change.op)
    const table = this.#table(change.table)
    if (this.#loading?.table !== table) this.#load()
    this.#loading ??= { table, entries: [] }
    // Rows of a file have versions after the snapshot's number: who follows has not heard of them.
    if (change.version > this.#history.last) this.#history.startAt(change.version)
    this.#loading.entries.push(payload)
  }
  record(record: LogRecord): void {
    this.#load()
    const { sequence, payload } = record
    const change = changeIn(payload)
    if (change.op === 'make') {
      this.#make(change.spec)
      return this.#recent.startAt(sequence)
    }
    if (change.op === 'entry') throw unexpected(change.op)
    const table = this.#table(change.table)
    if (change.op === 'clear' || change.op === 'drop') {
      this.#pending.make()
      table.map.clear()
      table.map.barrierBlocking()
      if (change.op === 'drop') {
        this.tables.delete(table.name)
        this.dropped.add(table.name)
        return this.#recent.startAt(sequence)
      }
      this.#recent.addReset(table, sequence)
      return
    }
    // It is decoded again when it is made: what is decoded takes many times the memory.
    rangeIn(table, change)
    this.#pending.add(table, change.from, record)
    this.#recent.add(table, record)
  }
  end(): void {
    this.#load()
    this.#pending.make()
    this.#recent.tell()
  }

  #load(): void {
    const loading = this.#loading
    this.#loading = undefined
    if (loading) loading.table.map.load(rowsOf(loading))
  }
  #make(spec: TableSpec): void {
    if (this.tables.has(spec.name)) throw unexpected('make', `: table ${spec.name} is there already`)
    this.tables.set(spec.name, new Table(this.#machine, spec))
    this.dropped.delete(spec.name)
  }
  #table(name: string): Table {
    const table = this.tables.get(name)
    if (!table) throw unexpected('set', `: there is no table ${name}`)
    return table
  }
}

function* rowsOf({ table, entries }: Loading): Generator<Stored> {
  for (const entry of entries) yield rowIn(table, entry)
}
