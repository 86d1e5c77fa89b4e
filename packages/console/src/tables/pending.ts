/**
 * Changes that are to be recovered, until they are made: of a table of keys the last one of each
 * key, in the order of keys. So what was replaced again is not made, and each node of the table's
 * map is made anew once.
 */
import { OutOfMemoryError, type Machine } from 'percpu'
import type { LogRecord } from '../store/store.js'
import { writeIn } from './recorded.js'
import { storedOf, type Stored, type Table, type Write } from './table.js'

/** Changes, and bytes of their values, that are made as one version. */
const BATCH = 5000
const BATCH_BYTES = 4 * 2 ** 20
/** What is held at most. */
const HELD_BYTES = 64 * 2 ** 20
/** Of a record, beside its payload. */
const RECORD_BYTES = 200

interface TableRecords {
  readonly table: Table
  readonly records: readonly LogRecord[]
}

export class PendingWrites {
  readonly #machine: Machine
  /** By the bytes of the key, as text of one byte a character: that has their order. */
  readonly #ofKeys = new Map<Table, Map<string, LogRecord>>()
  /** Of ranges, which lie over each other: all, in their order. */
  #ofRanges: { readonly table: Table; readonly records: LogRecord[] }[] = []
  #bytes = 0

  constructor(machine: Machine) {
    this.#machine = machine
  }

  /**
   * Adds a change of the table, which sets or deletes.
   *
   * @param from where it begins, as the log has it
   * @throws as {@link make}, which it calls where it holds too much
   */
  add(table: Table, from: Uint8Array, record: LogRecord): void {
    // What is replaced again counts, too: it may be part of the same piece of the log.
    this.#bytes += record.payload.length + RECORD_BYTES
    if (table.spec.isRange) {
      const last = this.#ofRanges.at(-1)
      if (last?.table === table) last.records.push(record)
      else this.#ofRanges.push({ table, records: [record] })
    } else {
      let last = this.#ofKeys.get(table)
      if (!last) this.#ofKeys.set(table, (last = new Map<string, LogRecord>()))
      last.set(Buffer.from(from.buffer, from.byteOffset, from.length).toString('latin1'), record)
    }
    if (this.#bytes >= HELD_BYTES) this.make()
  }

  /** Makes what was added. @throws OutOfMemoryError. A part of it is made then. */
  make(): void {
    const ofRanges = this.#ofRanges
    const ofKeys = [...this.#ofKeys].map(([table, last]): TableRecords => {
      const sorted = [...last].sort(([one], [other]) => (one < other ? -1 : 1))
      return { table, records: sorted.map(([, record]) => record) }
    })
    this.#ofRanges = []
    this.#ofKeys.clear()
    this.#bytes = 0
    try {
      for (const each of ofKeys) if (!this.#load(each)) this.#make(each)
      for (const each of ofRanges) this.#make(each)
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
      // The changes had room one after the other, in their own order. In another one they have it
      // if all that they replace is gone before.
      for (const each of ofKeys) this.#make(each, true)
      for (const each of ofRanges) this.#make(each)
      for (const each of ofKeys) this.#make(each)
    }
  }

  /** Into an empty table. False: it is not empty, or has no room for all of it at once. */
  #load({ table, records }: TableRecords): boolean {
    if (table.size > 0) return false
    try {
      table.map.load(rowsOf(table, records))
      return true
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
      this.#machine.heap.trim()
      return false
    }
  }

  #make({ table, records }: TableRecords, deletes = false): void {
    for (const part of partsOf(table, records, deletes)) this.#apply(table, part)
  }
  /**
   * In smaller parts, where there is no room for all of it: one change at a time needs no more than
   * it did when it was made.
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
}

function* rowsOf(table: Table, records: readonly LogRecord[]): Generator<Stored> {
  for (const record of records) {
    const { from, to, version, value } = writeIn(table, record)
    if (value) yield [from, to, storedOf(version, value)]
  }
}

/** `deletes`: whether their keys are to be deleted, whatever they do. */
function* partsOf(
  table: Table,
  records: readonly LogRecord[],
  deletes: boolean,
): Generator<readonly Write[]> {
  let part: Write[] = []
  let bytes = 0
  for (const record of records) {
    if (part.length >= BATCH || bytes >= BATCH_BYTES) {
      yield part
      part = []
      bytes = 0
    }
    const write = writeIn(table, record)
    part.push(deletes ? { ...write, value: undefined } : write)
    bytes += write.value?.length ?? 0
  }
  if (part.length > 0) yield part
}
